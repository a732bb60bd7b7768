"""The spans of remote functions: one for a call, around those of the operations that it consists of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

import cwsandbox
from conformance.file_peer import answer
from conformance.grpc_peer import Call, GrpcPeer
from conformance.telemetry import Seen, id_of, parent
from cwsandbox import SandboxError, SandboxExecutionError, Session, results

SPAN = "cwsandbox.function"
# In the order of their ends.
PARTS = [f"cwsandbox.{part}" for part in ("wait", "write_file", "read_file", "stop")]
PARTS.insert(2, "python3")
RAISED = b'{"ok": false, "stage": "call", "python": "3", "type": "KeyError", "message": "\'x\'"}\n'


def half(number: int) -> float:
    return number / 2


@pytest.fixture
def seen() -> Iterator[Seen]:
    made = Seen()
    made.instrument()
    yield made
    cwsandbox.uninstrument()


@pytest.fixture
def root(seen: Seen) -> Iterator[trace.Span]:
    with seen.tracers.get_tracer("test").start_as_current_span("root") as span:
        yield span


@pytest.fixture
def ended(grpc_peer: GrpcPeer) -> dict[str, Any]:
    """What the sandbox's python3 leaves as the result, and its exit code."""
    told: dict[str, Any] = {"result": b'{"ok": true, "python": "3"}\n[0.5]', "code": 0}

    @grpc_peer.command("python3")
    async def python(call: Call) -> None:
        await call.ready()
        grpc_peer.files[call.argv[4]] = told["result"]
        await call.exit(told["code"])

    return told


def parts(seen: Seen, of: ReadableSpan) -> list[str]:
    """The operations that belong to a span; single calls of the service may come at any time."""
    return [
        span.name
        for span in seen.exporter.get_finished_spans()
        if parent(span) == id_of(of) and "/" not in span.name
    ]


def test_a_call(seen: Seen, root: trace.Span, ended: Any) -> None:
    session = Session()
    assert session.function()(half).remote(1).result() == [0.5]
    span = seen.span(SPAN)
    assert (span.kind, span.status.status_code) == (SpanKind.INTERNAL, StatusCode.UNSET)
    assert parent(span) == id_of(root)
    assert span.attributes == {
        "cwsandbox.operation": "function",
        "cwsandbox.sandbox.id": "sb-1",
        "code.function.name": f"{__name__}.half",
    }
    assert parts(seen, span) == PARTS
    assert parent(seen.span("cwsandbox.create")) == id_of(seen.span("cwsandbox.wait"))
    (point,) = [
        one
        for labels, one in seen.metric("cwsandbox.operation.duration").items()
        if labels == {("cwsandbox.operation", "function")}
    ]
    assert point.count == 1


def test_a_function_that_raises(seen: Seen, root: trace.Span, ended: Any) -> None:
    ended.update(result=RAISED, code=1)
    with pytest.raises(SandboxExecutionError):
        Session().function()(half).remote(1).result()
    span = seen.span(SPAN)
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "Function 'half' execution failed in sandbox: KeyError: 'x'"
    assert (span.attributes or {})["error.type"] == "SandboxExecutionError"
    assert parts(seen, span) == PARTS


def test_each_call_belongs_to_whoever_calls(seen: Seen, ended: Any) -> None:
    session = Session()
    remote = session.function()(half)
    tracer = seen.tracers.get_tracer("test")
    calls = []
    for name in ("first", "second"):
        with tracer.start_as_current_span(name):
            calls += remote.map([(1,), (2,)])
    assert results(calls) == [[0.5]] * 4
    spans = seen.spans(SPAN)
    parents = {id_of(seen.span(name)) for name in ("first", "second")}
    assert len(spans) == 4
    assert {parent(span) for span in spans} == parents
    assert [parts(seen, span) for span in spans] == [PARTS] * 4


async def test_a_call_in_a_session_and_a_task(seen: Seen, root: trace.Span, ended: Any) -> None:
    async with Session() as session:
        assert await session.function()(half).remote(1) == [0.5]
    outer = seen.span("cwsandbox.session")
    assert parent(outer) == id_of(root)
    assert parent(seen.span(SPAN)) == id_of(outer)


def test_a_sandbox_that_cannot_be_made(grpc_peer: GrpcPeer, seen: Seen) -> None:
    answer(grpc_peer, "CreateSandbox", grpc.StatusCode.UNAVAILABLE)
    remote = Session(cwsandbox.SandboxDefaults(request_timeout_seconds=0.2)).function()(half)
    with pytest.raises(SandboxError):
        remote.remote(1).result()
    span = seen.span(SPAN)
    assert span.status.status_code is StatusCode.ERROR
    assert parts(seen, span) == ["cwsandbox.wait", "cwsandbox.stop"]
    assert "cwsandbox.sandbox.id" not in (span.attributes or {})


async def test_a_call_that_is_cancelled(grpc_peer: GrpcPeer, seen: Seen) -> None:
    begun = grpc_peer.event()

    @grpc_peer.command("python3")
    async def hang(call: Call) -> None:
        begun.set()
        await asyncio.Event().wait()

    session = Session()
    call = asyncio.ensure_future(session.function()(half).remote(1))
    await asyncio.to_thread(grpc_peer.wait, begun)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    (span,) = seen.come(SPAN)
    assert (span.status.status_code, (span.attributes or {})["error.type"]) == (
        StatusCode.ERROR,
        "cancelled",
    )
    (stop,) = seen.come("cwsandbox.stop")
    assert parent(stop) == id_of(span)
    await session.close()
