"""What the public object and the policy code share about one sandbox.

Written on the policy loop only. Each attribute is replaced as a whole, so that other threads always read something
whole.
"""

from __future__ import annotations

from cwsandbox._lifecycle.lifecycle import NEW, Phase, Source, accepted, observed
from cwsandbox._messages import echo
from cwsandbox._types.enums import SandboxStatus, number
from cwsandbox._types.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any

    from cwsandbox._cwsandbox import SandboxCore
    from cwsandbox._lifecycle.data_plane import DataPlane
    from cwsandbox._lifecycle.lifecycle import State

    Message = dict[str, Any]


class OnStop(Record):
    """How to save the scratch volumes of a sandbox that is stopped."""

    wait_for_ready: bool
    request_id: str | None


class Handle:
    """Two things are called on the policy loop: ``on_running`` whenever the sandbox is seen to run, and ``open_core``
    to open another core for the sandbox once it is known to the service.
    """

    def __init__(self, core: SandboxCore) -> None:
        self.core = core
        # Made for the first log, and again for one that is asked for after the stop.
        self.log_core: SandboxCore | None = None
        # How operations reach the sandbox other than by the gateway; None: they never do.
        self.plane: DataPlane | None = None
        self.sandbox_id: str | None = None
        self.state: State = NEW
        self.echo = echo.Echo()
        # Those that the stop has saved its scratch volumes to, and whether all were seen to be ready.
        self.snapshot_ids: tuple[str, ...] = ()
        self.snapshots_are_ready = False
        # When this process asked for it, and when that was accepted, on the monotonic clock.
        self.asked_at: float | None = None
        self.accepted_at: float | None = None
        # From then until it was first seen to run.
        self.startup_seconds: float | None = None
        self.on_running: Callable[[], object] | None = None
        self.open_core: Callable[[SandboxCore], object] | None = None
        self.now: Callable[[], datetime] | None = None

    def cores(self) -> list[SandboxCore]:
        """Those that have been made."""
        return [self.core] if self.log_core is None else [self.core, self.log_core]

    def accept(self, message: Message, clock: float) -> None:
        """The create was answered. A server that says it runs already spares the polling."""
        self.accepted_at = clock
        self.state = accepted(self.state, self._time())
        self.echo = self.echo.updated(message)
        self.sandbox_id = message["sandbox_id"]
        if echo.observation(message).number == number(SandboxStatus.RUNNING):
            self.see(message, Source.QUERY)

    def see(self, message: Message, source: Source) -> None:
        """The server said how the sandbox is."""
        self.echo = self.echo.updated(message)
        self.state = observed(self.state, echo.observation(message), source, self._time())
        if self.state.phase is Phase.RUNNING and self.on_running is not None:
            self.on_running()

    def discover(self, message: Message) -> None:
        """A sandbox that was there already."""
        self.sandbox_id = message["sandbox_id"]
        self.see(message, Source.QUERY)

    def _time(self) -> datetime:
        assert self.now is not None
        return self.now()
