"""StreamWriter: standard input, in order and under flow control."""

from __future__ import annotations

import asyncio
import hashlib
import weakref
from types import ModuleType
from typing import Any

import grpc
import pytest

from conformance.grpc_peer import Call, GrpcPeer
from native.conftest import Run
from native.instance import ExecError, WriteError


@pytest.fixture(scope="module", autouse=True)
def commands(peer: GrpcPeer) -> None:
    @peer.command("cat")
    async def cat(call: Call) -> None:
        await call.ready()
        async for data in call.stdin():
            await call.out(data)
        await call.exit(0)

    @peer.command("digest")
    async def digest(call: Call) -> None:
        await call.ready()
        total, size = hashlib.sha256(), 0
        async for data in call.stdin():
            total.update(data)
            size += len(data)
        await call.out(f"{size} {total.hexdigest()}".encode())
        await call.exit(0)

    @peer.command("leave")
    async def leave(call: Call) -> None:
        await call.exit(0)

    @peer.command("breaks_off")
    async def breaks_off(call: Call) -> None:
        await call.ready()
        async for _ in call.stdin():
            break
        await call.context.abort(grpc.StatusCode.UNAVAILABLE, "lost")

    @peer.command("stubborn")
    async def stubborn(call: Call) -> None:
        await call.ready()
        await call.out(b"ready\n")
        await asyncio.Event().wait()


def start(sandbox: Any, *argv: str) -> Any:
    return sandbox.exec(list(argv), stdin=True)


def test_write_and_close(sandbox: Any) -> None:
    process = start(sandbox, "cat")
    writer = process.stdin
    assert writer.closed is False
    assert writer.write(b"one ").result() is None
    assert writer.writeline("grüße").result() is None
    assert writer.write(bytearray(b"two ")).result() is None
    assert writer.write(memoryview(b"xthree\nx")[1:-1]).result() is None
    assert writer.write(b"").result() is None
    assert writer.close().result() is None
    assert writer.closed is True
    assert writer.close().result() is None
    assert process.wait() == 0
    assert process._output.bytes(False) == "one grüße\ntwo three\n".encode()


def test_writes_keep_their_order(sandbox: Any, run: Run) -> None:
    async def main() -> None:
        process = start(sandbox, "cat")
        writes = [process.stdin.writeline(str(n)) for n in range(2000)]
        closing = process.stdin.close()
        assert [line async for line in process.stdout] == [f"{n}\n" for n in range(2000)]
        assert await asyncio.gather(*writes, closing) == [None] * 2001
        assert (await process).returncode == 0

    run(main())


def test_large_write(sandbox: Any) -> None:
    data = bytes(range(256)) * 40_000
    process = start(sandbox, "digest")
    writes = [process.stdin.write(data), process.stdin.write(data[:-1])]
    process.stdin.close()
    assert [write.result() for write in writes] == [None, None]
    assert process.wait() == 0
    expected = hashlib.sha256(data + data[:-1]).hexdigest()
    assert process._output.bytes(False).decode() == f"{2 * len(data) - 1} {expected}"


def test_buffer_may_be_changed_after_the_write(sandbox: Any) -> None:
    process = start(sandbox, "cat")
    data = bytearray(b"before")
    process.stdin.write(data)
    data[:] = b"after, and longer"
    process.stdin.close()
    assert process.wait() == 0
    assert process._output.bytes(False) == b"before"


def test_written_before_the_sandbox_is_open(core: ModuleType, channel: Any) -> None:
    sandbox = core.SandboxCore()
    process = start(sandbox, "cat")
    write = process.stdin.write(b"early")
    close = process.stdin.close()
    assert not write._done()
    sandbox.open(channel, "sb-1")
    assert (write.result(), close.result(), process.wait()) == (None, None, 0)
    assert process._output.bytes(False) == b"early"


def test_back_pressure(sandbox: Any) -> None:
    """A command that does not read lets writes wait; they end with it."""
    process = start(sandbox, "stubborn")
    assert next(process.stdout) == "ready\n"
    writes = [process.stdin.write(bytes(1 << 20)) for _ in range(64)]
    with pytest.raises(TimeoutError):
        writes[-1].result(0.05)
    assert writes[-1]._cancel() is False
    process.cancel()
    with pytest.raises(WriteError, match="failed"):
        writes[-1].result(30)
    for write in writes:
        assert write._done()


def test_cancelled_task_does_not_take_the_write_back(sandbox: Any, run: Run) -> None:
    async def main() -> None:
        process = start(sandbox, "stubborn")
        assert await anext(process.stdout) == "ready\n"
        writes = [process.stdin.write(bytes(1 << 20)) for _ in range(64)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writes[-1], 0.01)
        assert not writes[-1]._done()
        process.cancel()
        with pytest.raises(WriteError):
            await writes[-1]

    run(main())


def test_after_close(sandbox: Any) -> None:
    process = start(sandbox, "cat")
    process.stdin.close()
    with pytest.raises(WriteError, match="closed"):
        process.stdin.write(b"x")
    with pytest.raises(WriteError, match="closed"):
        process.stdin.writeline("x")


def test_after_the_end(sandbox: Any) -> None:
    process = start(sandbox, "leave")
    process.wait()
    with pytest.raises(WriteError, match="failed"):
        process.stdin.write(b"x")
    assert process.stdin.closed is False
    assert process.stdin.close().result() is None
    assert process.stdin.closed is True
    with pytest.raises(WriteError, match="failed"):
        process.stdin.write(b"x")


def test_set_exception(sandbox: Any) -> None:
    process = start(sandbox, "cat")
    reason = KeyError("the producer broke")
    process.stdin.write(b"before")
    process.stdin.set_exception(reason)
    with pytest.raises(WriteError, match="failed") as caught:
        process.stdin.write(b"x")
    assert caught.value.__cause__ is reason
    with pytest.raises(TypeError, match="exception must be an exception instance, got 'text'"):
        process.stdin.set_exception("text")
    process.stdin.close()
    process.cancel()


def test_bad_arguments(sandbox: Any) -> None:
    process = start(sandbox, "cat")
    with pytest.raises(TypeError, match=r"data must be bytes, bytearray or memoryview, got str$"):
        process.stdin.write("text")
    with pytest.raises(TypeError, match=r"memoryview, got int$"):
        process.stdin.write(3)
    with pytest.raises(BufferError):
        process.stdin.write(memoryview(b"abcd")[::2])
    with pytest.raises(TypeError, match=r"text must be a str, got bytes$"):
        process.stdin.writeline(b"text")
    with pytest.raises(UnicodeEncodeError):
        process.stdin.writeline("ü", "ascii")
    with pytest.raises(LookupError):
        process.stdin.writeline("ü", encoding="no-such-encoding")
    with pytest.raises(UnicodeEncodeError):
        process.stdin.writeline("\ud800")
    process.stdin.writeline("ü", encoding="utf-16-le")
    process.stdin.close()
    assert process.wait() == 0
    assert process._output.bytes(False) == "ü\n".encode("utf-16-le")


def test_as_an_object(sandbox: Any, core: ModuleType) -> None:
    process = start(sandbox, "cat")
    assert process.stdin is process.stdin
    assert core.StreamWriter.QUEUE_SIZE == 16
    writer = process.stdin
    del process
    assert writer.write(b"x").result() is None
    assert writer.close().result() is None


def test_a_write_fails_of_what_the_command_failed_of(sandbox: Any, run: Run) -> None:
    """Its stream has broken off: writes under way, later ones, and the end of input."""
    process = start(sandbox, "breaks_off")
    write = process.stdin.write(bytes(1 << 25))
    close = process.stdin.close()
    with pytest.raises(ExecError) as caught:
        process.result()
    expected = ("failed", caught.value)

    async def main() -> None:
        with pytest.raises(WriteError) as awaited:
            await write
        assert awaited.value.args == expected

    run(main())
    with pytest.raises(WriteError) as failed:
        close.result()
    assert failed.value.args == expected
    with pytest.raises(WriteError) as failed:
        process.stdin.write(b"x")
    assert failed.value.args == expected
    assert process.stdin.close().result() is None  # it was said once


def test_a_write_fails_of_it_also_when_the_process_is_gone(sandbox: Any) -> None:
    process = start(sandbox, "breaks_off")
    write = process.stdin.write(bytes(1 << 25))
    close = process.stdin.close()
    writer, gone = process.stdin, weakref.ref(process)
    del process
    assert gone() is None
    with pytest.raises(WriteError, match="failed") as failed:
        write.result(30)
    reason, failure = failed.value.args
    assert (reason, type(failure)) == ("failed", ExecError)
    command, error = failure.args
    assert (error.kind, error.code_name, error.message) == ("status", "UNAVAILABLE", "lost")
    assert command.command == ["breaks_off"]
    assert command._output.bytes(False) == command._output.bytes(True) == b""
    assert not command._output.captured
    with pytest.raises(RuntimeError, match="the output was let go with the Process"):
        _ = command.stdout
    assert command.stdin is writer
    with pytest.raises(WriteError) as failed:
        close.result()
    assert failed.value.args == (reason, failure)  # one failure for all that ask


def test_output_that_is_gone_is_counted(sandbox: Any) -> None:
    process = start(sandbox, "stubborn")
    assert next(process.stdout) == "ready\n"
    write = process.stdin.write(bytes(1 << 25))
    sandbox.close(KeyError("stopped"))
    del process
    with pytest.raises(WriteError) as failed:
        write.result(30)
    command, error = failed.value.args[1].args
    assert error.kind == "closed"
    assert command._output.omitted(False) == (6, 0)
    assert (command._output.bytes(False), command._output.captured) == (b"", False)


def test_closing_after_the_command_has_failed(sandbox: Any) -> None:
    process = start(sandbox, "breaks_off")
    process.stdin.write(b"x")
    with pytest.raises(ExecError) as caught:
        process.result()
    with pytest.raises(WriteError) as failed:
        process.stdin.close().result()
    assert failed.value.args == ("failed", caught.value)


def test_a_write_of_a_command_that_has_exited_knows_no_failure(sandbox: Any) -> None:
    process = start(sandbox, "leave")
    assert process.wait() == 0
    with pytest.raises(WriteError) as failed:
        process.stdin.write(b"x")
    assert failed.value.args == ("failed", None)


def test_a_write_of_a_cancelled_command_knows_no_failure(sandbox: Any) -> None:
    process = start(sandbox, "stubborn")
    assert next(process.stdout) == "ready\n"
    write = process.stdin.write(bytes(1 << 25))
    process.cancel()
    with pytest.raises(WriteError) as failed:
        write.result(30)
    assert failed.value.args == ("failed", None)
