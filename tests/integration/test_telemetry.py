"""cwsandbox.instrument() against the daemon, which takes the trace context like any metadata."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import cwsandbox
from cwsandbox import Sandbox, SandboxError


class Spans:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def named(self, name: str) -> list[ReadableSpan]:
        return [s for s in self.exporter.get_finished_spans() if s.name == name]

    def come(self, name: str) -> list[ReadableSpan]:
        """Waits for the first, of what nobody has asked the outcome of."""
        ends = time.monotonic() + 20
        while not self.named(name) and time.monotonic() < ends:
            time.sleep(0.01)
        return self.named(name)

    def parent(self, span: ReadableSpan) -> str | None:
        names = {s.context.span_id: s.name for s in self.exporter.get_finished_spans()}
        return None if span.parent is None else names.get(span.parent.span_id)


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    cwsandbox.instrument(tracer_provider=made.provider)
    yield made
    cwsandbox.uninstrument()


def test_commands_files_and_logs(spans: Spans, base_url: str) -> None:
    with Sandbox.run("sh", "-c", "echo begun; exec sleep 60") as sandbox:
        assert sandbox.exec(["sh", "-c", "exit 7"]).result().returncode == 7
        sandbox.write_file("/tmp/a", b"content").result()
        assert sandbox.read_file("/tmp/a").result() == b"content"
        sandbox.exec(["no-such-program"])
        reader = sandbox.stream_logs(follow=True)
        assert next(reader) == "begun\n"
        reader.close()
        (log,) = spans.come("cwsandbox.stream_logs")
        (missing,) = spans.come("no-such-program")
        (seven,) = spans.named("sh")
    assert (seven.attributes or {})["process.exit.code"] == 7
    assert log.status.status_code is StatusCode.UNSET
    assert missing.status.status_code is StatusCode.ERROR
    assert (missing.attributes or {})["error.type"]
    for name in ("write_file", "read_file", "create", "stop"):
        (span,) = spans.named(f"cwsandbox.{name}")
        assert span.status.status_code is StatusCode.UNSET, name
        assert (span.attributes or {})["cwsandbox.sandbox.id"] == sandbox.sandbox_id


def test_a_file_that_takes_several_calls(spans: Spans, sandbox: Sandbox) -> None:
    """The command that transfers it belongs to the operation; who came before has nothing to do with it."""
    tracer = spans.provider.get_tracer("test")
    for name in ("first", "second"):
        with tracer.start_as_current_span(name):
            sandbox.exec(["truncate", "-s", "105000000", "/tmp/large"], check=True).result()
            assert len(sandbox.read_file("/tmp/large").result()) == 105_000_000
    reads = spans.named("cwsandbox.read_file")
    outer = [span for span in reads if spans.parent(span) in ("first", "second")]
    inner = [span for span in reads if spans.parent(span) == "cwsandbox.read_file"]
    assert [spans.parent(span) for span in outer] == ["first", "second"]
    assert len(inner) == 2
    assert {s.parent.span_id for s in inner if s.parent} == {s.context.span_id for s in outer}
    assert {span.status.status_code for span in reads} == {StatusCode.UNSET}


def test_a_streamed_file(spans: Spans, sandbox: Sandbox) -> None:
    with spans.provider.get_tracer("test").start_as_current_span("root"):
        sandbox.write_file_streaming("/tmp/b", [b"one", b"two"]).result()
        assert b"".join(sandbox.read_file_streaming("/tmp/b")) == b"onetwo"
    (read,) = spans.come("cwsandbox.read_file_streaming")
    (write,) = spans.named("cwsandbox.write_file")
    assert {spans.parent(read), spans.parent(write)} == {"root"}
    assert {read.status.status_code, write.status.status_code} == {StatusCode.UNSET}


async def test_a_file_that_is_not_there(spans: Spans, sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError):
        await sandbox.read_file("/tmp/none")
    (span,) = spans.named("cwsandbox.read_file")
    assert (span.attributes or {})["error.type"] == "NOT_FOUND"
