"""TerminalSession against a grpcio server."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from types import ModuleType
from typing import Any

import grpc
import pytest

from conformance.grpc_peer import Call, GrpcPeer
from native.conftest import Run
from native.instance import Ended, TerminalError, WriteError

KEPT = 256 * 1024


@pytest.fixture
def hung_up(peer: GrpcPeer) -> asyncio.Event:
    """Set when "echo" has ended."""
    return peer.event()


@pytest.fixture(autouse=True)
def commands(peer: GrpcPeer, hung_up: asyncio.Event) -> None:
    @peer.command("echo")
    async def echo(call: Call) -> None:
        """Shows its size and what is typed; b"q" ends it."""
        init = call.init
        assert init.tty
        try:
            await call.out(f"{init.tty_width}x{init.tty_height} ".encode())
            await call.ready()
            async for frame in call.frames():
                kind = frame.WhichOneof("message")
                if kind == "resize":
                    await call.err(f"{frame.resize.width}x{frame.resize.height} ".encode())
                elif kind == "close":
                    await call.out(b"closed")
                elif frame.stdin == b"q":
                    await call.exit(7)
                    return
                else:
                    await call.out(frame.stdin)
            await call.exit(0)
        finally:
            hung_up.set()

    @peer.command("exit")
    async def leave(call: Call) -> None:
        await call.out(b"bye")
        await call.exit(int(call.argv[1]))

    @peer.command("error")
    async def error(call: Call) -> None:
        await call.ready()
        await call.out(b"partial")
        await call.error("EXEC_FAILED", "no such command")

    @peer.command("no-exit")
    async def no_exit(call: Call) -> None:
        await call.out(b"partial")

    @peer.command("status")
    async def status(call: Call) -> None:
        await call.out(b"partial")
        await call.context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no more")

    @peer.command("flood")
    async def flood(call: Call) -> None:
        await call.ready()
        for _ in range(int(call.argv[1]) // 16384):
            await call.out(b"x" * 16384)
        await call.exit(0)


def shell(sandbox: Any, *argv: str, width: int = 80, height: int = 24) -> Any:
    return sandbox.shell(list(argv), width, height)


def read_until(session: Any, end: bytes) -> bytes:
    seen = b""
    while not seen.endswith(end):
        seen += next(session.output)
    return seen


def test_a_whole_session(sandbox: Any) -> None:
    session = shell(sandbox, "echo")
    assert session.returncode is None
    read_until(session, b"80x24 ")
    assert session.write(b"typed \xff\x00").result() is None
    read_until(session, b"typed \xff\x00")
    session.resize(100, 30)
    read_until(session, b"100x30 ")
    session.resize(height=31, width=101)
    session.stdin.write(bytearray(b"q")).result()
    assert b"".join(session.output) == b"101x31 "
    assert session.result() == Ended(session, 7)
    assert session.result() is session.result(timeout=1)
    assert session.wait() == session.returncode == 7
    assert session.command == ["echo"]
    assert list(session.output) == []
    assert sandbox.stats() == (1, 0, 1, 0)


def test_a_whole_session_in_a_loop(sandbox: Any, run: Run) -> None:
    async def main() -> None:
        session = shell(sandbox, "echo")
        await session.write(b"a")
        await session.stdin.close()
        seen = b"".join([data async for data in session.output])
        assert seen == b"80x24 aclosed"
        result = await session
        assert result is await session is session.result()
        assert result.returncode == 0

    run(main())


def test_output_needs_no_ready(sandbox: Any) -> None:
    session = shell(sandbox, "exit", "3")
    assert b"".join(session.output) == b"bye"
    assert session.wait() == 3
    with pytest.raises(WriteError, match="failed"):
        session.write(b"x")


@pytest.mark.parametrize(
    ("command", "kind"), [("error", "frame"), ("no-exit", "no_exit"), ("status", "status")]
)
def test_a_failure_is_raised_by_the_output_too_once(
    sandbox: Any, command: str, kind: str, run: Run
) -> None:
    session = shell(sandbox, command)
    seen = []
    with pytest.raises(TerminalError) as caught:
        for data in session.output:
            seen.append(data)
    assert b"".join(seen) == b"partial"
    assert caught.value.args[1].kind == kind
    assert list(session.output) == []
    for ask in (session.result, session.wait):
        with pytest.raises(TerminalError) as again:
            ask()
        assert again.value is caught.value
    assert session.returncode is None
    assert sandbox.stats() == (1, 0, 0, 1)

    async def main() -> None:
        session = shell(sandbox, command)
        with pytest.raises(TerminalError):
            async for _ in session.output:
                pass
        with pytest.raises(TerminalError):
            await session

    run(main())


@pytest.mark.parametrize("size", [0, -1, 65536, 2**31, 2**32, 2**80])
def test_no_size(sandbox: Any, size: int) -> None:
    with pytest.raises(ValueError, match="width must be at least 1 and at most 65535"):
        shell(sandbox, "echo", width=size)
    session = shell(sandbox, "echo")
    with pytest.raises(ValueError, match=f"height must be .* got {size}"):
        session.resize(80, size)
    session.write(b"q")  # it lives on
    assert session.wait() == 7


@pytest.mark.parametrize("size", ["80", 80.0, None, True, (80, 24)])
def test_wrong_types(sandbox: Any, size: Any) -> None:
    with pytest.raises(TypeError, match="width must be an int"):
        shell(sandbox, "echo", width=size)
    session = shell(sandbox, "echo")
    with pytest.raises(TypeError, match="height must be an int"):
        session.resize(80, size)
    with pytest.raises(TypeError):
        session.resize(80)
    for write in (session.write, session.stdin.write):
        with pytest.raises(TypeError):
            write("text")
    session.write(b"q")
    assert session.wait() == 7
    assert sandbox.stats() == (1, 0, 1, 0)


def test_a_wrong_command(sandbox: Any) -> None:
    with pytest.raises(ValueError, match="empty"):
        shell(sandbox)
    with pytest.raises(TypeError):
        sandbox.shell(["echo", 1], 80, 24)
    assert sandbox.stats() == (0, 0, 0, 0)


def test_after_the_end(sandbox: Any) -> None:
    for command in (["exit", "0"], ["error"]):
        session = shell(sandbox, *command)
        with suppress(TerminalError):
            session.result()
        with pytest.raises(WriteError, match="ended"):
            session.resize(80, 24)
        with pytest.raises(WriteError, match="failed"):
            session.write(b"x")


def test_resize_after_the_close_is_ignored(sandbox: Any) -> None:
    session = shell(sandbox, "echo")
    session.stdin.close()
    session.resize(1, 2)
    assert b"".join(session.output) == b"80x24 closed"
    assert session.wait() == 0


# ---- ends that are asked for ----


def test_closing_the_output_ends_the_session(
    sandbox: Any, peer: GrpcPeer, hung_up: asyncio.Event
) -> None:
    session = shell(sandbox, "echo")
    read_until(session, b"80x24 ")
    session.output.close()
    assert list(session.output) == []
    with pytest.raises(CancelledError):
        session.result()
    assert session.returncode is None
    peer.wait(hung_up)
    assert sandbox.stats() == (1, 0, 0, 1)


def test_closing_the_output_after_the_end(sandbox: Any) -> None:
    session = shell(sandbox, "exit", "3")
    assert session.wait() == 3
    session.output.close()
    assert session.result().returncode == 3


def test_the_end_of_a_block(sandbox: Any, peer: GrpcPeer, hung_up: asyncio.Event) -> None:
    with shell(sandbox, "echo") as session:
        read_until(session, b"80x24 ")
    assert sandbox.stats() == (1, 0, 0, 1)  # it has ended, not only been asked to
    with pytest.raises(CancelledError):
        session.result()
    peer.wait(hung_up)
    with shell(sandbox, "exit", "3") as ended:
        assert ended.wait() == 3
    assert ended.result().returncode == 3
    with pytest.raises(ZeroDivisionError), shell(sandbox, "echo"):
        _ = 1 // 0
    with shell(sandbox, "error") as failed, pytest.raises(TerminalError):
        failed.result()


def test_the_end_of_an_async_block(
    sandbox: Any, peer: GrpcPeer, hung_up: asyncio.Event, run: Run
) -> None:
    async def main() -> None:
        async with shell(sandbox, "echo") as session:
            assert await anext(session.output)
        assert sandbox.stats() == (1, 0, 0, 1)
        with pytest.raises(asyncio.CancelledError):
            await session
        async with shell(sandbox, "exit", "3") as ended:
            assert (await ended).returncode == 3
        with pytest.raises(ZeroDivisionError):
            async with shell(sandbox, "echo"):
                _ = 1 // 0

    run(main())
    peer.wait(hung_up)


def test_a_session_that_nobody_has_is_hung_up(
    sandbox: Any, peer: GrpcPeer, hung_up: asyncio.Event
) -> None:
    session = shell(sandbox, "echo")
    output, stdin = session.output, session.stdin
    del session
    gc.collect()
    stdin.write(b"still here").result()  # the streams are references, too
    seen = b""
    while not seen.endswith(b"still here"):
        seen += next(output)
    del output
    gc.collect()
    stdin.write(b"x").result()
    assert not hung_up.is_set()
    del stdin
    gc.collect()
    peer.wait(hung_up)


def test_cancelling_a_task_that_awaits_ends_the_session(
    sandbox: Any, peer: GrpcPeer, hung_up: asyncio.Event, run: Run
) -> None:
    async def main() -> None:
        session = shell(sandbox, "echo")
        assert await anext(session.output)

        async def wait() -> None:
            await session

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    peer.wait(hung_up)


def test_a_sandbox_that_never_opens(core: ModuleType) -> None:
    closed = core.SandboxCore()
    why = ValueError("stopped")
    closed.close(why)
    session = shell(closed, "echo")
    with pytest.raises(TerminalError) as caught:
        list(session.output)
    assert caught.value.args[1].failure is why
    with pytest.raises(TerminalError):
        session.result()
    waiting = core.SandboxCore()
    session = shell(waiting, "echo")
    session.resize(1, 1)
    write = session.write(b"x")
    waiting.fail(why)
    with pytest.raises(TerminalError) as caught:
        session.result()
    assert caught.value.args[1].kind == "not_open"
    with pytest.raises(WriteError):
        write.result()


def test_stopping_the_sandbox(sandbox: Any) -> None:
    session = shell(sandbox, "echo")
    read_until(session, b"80x24 ")
    sandbox.close(ValueError("stopped"))
    with pytest.raises(TerminalError) as caught:
        list(session.output)
    assert caught.value.args[1].kind == "closed"
    with pytest.raises(TerminalError):
        session.wait()


# ---- output that nobody reads ----


def test_the_result_comes_whether_the_output_is_read_or_not(sandbox: Any) -> None:
    session = shell(sandbox, "flood", "8000000")
    assert session.wait(timeout=40) == 0
    with pytest.raises(TerminalError) as caught:
        next(session.output)
    assert caught.value.args[1].kind == "gap"
    rest = b"".join(session.output)
    assert KEPT // 2 < len(rest) <= KEPT + 65536
    assert list(session.output) == []


def test_all_output_is_there_for_a_slow_reader(sandbox: Any) -> None:
    session = shell(sandbox, "flood", "8000000")
    output = session.output
    waiter = threading.Thread(target=session.result, daemon=True)
    waiter.start()
    assert sum(len(data) for data in output) == 8000000 // 16384 * 16384
    waiter.join(30)
    assert not waiter.is_alive()


def test_repr(sandbox: Any, core: ModuleType) -> None:
    session = shell(sandbox, "exit", "3")
    assert session.wait() == 3
    assert repr(session) == "<TerminalSession command=['exit', '3'] state=exited returncode=3>"
    assert repr(session.output) == f"<StreamReader bytes of output of {session!r}>"
    assert repr(session.stdin) == f"<StreamWriter stdin of {session!r}>"


def test_nobody_else_makes_one(core: ModuleType) -> None:
    make: Callable[..., Any] = core.TerminalSession
    with pytest.raises(TypeError):
        make()


def test_not_configured() -> None:
    from native.instance import load

    bare = load()
    bare.configure("exec", make_value=print, make_error=print)
    with pytest.raises(RuntimeError, match="terminal"):
        bare.SandboxCore().shell(["sh"], 80, 24)
