"""What is counted and measured. No label has as many values as there are sandboxes, jobs or commands."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter

from cwsandbox import _cwsandbox
from cwsandbox._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cwsandbox._lifecycle.handle import Handle

# In seconds: a command takes milliseconds, a sandbox seconds to minutes.
_BOUNDARIES = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    120,
    300,
    600,
    1800,
)


class Metrics:
    """The instruments. ``is_on`` false: nothing is observed any more."""

    def __init__(self, provider: MeterProvider | None) -> None:
        meter = get_meter("cwsandbox", __version__, provider)
        self.is_on = True
        self._handles: weakref.WeakSet[Handle] = weakref.WeakSet()
        self._lock = threading.Lock()

        def seconds(name: str, description: str) -> Any:
            return meter.create_histogram(
                name,
                unit="s",
                description=description,
                explicit_bucket_boundaries_advisory=_BOUNDARIES,
            )

        self._calls = seconds("rpc.client.call.duration", "Calls of the service")
        self._commands = seconds(
            "cwsandbox.exec.duration", "Commands, from when they are sent to their end"
        )
        self._operations = seconds(
            "cwsandbox.operation.duration", "Operations on sandboxes: create, wait, stop, …"
        )
        self._starts = seconds(
            "cwsandbox.sandbox.start.duration", "From the request for a sandbox until it runs"
        )
        meter.create_observable_up_down_counter(
            "cwsandbox.sandbox.count",
            [self._count_sandboxes],
            "{sandbox}",
            "Sandboxes that this process knows and that have not ended",
        )
        for name in ("connections", "streams"):
            meter.create_observable_up_down_counter(
                f"cwsandbox.{name}", [self._core_count(name)], f"{{{name[:-1]}}}", f"Open {name}"
            )

    def call(self, seconds: float, attributes: dict[str, Any]) -> None:
        self._calls.record(seconds, attributes)

    def command(self, seconds: float, attributes: dict[str, Any]) -> None:
        self._commands.record(seconds, attributes)

    def operation(self, seconds: float, attributes: dict[str, Any]) -> None:
        self._operations.record(seconds, attributes)

    def start(self, seconds: float) -> None:
        self._starts.record(seconds)

    def add(self, handle: Handle) -> None:
        """A sandbox to be counted as long as it lives."""
        with self._lock:
            self._handles.add(handle)

    def _count_sandboxes(self, _: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            states = [handle.state for handle in self._handles]
        counted = Counter(
            state.phase.value if state.status is None else state.status.value
            for state in states
            if self.is_on and not state.is_over
        )
        return [
            Observation(count, {"cwsandbox.sandbox.status": status})
            for status, count in counted.items()
        ]

    def _core_count(self, name: str) -> Any:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(_cwsandbox.stats()[name])] if self.is_on else []

        return observe
