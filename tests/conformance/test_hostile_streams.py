"""What our client makes of single streams that go wrong in ways only a broken or evil server knows."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import h2.errors
import pytest

from conformance.h2_peer import RESPONSE_HEADERS, H2Peer, Stream
from cwsandbox import (
    Process,
    Sandbox,
    SandboxError,
    SandboxExecutionError,
    SandboxResourceExhaustedError,
    SandboxTimeoutError,
    SandboxUnavailableError,
)

Hostile = Callable[..., tuple[H2Peer, Sandbox]]
TEXT = "aé€😀z\n"


def failure(process: Process, kind: type[SandboxError] = SandboxError) -> SandboxError:
    """The exception that every way of asking gives, with what was received before in it."""
    with pytest.raises(kind) as caught:
        process.result()
    with pytest.raises(kind):
        process.wait()
    with pytest.raises(kind):
        process.poll()
    assert process.returncode is None
    return caught.value


def partial_stdout(error: SandboxError) -> str:
    result: Any = error.exec_result  # type: ignore[attr-defined]
    return str(result.stdout)


async def begin(stream: Stream) -> None:
    await stream.init()
    await stream.start()
    await stream.ready()


def test_missing_exit_is_never_success(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.out(b"some output\n")
        await stream.trailers(0)

    _, sandbox = hostile(script)
    process = sandbox.exec(["x"])
    error = failure(process, SandboxExecutionError)
    assert "without an exit status" in str(error)
    assert partial_stdout(error) == "some output\n"


def test_reset_after_partial_output(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.out(b"half a li")
        await stream.reset(h2.errors.ErrorCodes.INTERNAL_ERROR)

    _, sandbox = hostile(script)
    process = sandbox.exec(["x"])
    lines = []
    with pytest.raises(SandboxError):
        for line in process.stdout:
            lines.append(line)
    assert lines == ["half a li"]
    assert list(process.stdout) == []  # told once
    error = failure(process)
    assert partial_stdout(error) == "half a li"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, SandboxResourceExhaustedError),
        (h2.errors.ErrorCodes.PROTOCOL_ERROR, SandboxError),
    ],
)
def test_reset_codes(
    hostile: Hostile, code: h2.errors.ErrorCodes, kind: type[SandboxError]
) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.reset(code)

    _, sandbox = hostile(script)
    failure(sandbox.exec(["x"]), kind)


def test_lost_connection_after_partial_output(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.out(b"before\n")
        await stream.out(b"after")
        stream.connection.drop()

    peer, sandbox = hostile(script)
    error = failure(sandbox.exec(["x"]), SandboxUnavailableError)
    assert "before\nafter".startswith(partial_stdout(error))
    assert len(peer.execs) == 1  # processed: not to be sent again


def test_server_error_after_partial_output(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.out(b"partial\n")
        await stream.trailers(14, ("grpc-message", "the runner went away 100%25"))

    _, sandbox = hostile(script)
    error = failure(sandbox.exec(["x"]), SandboxUnavailableError)
    assert "the runner went away 100%" in str(error)
    assert partial_stdout(error) == "partial\n"


def test_end_without_trailers(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.out(b"partial\n")
        await stream.end_without_trailers()

    _, sandbox = hostile(script)
    assert partial_stdout(failure(sandbox.exec(["x"]))) == "partial\n"


def test_exit_before_a_lost_connection_counts(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.out(b"all of it\n")
        await stream.exit(3)
        await stream.end_without_trailers()

    _, sandbox = hostile(script)
    result = sandbox.exec(["x"]).result()
    assert (result.stdout, result.returncode) == ("all of it\n", 3)


@pytest.mark.parametrize("cut", range(len(TEXT.encode()) + 1))
def test_characters_split_at_each_byte(hostile: Hostile, cut: int) -> None:
    raw = TEXT.encode()

    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.out(raw[:cut])
        await stream.out(raw[cut:])
        await stream.exit()
        await stream.trailers()

    _, sandbox = hostile(script)
    process = sandbox.exec(["x"])
    assert list(process.stdout) == [TEXT]
    assert process.result().stdout == TEXT


def test_invalid_utf8_becomes_replacement_characters(hostile: Hostile) -> None:
    raw = b"ok \xff\xfe \xe2\x82\nnext \xf0\x9f"

    async def script(stream: Stream) -> None:
        await begin(stream)
        for byte in raw:
            await stream.out(bytes([byte]))
        await stream.exit()
        await stream.trailers()

    _, sandbox = hostile(script)
    process = sandbox.exec(["x"])
    assert "".join(process.stdout) == raw.decode("utf-8", "replace")
    result = process.result()
    assert result.stdout == raw.decode("utf-8", "replace")
    assert result.stdout_bytes == raw


def test_one_byte_data_frames(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await stream.init()
        await stream.start()
        await stream.send(1, ready=stream.pb.ExecStreamReady())
        await stream.out(b"first line\nsecond", chunk=1)
        await stream.send(1, exit=stream.pb.ExecStreamExit(exit_code=5))
        await stream.trailers()

    _, sandbox = hostile(script)
    process = sandbox.exec(["x"])
    assert list(process.stdout) == ["first line\n", "second"]
    assert process.result().returncode == 5


def test_oversized_message_is_refused_by_its_length(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.raw(struct.pack(">BI", 0, 100 * 1024 * 1024 + 1) + b"x" * 100)
        await stream.ended.wait()

    peer, sandbox = hostile(script)
    error = failure(sandbox.exec(["x"]), SandboxResourceExhaustedError)
    assert "larger than max" in str(error)
    assert len(peer.execs) == 1


def test_compressed_message_is_an_error(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.raw(struct.pack(">BI", 1, 3) + b"abc")
        await stream.trailers()

    _, sandbox = hostile(script)
    failure(sandbox.exec(["x"]))


def test_message_cut_short_by_the_end(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.raw(struct.pack(">BI", 0, 50) + b"only this")
        await stream.trailers()

    _, sandbox = hostile(script)
    failure(sandbox.exec(["x"]))


def test_message_that_is_no_protobuf(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.raw(struct.pack(">BI", 0, 4) + b"\xff\xff\xff\xff")
        await stream.trailers()

    _, sandbox = hostile(script)
    failure(sandbox.exec(["x"]))


def test_http_503_without_grpc_status(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        headers = [(":status", "503"), ("content-type", "text/html")]
        stream.connection.h2.send_headers(stream.id, headers)
        stream.connection.h2.send_data(stream.id, b"<h1>down</h1>", end_stream=True)
        await stream.connection.flush()

    _, sandbox = hostile(script)
    error = failure(sandbox.exec(["x"]), SandboxUnavailableError)
    assert "503" in str(error)


def test_trailers_only(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        fields = [*RESPONSE_HEADERS, ("grpc-status", "8"), ("grpc-message", "no%20room")]
        stream.connection.h2.send_headers(stream.id, fields, end_stream=True)
        await stream.connection.flush()

    _, sandbox = hostile(script)
    assert "no room" in str(failure(sandbox.exec(["x"]), SandboxResourceExhaustedError))


def test_frames_after_exit_are_ignored(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.out(b"real\n")
        await stream.exit(0)
        await stream.out(b"late\n")
        await stream.exit(9)
        await stream.trailers(13)

    _, sandbox = hostile(script)
    result = sandbox.exec(["x"]).result()
    assert (result.stdout, result.returncode) == ("real\n", 0)


def test_unknown_fields_and_streams_are_tolerated(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        output = stream.pb.ExecStreamOutput(data=b"odd\n", stream=77)
        raw = stream.pb.ExecStreamResponse(output=output).SerializeToString()
        unknown = b"\xf2\x7f\x03abc"  # field 2046, length-delimited
        await stream.raw(struct.pack(">BI", 0, len(raw + unknown)) + raw + unknown)
        await stream.raw(struct.pack(">BI", 0, len(unknown)) + unknown)
        await stream.exit(0)
        await stream.trailers()

    _, sandbox = hostile(script)
    assert sandbox.exec(["x"]).result().stdout == "odd\n"


def test_no_ready_frame_ends_an_exec_with_stdin(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await stream.init()
        await stream.start()
        await stream.ended.wait()

    peer, sandbox = hostile(script)
    process = sandbox.exec(["x"], stdin=True, timeout_seconds=2)
    failure(process, SandboxTimeoutError)
    peer.wait(peer.execs[0].ended)


def test_server_that_stops_reading_holds_writes_back(hostile: Hostile) -> None:
    """Stdin is queued, not buffered without end: writes stay pending until the server reads again."""
    total = 16 * 1024 * 1024

    async def script(stream: Stream) -> None:
        await begin(stream)
        received = 0
        while (message := await stream.message()) is not None:
            received += len(stream.pb.ExecStreamRequest.FromString(message).stdin)
        await stream.out(f"{received}\n".encode())
        await stream.exit()
        await stream.trailers()

    peer, sandbox = hostile(script)
    process = sandbox.exec(["x"], stdin=True)
    assert process.stdin is not None
    process.stdin.write(b"x").result()
    peer.hold_reading(True)
    writes = [process.stdin.write(bytes(65536)) for _ in range(total // 65536)]
    with pytest.raises(TimeoutError):
        writes[-1].result(0.5)
    peer.hold_reading(False)
    closing = process.stdin.close()
    for write in writes:
        write.result()
    closing.result()
    assert process.result().stdout == f"{total + 1}\n"
