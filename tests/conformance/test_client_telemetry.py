"""cwsandbox.instrument(): spans, metrics, and what a grpcio server gets of the trace."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import grpc
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

import cwsandbox
from conformance.grpc_peer import Call, GrpcPeer
from conformance.telemetry import Seen, id_of, parent
from cwsandbox import CWSandboxError, Job, Sandbox, SandboxDefaults, SandboxError, Session

SERVICE = "coreweave.sandbox.v1.SandboxService/"


@pytest.fixture
def seen() -> Iterator[Seen]:
    made = Seen()
    made.instrument()
    yield made
    cwsandbox.uninstrument()


@pytest.fixture(autouse=True)
def commands(grpc_peer: GrpcPeer) -> None:
    @grpc_peer.command("ok")
    async def ok(call: Call) -> None:
        await call.ready()
        await call.exit(0)

    @grpc_peer.command("/bin/three")
    async def three(call: Call) -> None:
        await call.exit(3)


@pytest.fixture
def root(seen: Seen) -> Iterator[trace.Span]:
    """The program's own span."""
    with seen.tracers.get_tracer("test").start_as_current_span("root") as span:
        yield span


def traceparent(span: Any) -> str:
    own = span.get_span_context()
    return f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"


def headers(peer: GrpcPeer, method: str) -> list[str | bytes | None]:
    return [dict(sent).get("traceparent") for sent in peer.metadata.get(method, [])]


# ---- commands ----


def long_command(grpc_peer: GrpcPeer) -> tuple[asyncio.Event, asyncio.Event]:
    """The command "long": what it sets when it has begun, and what ends it with the exit code 0."""
    begun, go = grpc_peer.event(), grpc_peer.event()

    @grpc_peer.command("long")
    async def long(call: Call) -> None:
        begun.set()
        await go.wait()
        await call.exit(0)

    return begun, go


def test_a_command(grpc_peer: GrpcPeer, seen: Seen, root: trace.Span) -> None:
    with Sandbox.run() as sandbox:
        assert sandbox.exec(["/bin/three", "--password=x"]).result().returncode == 3
        span = seen.span("three")
        sandbox_id = sandbox.sandbox_id
    assert span.kind is SpanKind.CLIENT
    assert parent(span) == id_of(root)
    assert span.status.status_code is StatusCode.ERROR
    attributes = dict(span.attributes or {})
    assert attributes.pop("cwsandbox.queue.duration") >= 0  # type: ignore[operator]
    assert attributes == {
        "cwsandbox.operation": "exec",
        "cwsandbox.sandbox.id": sandbox_id,
        "error.type": "3",
        "process.executable.name": "three",
        "process.exit.code": 3,
        "rpc.method": f"{SERVICE}StreamExec",
        "rpc.response.status_code": "OK",
        "rpc.system.name": "grpc",
    }
    assert headers(grpc_peer, "StreamExec") == [traceparent(span)]


def test_nothing_secret_is_recorded(grpc_peer: GrpcPeer, seen: Seen) -> None:
    with Sandbox.run(environment_variables={"A": "hidden-1"}) as sandbox:
        sandbox.exec(["ok", "hidden-2"], env={"B": "hidden-3"}).result()
        sandbox.write_file("/tmp/hidden-4", b"hidden-5").result()
    assert len(seen.exporter.get_finished_spans()) > 5
    for span in seen.exporter.get_finished_spans():
        assert "hidden" not in span.to_json()


def test_commands_are_recorded_for_who_asks(grpc_peer: GrpcPeer) -> None:
    seen = Seen()
    seen.instrument(record_commands=True)
    try:
        with Sandbox.run() as sandbox:
            sandbox.exec(["ok", "a b", "ü"]).result()
    finally:
        cwsandbox.uninstrument()
    assert seen.span("ok").attributes is not None
    assert seen.span("ok").attributes["process.command_args"] == ("ok", "a b", "ü")


def test_the_span_ends_when_the_command_does(grpc_peer: GrpcPeer, seen: Seen) -> None:
    """Not when somebody asks; nobody does here."""
    begun, go = long_command(grpc_peer)
    with Sandbox.run() as sandbox:
        sandbox.exec(["long"])
        grpc_peer.wait(begun)
        assert not seen.spans("long")
        before = time.time_ns()
        grpc_peer.set(go)
        (span,) = seen.come("long")
        assert span.end_time is not None
        assert span.start_time is not None
        assert span.start_time < before <= span.end_time <= time.time_ns()
        assert span.status.status_code is StatusCode.UNSET


class Slow(SpanProcessor):
    """Lets the test see that a span is about to end, and keeps it there for a while."""

    def __init__(self) -> None:
        self.is_entered = threading.Event()
        self.may_leave = threading.Event()
        self.has_left = False

    def on_end(self, span: ReadableSpan) -> None:
        if span.name == "long":
            self.is_entered.set()
            self.has_left = self.may_leave.wait(20)


def test_who_asks_waits_for_another_thread_to_end_the_span(grpc_peer: GrpcPeer, seen: Seen) -> None:
    slow = Slow()
    seen.tracers.add_span_processor(slow)
    begun, go = long_command(grpc_peer)
    with Sandbox.run() as sandbox:
        process = sandbox.exec(["long"])
        grpc_peer.wait(begun)
        grpc_peer.set(go)
        assert slow.is_entered.wait(20)
        threading.Timer(0.2, slow.may_leave.set).start()
        process.result()
        assert slow.has_left


async def test_from_tasks(grpc_peer: GrpcPeer, seen: Seen) -> None:
    """Each command belongs to the span of the task that starts it."""
    tracer = seen.tracers.get_tracer("test")

    async def one(sandbox: Sandbox, number: int) -> tuple[int, int]:
        with tracer.start_as_current_span(f"task-{number}") as span:
            await asyncio.sleep(0)
            await sandbox.exec(["ok"], timeout_seconds=20 + number)
            return number, id_of(span)

    async with Sandbox.run() as sandbox:
        owners = dict(await asyncio.gather(*(one(sandbox, number) for number in range(10))))
    assert {parent(span) for span in seen.spans("ok")} == set(owners.values())


def test_from_threads(grpc_peer: GrpcPeer, seen: Seen, root: trace.Span) -> None:
    parents: dict[str, int] = {}

    def work(sandbox: Sandbox, name: str) -> None:
        with seen.tracers.get_tracer("test").start_as_current_span(name) as span:
            sandbox.exec(["ok"]).result()
            parents[name] = id_of(span)

    with Sandbox.run() as sandbox:
        threads = [threading.Thread(target=work, args=(sandbox, f"thread-{n}")) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(seen.spans("ok")) == 5
    assert {parent(span) for span in seen.spans("ok")} == set(parents.values())


def test_a_command_that_is_cancelled(grpc_peer: GrpcPeer, seen: Seen) -> None:
    begun, _ = long_command(grpc_peer)
    with Sandbox.run() as sandbox:
        process = sandbox.exec(["long"])
        grpc_peer.wait(begun)
        process.cancel()
        with pytest.raises(CancelledError):
            process.result()
        (span,) = seen.come("long")
    assert span.attributes is not None
    assert span.attributes["error.type"] == "cancelled"
    assert span.status.status_code is StatusCode.ERROR


def test_a_terminal(grpc_peer: GrpcPeer, seen: Seen) -> None:
    with Sandbox.run() as sandbox, sandbox.shell(["ok"]) as session:
        session.wait()
        span = seen.span("ok")
    assert span.attributes is not None
    assert span.attributes["cwsandbox.operation"] == "shell"


# ---- sandboxes ----


def test_the_life_of_a_sandbox(grpc_peer: GrpcPeer, seen: Seen, root: trace.Span) -> None:
    with Sandbox.run() as sandbox:
        sandbox.wait()
    create, wait, stop = (seen.span(f"cwsandbox.{name}") for name in ("create", "wait", "stop"))
    for span in (create, wait, stop):
        assert span.kind is SpanKind.INTERNAL
        assert parent(span) == id_of(root), span.name
        assert span.status.status_code is StatusCode.UNSET
        assert span.attributes is not None
        assert span.attributes["cwsandbox.sandbox.id"] == sandbox.sandbox_id
    call = seen.span(f"{SERVICE}CreateSandbox")
    assert parent(call) == id_of(create)
    assert call.attributes is not None
    assert call.attributes["server.address"] == "localhost"
    assert headers(grpc_peer, "CreateSandbox") == [traceparent(call)]
    assert parent(seen.span(f"{SERVICE}DeleteSandbox")) == id_of(stop)
    assert parent(seen.spans(f"{SERVICE}GetSandbox")[0]) == id_of(wait)
    assert None not in headers(grpc_peer, "GetSandbox")


def test_a_create_that_fails(grpc_peer: GrpcPeer, seen: Seen) -> None:
    async def refuse(request: Any, answer: Any) -> Any:
        await grpc_peer.fail(answer, grpc.StatusCode.PERMISSION_DENIED, message="not you")

    grpc_peer.overrides["CreateSandbox"] = refuse
    with pytest.raises(CWSandboxError) as caught:
        Sandbox.run()
    call, create = seen.span(f"{SERVICE}CreateSandbox"), seen.span("cwsandbox.create")
    for span, kind in ((call, "PERMISSION_DENIED"), (create, type(caught.value).__name__)):
        assert span.status.status_code is StatusCode.ERROR
        assert "not you" in (span.status.description or "")
        assert span.attributes is not None
        assert span.attributes["error.type"] == kind
    assert [event.name for event in create.events] == ["exception"]


def test_files_and_logs(grpc_peer: GrpcPeer, seen: Seen, root: trace.Span) -> None:
    async def log(request: Any, answer: Any) -> None:
        return

    grpc_peer.logs = [log]
    with Sandbox.run() as sandbox:
        sandbox.write_file("/a", b"x").result()
        sandbox.read_file("/a").result()
        with pytest.raises(SandboxError):
            sandbox.read_file("/none").result()
        list(sandbox.stream_logs())
        (logs,) = seen.come("cwsandbox.stream_logs")
    write, (good, bad) = seen.span("cwsandbox.write_file"), seen.spans("cwsandbox.read_file")
    assert {parent(span) for span in (write, good, bad, logs)} == {id_of(root)}
    assert bad.attributes is not None
    assert bad.attributes["error.type"] == "NOT_FOUND"
    assert headers(grpc_peer, "ReadFile") == [traceparent(good), traceparent(bad)]


# ---- what belongs together ----


def test_a_session_is_a_parent(grpc_peer: GrpcPeer, seen: Seen, root: trace.Span) -> None:
    with Session(SandboxDefaults()) as session:
        session.sandbox().exec(["ok"]).result()
    own = seen.span("cwsandbox.session")
    assert parent(own) == id_of(root)
    for name in ("ok", "cwsandbox.stop"):
        assert parent(seen.span(name)) == id_of(own), name
    assert trace.get_current_span() is root


async def test_an_asynchronous_session(grpc_peer: GrpcPeer, seen: Seen) -> None:
    before = trace.get_current_span()
    async with Session(SandboxDefaults()) as session:
        await session.sandbox().exec(["ok"])
    assert parent(seen.span("ok")) == id_of(seen.span("cwsandbox.session"))
    assert trace.get_current_span() is before


def test_jobs_of_a_batch(grpc_peer: GrpcPeer, seen: Seen, root: trace.Span) -> None:
    jobs = [Job("good", ["ok"]), Job("bad", ["/bin/three"])]
    verdicts = {outcome.job.key: outcome.verdict for outcome in cwsandbox.batch(jobs)}
    (batch,) = seen.come("cwsandbox.batch")
    assert parent(batch) == id_of(root)
    spans = {
        str((span.attributes or {})["cwsandbox.job.key"]): span
        for span in seen.spans("cwsandbox.job")
    }
    assert set(spans) == set(verdicts) == {"good", "bad"}
    for key, command in (("good", "ok"), ("bad", "three")):
        assert parent(spans[key]) == id_of(batch)
        assert parent(seen.span(command)) == id_of(spans[key])
        assert (spans[key].attributes or {})["cwsandbox.job.verdict"] == verdicts[key].value
    assert spans["good"].status.status_code is StatusCode.UNSET
    assert spans["bad"].status.status_code is StatusCode.ERROR


# ---- trace context ----


def test_baggage_and_tracestate_go_along(grpc_peer: GrpcPeer, seen: Seen) -> None:
    remote = trace.SpanContext(
        0x1234, 0x5678, True, trace.TraceFlags(1), trace.TraceState([("vendor", "value")])
    )
    there = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    token = context.attach(baggage.set_baggage("user", "zoë, ü", there))
    try:
        with Sandbox.run() as sandbox:
            sandbox.exec(["ok"]).result()
    finally:
        context.detach(token)
    sent = dict(grpc_peer.metadata["StreamExec"][0])
    assert sent["traceparent"] == traceparent(seen.span("ok"))
    assert f"{0x1234:032x}" in str(sent["traceparent"])
    assert sent["tracestate"] == "vendor=value"
    assert str(sent["baggage"]).startswith("user=zo%C3%AB")


@pytest.mark.parametrize("key", [context._SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation"])
def test_suppressed(grpc_peer: GrpcPeer, seen: Seen, key: str) -> None:
    token = context.attach(context.set_value(key, True))
    try:
        with Sandbox.run() as sandbox:
            sandbox.exec(["ok"]).result()
    finally:
        context.detach(token)
    assert seen.exporter.get_finished_spans() == ()
    assert set(headers(grpc_peer, "StreamExec")) == {None}


def test_twice_is_once(grpc_peer: GrpcPeer, seen: Seen) -> None:
    other = Seen()
    other.instrument()
    with Sandbox.run() as sandbox:
        sandbox.exec(["ok"]).result()
        assert len(seen.spans("ok")) == 1
        cwsandbox.uninstrument()
        cwsandbox.uninstrument()
        sandbox.exec(["ok"]).result()
        assert headers(grpc_peer, "StreamExec")[1:] == [None]
        other.instrument()
        sandbox.exec(["ok"]).result()
    assert len(seen.spans("ok")) == 1
    assert len(other.spans("ok")) == 1


def test_what_is_under_way_ends_after_uninstrument(grpc_peer: GrpcPeer, seen: Seen) -> None:
    begun, go = long_command(grpc_peer)
    with Sandbox.run() as sandbox:
        process = sandbox.exec(["long"])
        grpc_peer.wait(begun)
        cwsandbox.uninstrument()
        grpc_peer.set(go)
        process.result()
        assert len(seen.come("long")) == 1


class Broken(SpanProcessor):
    """As a program's own may be."""

    def __init__(self, *methods: str) -> None:
        for name in methods:
            setattr(self, name, self._fail)

    def _fail(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("broken")


def test_a_processor_that_fails_at_the_end(
    grpc_peer: GrpcPeer, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    seen.tracers.add_span_processor(Broken("on_end"))
    with Sandbox.run() as sandbox:
        assert sandbox.exec(["ok"]).result().returncode == 0
        sandbox.exec(["/bin/three"])
        assert len(seen.come("three")) == 1
    assert len(seen.spans("cwsandbox.stop")) == 1
    assert {record.message for record in caplog.records} == {"OpenTelemetry failed at a span"}


def test_a_processor_that_fails_at_the_start(
    grpc_peer: GrpcPeer, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: raised.append(what.exc_value))
    seen.tracers.add_span_processor(Broken("on_start"))
    before = context.get_current()
    with Session(SandboxDefaults()) as session:
        assert session.sandbox().exec(["ok"]).result().returncode == 0
    assert context.get_current() is before
    assert {str(error) for error in raised} == {"broken"}


# ---- metrics ----


def test_metrics(grpc_peer: GrpcPeer, seen: Seen) -> None:
    with Sandbox.run() as sandbox:
        for command in ("ok", "ok", "/bin/three"):
            sandbox.exec([command]).result()
        counts = seen.metric("cwsandbox.sandbox.count")
        assert {key: point.value for key, point in counts.items()} == {
            frozenset({("cwsandbox.sandbox.status", "running")}): 1
        }
        assert sum(point.value for point in seen.metric("cwsandbox.connections").values()) >= 1
    commands = seen.metric("cwsandbox.exec.duration")
    good = {("cwsandbox.operation", "exec")}
    assert commands[frozenset(good)].count == 2
    assert commands[frozenset(good | {("error.type", "3")})].count == 1
    assert [point.count for point in seen.metric("cwsandbox.sandbox.start.duration").values()] == [
        1
    ]
    operations = seen.metric("cwsandbox.operation.duration")
    assert {frozenset({("cwsandbox.operation", name)}) for name in ("create", "stop")} <= set(
        operations
    )
    calls = seen.metric("rpc.client.call.duration")
    by_method: dict[Any, int] = {}
    for key, point in calls.items():
        method = dict(key)["rpc.method"]
        by_method[method] = by_method.get(method, 0) + point.count
    assert by_method[f"{SERVICE}StreamExec"] == 3
    assert by_method[f"{SERVICE}CreateSandbox"] == 1
    assert seen.metric("cwsandbox.sandbox.count") == {}
    assert not any("sb-" in str(key) for key in [*calls, *commands, *operations])


# ---- other processes ----

PROGRAM = """
import os, sys
import cwsandbox
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

class Printer(SpanExporter):
    def export(self, spans):
        for span in spans:
            os.write(1, f"{span.name} {os.getpid() == first}\\n".encode())
        return SpanExportResult.SUCCESS

first = os.getpid()
tracers = TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(Printer()))
cwsandbox.instrument(tracer_provider=tracers)
"""


def run(rest: str, peer: GrpcPeer) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + rest],
        env=os.environ | {"CWSANDBOX_BASE_URL": peer.base_url},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_end_of_the_process_loses_no_span(grpc_peer: GrpcPeer) -> None:
    lines = run(
        """
with cwsandbox.Sandbox.run() as sandbox:
    sandbox.exec(["ok"]).wait()
    sandbox.exec(["/bin/three"])
""",
        grpc_peer,
    )
    assert lines.count("ok True") == lines.count("three True") == 1
    assert f"{SERVICE}DeleteSandbox True" in lines


def test_a_forked_child_traces_its_own(grpc_peer: GrpcPeer) -> None:
    lines = run(
        """
def work():
    with cwsandbox.Sandbox.run() as sandbox:
        sandbox.exec(["ok"]).result()
work()
child = os.fork()
if child == 0:
    work()
    sys.stdout.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
""",
        grpc_peer,
    )
    assert lines.count("ok True") == lines.count("ok False") == 1


@pytest.mark.parametrize("wrong", ["yes", 1, None])
def test_a_wrong_option(wrong: Any) -> None:
    with pytest.raises(TypeError, match="record_commands must be a bool"):
        cwsandbox.instrument(record_commands=wrong)


def test_without_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with pytest.raises(ImportError, match=r"pip install 'cwsandbox\[otel\]'"):
        cwsandbox.instrument()
