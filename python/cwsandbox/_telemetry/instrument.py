"""``instrument()`` and ``uninstrument()``."""

from __future__ import annotations

from cwsandbox._runtime import life, tracing
from cwsandbox._types.annotations import on_demand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from cwsandbox._telemetry.spans import Tracing

_ANNOTATION_SOURCES = ("opentelemetry.trace", "opentelemetry.metrics")
_tracing: Tracing | None = None


@on_demand
def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    record_commands: bool = False,
) -> None:
    """Have OpenTelemetry see what the package does: spans, metrics, and the trace context in each call.

    - ``tracer_provider``, ``meter_provider``: where spans and metrics go. Default: the global ones.
    - ``record_commands``: whether the span of a command has its arguments. They may hold secrets, so the default is
      False: only the program's name is recorded. Environment, input, output and files' contents are never recorded.

    What has begun before is not seen. A second call changes nothing, until ``uninstrument()``. ``ImportError`` without
    the package ``opentelemetry-api`` (``pip install 'cwsandbox[otel]'``).

    ::

        import cwsandbox

        cwsandbox.instrument()
    """
    global _tracing
    if type(record_commands) is not bool:
        raise TypeError(f"record_commands must be a bool, got {record_commands!r}")
    try:
        import opentelemetry.trace  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "cwsandbox.instrument() needs the package opentelemetry-api: pip install 'cwsandbox[otel]'"
        ) from error
    from cwsandbox._service import native  # noqa: F401 (which makes the core ready)
    from cwsandbox._telemetry import drain
    from cwsandbox._telemetry.metrics import Metrics
    from cwsandbox._telemetry.spans import Tracing

    with life.lock():
        if _tracing is not None:
            return
        from cwsandbox import _cwsandbox

        _tracing = Tracing(
            tracer_provider, Metrics(meter_provider), record_commands=record_commands
        )
        _cwsandbox.trace(_tracing.begin, drain.empty)
        tracing.tracer = _tracing


def uninstrument() -> None:
    """Take ``instrument()`` back. Spans of what is under way end with it; nothing new is recorded."""
    global _tracing
    with life.lock():
        if _tracing is None:
            return
        from cwsandbox import _cwsandbox

        tracing.tracer = None
        _cwsandbox.trace(None, None)
        _tracing.metrics.is_on = False
        _tracing = None
