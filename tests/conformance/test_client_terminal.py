"""Our client's terminal sessions against a grpcio server, and against one that does what no server should."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import shutil
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import grpc
import h2.errors
import pytest

import cwsandbox
from conformance.grpc_peer import Call, GrpcPeer
from conformance.h2_peer import H2Peer, Stream
from cwsandbox import (
    Sandbox,
    SandboxError,
    SandboxExecutionError,
    SandboxNotRunningError,
    SandboxResourceExhaustedError,
    SandboxStreamBackpressureError,
    SandboxTimeoutError,
    SandboxUnavailableError,
    TerminalResult,
    TerminalSession,
)

Hostile = Callable[..., tuple[H2Peer, Sandbox]]


@pytest.fixture
def seen(grpc_peer: GrpcPeer) -> list[str]:
    """What the terminal was told, in order."""
    told: list[str] = []

    @grpc_peer.command("/bin/bash")
    async def bash(call: Call) -> None:
        init = call.init
        told.append(f"tty={init.tty} {init.tty_width}x{init.tty_height} {init.container!r}")
        told.append(" ".join(call.argv))
        await call.out(b"$ ")
        await call.ready()
        async for frame in call.frames():
            kind = frame.WhichOneof("message")
            if kind == "resize":
                told.append(f"{frame.resize.width}x{frame.resize.height}")
            elif kind == "close":
                told.append("close")
            else:
                told.append(repr(frame.stdin))
                await call.out(frame.stdin)
        told.append("half-close")
        await call.exit(0)

    return told


def everything(session: TerminalSession) -> bytes:
    return b"".join(session.output)


def test_the_defaults(
    grpc_peer: GrpcPeer, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_, **__: os.terminal_size((132, 43)))
    with Sandbox.run() as sandbox:
        session = sandbox.shell()
        assert session.command == ["/bin/bash"]
        session.stdin.close()
        assert everything(session) == b"$ "
        assert session.result() == TerminalResult(0, ["/bin/bash"])
        sandbox.shell(width=7).stdin.close().result()
        sandbox.shell(height=8, container=" side ").stdin.close().result()
        stats = sandbox.exec_stats
    assert seen[:4] == ["tty=True 132x43 ''", "/bin/bash", "close", "half-close"]
    assert "tty=True 7x43 ''" in seen
    assert "tty=True 132x8 'side'" in seen
    assert grpc_peer.deadlines["StreamExec"][0] in (None, math.inf)
    assert stats["exec_count"] == 3


def test_keys_and_sizes(seen: list[str]) -> None:
    with (
        Sandbox.run() as sandbox,
        sandbox.shell(["/bin/bash", "-i"], width=80, height=24) as session,
    ):
        assert next(session.output) == b"$ "
        session.resize(81, 25)
        session.write(b"\x03\x1a\x1c\xff")
        session.resize(82, 26)
        session.stdin.close()
        session.resize(83, 27)
        assert everything(session) == b"\x03\x1a\x1c\xff"
        assert session.wait() == 0
        with pytest.raises(SandboxExecutionError, match="terminal session has ended"):
            session.resize(80, 24)
        with pytest.raises(SandboxExecutionError):
            session.write(b"x")
    assert seen[0] == "tty=True 80x24 ''"
    assert seen[1] == "/bin/bash -i"
    assert seen[-2:] == ["close", "half-close"]
    typed = seen.index(r"b'\x03\x1a\x1c\xff'")
    assert set(seen[2:typed]) <= {"81x25", "82x26"}
    assert seen[2:typed]  # a size that waits goes in front of what is typed
    assert seen.count("82x26") == 1
    assert "83x27" not in seen


async def test_in_a_loop(seen: list[str]) -> None:
    async with Sandbox.run() as sandbox, sandbox.shell(width=80, height=24) as session:
        await session.write("é".encode())
        await session.stdin.close()
        assert b"".join([data async for data in session.output]) == "$ é".encode()
        result = await session
        assert result == await session == TerminalResult(0, ["/bin/bash"])


@pytest.mark.parametrize("command", ["", "bash", b"bash", [b"bash"], [1], 5])
def test_what_is_no_command(seen: list[str], command: Any) -> None:
    with Sandbox.run() as sandbox:
        with pytest.raises(TypeError):
            sandbox.shell(command)
        with pytest.raises(ValueError, match="empty"):
            sandbox.shell([])
        for size in (0, -1, 65536):
            with pytest.raises(ValueError, match=str(size)):
                sandbox.shell(width=size)
        for wrong in ("80", 80.0, True):
            with pytest.raises(TypeError, match="height must be an int"):
                sandbox.shell(height=wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="container"):
            sandbox.shell(container=5)  # type: ignore[arg-type]
        assert sandbox.exec_stats["exec_count"] == 0
    assert seen == []


def test_stopping_the_sandbox(seen: list[str]) -> None:
    sandbox = Sandbox.run()
    session = sandbox.shell()
    assert next(session.output) == b"$ "
    sandbox.stop().result()
    with pytest.raises(SandboxNotRunningError):
        everything(session)
    with pytest.raises(SandboxNotRunningError):
        session.result()
    assert everything(session) == b""
    with pytest.raises(SandboxNotRunningError):
        everything(sandbox.shell())
    with pytest.raises(SandboxNotRunningError):
        sandbox.shell().wait()


def test_sessions_are_waited_for(seen: list[str]) -> None:
    with Sandbox.run() as sandbox:
        open_one, ended = sandbox.shell(), sandbox.shell()
        ended.stdin.close()
        done, others = cwsandbox.wait([open_one, ended], num_returns=1)
        assert done == [ended]
        assert others == [open_one]
        assert cwsandbox.results([ended]) == [TerminalResult(0, ["/bin/bash"])]
        open_one.output.close()
        with pytest.raises(CancelledError):
            open_one.result()


def test_failures_have_their_classes(grpc_peer: GrpcPeer) -> None:
    @grpc_peer.command("frame")
    async def frame(call: Call) -> None:
        await call.error("EXEC_FAILED", "no such command")

    @grpc_peer.command("backpressure")
    async def backpressure(call: Call) -> None:
        await call.error("STREAM_BACKPRESSURE", "too slow")

    @grpc_peer.command("status")
    async def status(call: Call) -> None:
        await call.context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no more")

    @grpc_peer.command("none")
    async def none(call: Call) -> None:
        await call.out(b"x")

    expected: dict[str, tuple[type[SandboxError], str]] = {
        "frame": (SandboxExecutionError, "no such command"),
        "backpressure": (SandboxStreamBackpressureError, "backpressure"),
        "status": (SandboxResourceExhaustedError, "no more"),
        "none": (SandboxExecutionError, "ended without an exit status"),
    }
    with Sandbox.run() as sandbox:
        for command, (kind, words) in expected.items():
            session = sandbox.shell([command])
            with pytest.raises(kind, match=words):
                everything(session)
            with pytest.raises(kind, match=words):
                session.result()
            assert session.returncode is None
        assert sandbox.exec_stats["exec_failures"] == len(expected)


def test_no_ready_in_time(grpc_peer: GrpcPeer) -> None:
    @grpc_peer.command("silent")
    async def silent(call: Call) -> None:
        await call.out(b"but shown")
        await asyncio.Event().wait()

    with Sandbox.run() as sandbox:
        session = sandbox.shell(["silent"])
        assert next(session.output) == b"but shown"
        with pytest.raises(SandboxTimeoutError):
            everything(session)
        with pytest.raises(SandboxTimeoutError, match="ready"):
            session.result()


def test_a_window_of_sizes_and_a_peer_that_does_not_read(grpc_peer: GrpcPeer) -> None:
    """The newest size arrives, and not all of those before it."""
    go = grpc_peer.event()
    told: list[str] = []

    @grpc_peer.command("busy")
    async def busy(call: Call) -> None:
        await call.ready()
        await call.out(b"busy")
        await go.wait()
        async for frame in call.frames():
            if frame.WhichOneof("message") == "resize":
                told.append(f"{frame.resize.width}x{frame.resize.height}")
        await call.exit(0)

    with Sandbox.run() as sandbox, sandbox.shell(["busy"], width=1, height=1) as session:
        assert next(session.output) == b"busy"
        session.write(bytes(8_000_000))
        for width in range(1, 20_001):
            session.resize(width, 1)
        grpc_peer.set(go)
        session.stdin.close()
        assert session.wait(40) == 0
    assert told[-1] == "20000x1"
    assert len(told) < 1000


# ---- a server that does what it should not ----


async def begin(stream: Stream) -> None:
    await stream.init()
    await stream.start()
    await stream.ready()


STEPS = ("headers", "ready", "output", "exit")


@pytest.mark.parametrize("way", ["drop", "reset", "end", "trailers"])
@pytest.mark.parametrize("after", range(len(STEPS)))
def test_cut_after_each_frame(hostile: Hostile, after: int, way: str) -> None:
    async def script(stream: Stream) -> None:
        steps = (stream.start, stream.ready, lambda: stream.out(b"some"), lambda: stream.exit(3))
        await stream.init()
        for step in steps[: after + 1]:
            await step()
        if way == "drop":
            stream.connection.drop()
        elif way == "reset":
            await stream.reset(h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif way == "end":
            await stream.end_without_trailers()
        else:
            await stream.trailers(0)

    _, sandbox = hostile(script)
    session = sandbox.shell(["x"])
    writes = []
    with contextlib.suppress(SandboxError):  # it may have ended by now
        writes.append(session.write(b"typed"))
    shown = b""
    try:
        for data in session.output:
            shown += data
        assert STEPS[after] == "exit"
        # What has been sent and is dropped again (by a reset of the socket) may be lost with its connection.
        assert shown == b"some"
        assert session.result().returncode == 3
    except SandboxError:
        assert STEPS[after] != "exit" or way == "drop"
        with pytest.raises(SandboxError):
            session.result()
        assert b"some".startswith(shown)
        assert session.returncode is None
    for write in writes:
        try:
            write.result(20)
        except SandboxError:
            assert session._done()
    assert everything(session) == b""


def test_cut_inside_a_message(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        # 5 bytes of prefix and 4 of the frame's head, then half of what was announced.
        await stream.raw(b"\0\0\0\0\x0a" + b"\x12\x08\x12\x06" + b"abc")
        await stream.end_without_trailers()

    _, sandbox = hostile(script)
    session = sandbox.shell(["x"])
    shown = b""
    with pytest.raises(SandboxError):
        for data in session.output:
            shown += data
    assert shown == b"abc"  # it was on the screen


@pytest.mark.parametrize(
    "frames",
    [
        ("exit", "out", "exit"),
        ("out", "ready", "exit"),
        ("ready", "ready", "out", "ready", "exit"),
        ("exit", "error"),
    ],
)
def test_in_another_order(hostile: Hostile, frames: tuple[str, ...]) -> None:
    async def script(stream: Stream) -> None:
        await stream.init()
        await stream.start()
        for frame in frames:
            if frame == "out":
                await stream.out(b"some", chunk=1)
            elif frame == "error":
                error = stream.pb.ExecStreamError(message="late", code="LATE")
                await stream.send(error=error)
            else:
                await getattr(stream, frame)()
        await stream.trailers(0)

    _, sandbox = hostile(script)
    session = sandbox.shell(["x"])
    shown = b"" if frames[0] == "exit" else b"some"
    assert everything(session) == shown
    assert session.result().returncode == 0


def test_an_oversized_message(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.raw(b"\0\xff\xff\xff\xff" + bytes(1000))

    _, sandbox = hostile(script)
    session = sandbox.shell(["x"])
    with pytest.raises(SandboxError):
        everything(session)
    with pytest.raises(SandboxError):
        session.result()


def test_what_is_no_message(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.raw(b"\0\0\0\0\x04\xff\xff\xff\xff")

    _, sandbox = hostile(script)
    session = sandbox.shell(["x"])
    with pytest.raises(SandboxError, match="could not be decoded"):
        everything(session)


def test_a_connection_lost_in_silence_while_typing(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.out(b"$ ")
        await stream.message()
        stream.connection.drop()

    peer, sandbox = hostile(script)
    session = sandbox.shell(["x"])
    assert next(session.output) == b"$ "
    session.write(b"typed")
    with pytest.raises(SandboxUnavailableError):
        everything(session)
    with pytest.raises(SandboxError):
        session.write(b"more")
    assert len(peer.execs) == 1  # never sent again


def test_leaving_resets_the_stream(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await begin(stream)
        await stream.out(b"$ ")
        await stream.ended.wait()
        left.set()

    peer, sandbox = hostile(script)
    left = peer.event()
    with sandbox.shell(["x"]) as session:
        assert next(session.output) == b"$ "
    peer.wait(left)
    assert peer.execs[0].reset_code == h2.errors.ErrorCodes.CANCEL
