"""The spans: one for each native operation, and one around the operations on sandboxes that take several."""

from __future__ import annotations

import contextvars
from asyncio import CancelledError
from concurrent.futures import CancelledError as FutureCancelledError
from time import time_ns
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from opentelemetry import context, propagate, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from cwsandbox._runtime.tracing import UNTRACED
from cwsandbox._service.rpc import Code
from cwsandbox._telemetry import drain
from cwsandbox._version import __version__

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from contextvars import Token

    from opentelemetry.context import Context

    from cwsandbox._cwsandbox import Channel, SandboxCore
    from cwsandbox._runtime.tracing import Span, Subject
    from cwsandbox._telemetry.metrics import Metrics

_SERVICE = "coreweave.sandbox.v1"
_METHODS = {
    "exec": "StreamExec",
    "shell": "StreamExec",
    "helper": "StreamExec",
    "read_file": "ReadFile",
    "write_file": "WriteFile",
    "stream_logs": "StreamLogs",
}
# Their readers may stop at any time.
_MAY_BE_CLOSED = ("stream_logs", "read_file_streaming")
# By OpenTelemetry's exporters, and by its instrumentations of older versions.
_SUPPRESSED = (context._SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation")
_CANCELLED = (CancelledError, FutureCancelledError, GeneratorExit)


class Tracing:
    """Makes the spans, and measures what they measure."""

    def __init__(
        self,
        provider: trace.TracerProvider | None,
        metrics: Metrics,
        *,
        record_commands: bool,
    ) -> None:
        self.tracer = trace.get_tracer("cwsandbox", __version__, provider)
        self.metrics = metrics
        self.record_commands = record_commands

    # ---- native operations ----

    def begin(
        self, kind: str, subject: SandboxCore | Channel, detail: Any
    ) -> tuple[drain.Traced, list[tuple[str, str]]] | None:
        """Called by the core on the thread, and so in the context, of whoever starts an operation."""
        if _is_suppressed():
            return None
        drain.serve()
        attributes: dict[str, Any] = {"rpc.system.name": "grpc"}
        if kind == "unary":
            name = attributes["rpc.method"] = f"{_SERVICE}.{detail}"
            attributes |= _server(subject.target)  # type: ignore[union-attr]
        else:
            attributes["rpc.method"] = f"{_SERVICE}.SandboxService/{_METHODS[kind]}"
            operation = detail.operation if kind == "helper" else kind
            name = f"cwsandbox.{operation}"
            attributes["cwsandbox.operation"] = operation
            if kind in ("exec", "shell"):
                name = attributes["process.executable.name"] = detail[0].rpartition("/")[2]
                if self.record_commands:
                    attributes["process.command_args"] = detail
        begun_ns = time_ns()
        span = self.tracer.start_span(
            name, kind=SpanKind.CLIENT, attributes=attributes, start_time=begun_ns
        )
        carrier: dict[str, str] = {}
        inside = trace.set_span_in_context(span)
        propagate.inject(carrier, inside)
        return _Operation(self, kind, subject, span, attributes, begun_ns), list(carrier.items())

    # ---- operations of several calls ----

    def span(self, operation: str, subject: Subject | None) -> AbstractContextManager[Span]:
        return UNTRACED if _is_suppressed() else _Block(self, operation, subject)

    def add(self, subject: Any) -> None:
        self.metrics.add(subject)

    def running(self, seconds: float) -> None:
        self.metrics.start(seconds)


def _is_suppressed() -> bool:
    return any(context.get_value(key) for key in _SUPPRESSED)


def _server(target: str) -> dict[str, Any]:
    parts = urlsplit(target)
    if parts.scheme == "unix":
        return {"server.address": parts.path}
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname or "", "server.port": port}


class _Operation:
    """A native operation and its span. The core keeps it until the operation has ended."""

    def __init__(
        self,
        tracing: Tracing,
        kind: str,
        subject: Any,
        span: trace.Span,
        attributes: dict[str, Any],
        begun_ns: int,
    ) -> None:
        self._tracing = tracing
        self._kind = kind
        self._core = None if kind == "unary" else subject
        self._span = span
        self._attributes = attributes
        self._begun_ns = begun_ns

    def context(self) -> contextvars.Context:
        """For what is done to complete it."""
        own = contextvars.Context()
        own.run(context.attach, trace.set_span_in_context(self._span))
        return own

    def end(self, end: drain.End) -> None:
        span = self._span
        ended_ns = max(end.ended_ns, self._begun_ns)  # the clock may have been set
        if self._core is not None and self._core.sandbox_id is not None:
            span.set_attribute("cwsandbox.sandbox.id", self._core.sandbox_id)
        if end.sent_ns and self._core is not None:
            queued_ns = max(end.sent_ns - self._begun_ns, 0)
            span.set_attribute("cwsandbox.queue.duration", queued_ns / 1e9)
        ended: dict[str, Any] = {}
        if end.how in ("exited", "done"):
            ended["rpc.response.status_code"] = "OK"
        elif end.how == "status":
            ended["rpc.response.status_code"] = code_name(end.code)
        failure = self._failure(end)
        if failure is not None:
            ended["error.type"] = failure
            span.set_status(Status(StatusCode.ERROR, end.text))
        span.set_attributes(ended)
        if end.how == "exited":
            span.set_attribute("process.exit.code", end.exit_code)
        span.end(ended_ns)
        self._measure(ended, (ended_ns - (end.sent_ns or self._begun_ns)) / 1e9)

    def _failure(self, end: drain.End) -> str | None:
        """What kind of failure it is; None if it is none."""
        if end.how == "exited":
            return str(end.exit_code) if end.exit_code else None
        if end.how == "done":
            return None
        operation = self._attributes.get("cwsandbox.operation")
        if end.how == "cancelled" and operation in _MAY_BE_CLOSED:
            return None
        return code_name(end.code) if end.how == "status" else end.reason or end.how

    def _measure(self, ended: dict[str, Any], seconds: float) -> None:
        metrics = self._tracing.metrics
        of_call = ("rpc.system.name", "rpc.method", "server.address", "server.port")
        known = {name: self._attributes[name] for name in of_call if name in self._attributes}
        seconds = max(seconds, 0.0)
        is_ok = ended.get("rpc.response.status_code") == "OK"
        # A command's exit code is no failure of the call.
        metrics.call(seconds, known | ({"rpc.response.status_code": "OK"} if is_ok else ended))
        if self._kind in ("exec", "shell"):
            failed = {"error.type": ended["error.type"]} if "error.type" in ended else {}
            metrics.command(seconds, {"cwsandbox.operation": self._kind, **failed})


class _Block:
    """An operation of several calls: a span that is the current one inside of the block."""

    def __init__(self, tracing: Tracing, operation: str, subject: Subject | None) -> None:
        self._tracing = tracing
        self._operation = operation
        self._subject = subject
        self._failure: str | None = None
        self._span: trace.Span = trace.INVALID_SPAN
        self._token: Token[Context] | None = None

    def __enter__(self) -> Self:
        self._begun_ns = time_ns()
        try:
            self._span = self._tracing.tracer.start_span(
                f"cwsandbox.{self._operation}",
                attributes={"cwsandbox.operation": self._operation},
                start_time=self._begun_ns,
            )
            self._inside = trace.set_span_in_context(self._span)
            self._token = context.attach(self._inside)
        except Exception:
            drain.log_failure()
        return self

    def set(self, name: str, value: Any) -> None:
        self._span.set_attribute(name, value)

    def fail(self, kind: str, text: str) -> None:
        self._failure = kind
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR, text))

    def __exit__(self, kind: type[BaseException] | None, error: Any, _: object) -> None:
        if self._token is not None and context.get_current() is self._inside:
            # A block may be left in another context than it was entered in, as by fixtures of tests.
            context.detach(self._token)
        try:
            self._end(kind, error)
        except Exception:
            drain.log_failure()

    def _end(self, kind: type[BaseException] | None, error: Any) -> None:
        if kind is not None and issubclass(kind, _CANCELLED):
            self.fail("cancelled", "")
        elif kind is not None:
            self._span.record_exception(error)
            self.fail(kind.__qualname__, str(error))
        if self._subject is not None and self._subject.sandbox_id is not None:
            self.set("cwsandbox.sandbox.id", self._subject.sandbox_id)
        ended_ns = max(time_ns(), self._begun_ns)
        self._span.end(ended_ns)
        attributes = {"cwsandbox.operation": self._operation}
        if self._failure is not None:
            attributes["error.type"] = self._failure
        self._tracing.metrics.operation((ended_ns - self._begun_ns) / 1e9, attributes)


def code_name(code: int) -> str:
    """The name of a gRPC status; its number where it is none that gRPC knows."""
    return Code(code).name if code in Code._value2member_map_ else str(code)
