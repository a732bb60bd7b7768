"""Our client's streams of files against a grpcio server, and the commands that stand in for single calls."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import grpc
import pytest
import uvloop

from conformance.file_peer import MIB, TOO_LARGE, Shell, answer
from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import (
    OperationRef,
    Sandbox,
    SandboxError,
    SandboxExecutionError,
    SandboxFileError,
    SandboxNotRunningError,
    SandboxRequestTimeoutError,
    SandboxStreamBackpressureError,
    SandboxStreamTruncatedError,
    SandboxTimeoutError,
    SandboxUnavailableError,
)

ALL_BYTES = bytes(range(256))
Status = grpc.StatusCode


def test_a_stream_of_what_is_there(grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell) -> None:
    content = ALL_BYTES * 4096 * 5
    grpc_peer.files["/big"] = content
    reader = sandbox.read_file_streaming("/big", container="side")
    pieces = list(reader)
    assert all(type(piece) is bytes and 0 < len(piece) <= 65536 for piece in pieces)
    assert b"".join(pieces) == content
    assert list(reader) == []
    assert shell.names == ["cwsandbox-read-file-streaming"]
    assert shell.calls[0].init.container == "side"


async def test_an_async_stream(grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell) -> None:
    grpc_peer.files["/big"] = ALL_BYTES * 4096
    pieces = [piece async for piece in sandbox.read_file_streaming("/big").chunks()]
    assert b"".join(pieces) == ALL_BYTES * 4096


def test_a_stream_of_what_is_not_there(grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell) -> None:
    reader = sandbox.read_file_streaming("/missing")
    with pytest.raises(SandboxFileError, match="no such thing") as caught:
        next(reader)
    assert (caught.value.reason, caught.value.filepath) == ("CWSANDBOX_FILE_NOT_FOUND", "/missing")
    assert list(reader) == []


async def exit_3(call: Call) -> None:
    await call.exit(3)


async def denied(call: Call) -> None:
    await call.err(b"cat: /x: Permission denied")
    await call.exit(1)


async def no_exit(call: Call) -> None:
    return


async def backpressure(call: Call) -> None:
    await call.error("STREAM_BACKPRESSURE", "slow")


async def truncated(call: Call) -> None:
    await call.error("STREAM_TRUNCATED", "lost")


async def other_frame(call: Call) -> None:
    await call.error("SOMETHING", "else")


async def unavailable(call: Call) -> None:
    await call.context.abort(Status.UNAVAILABLE, "gone away")


READ_ENDS = [
    (exit_3, SandboxFileError, "CWSANDBOX_FILE_IS_DIRECTORY"),
    (denied, SandboxFileError, "CWSANDBOX_FILE_PERMISSION_DENIED"),
    (no_exit, SandboxFileError, None),
    (backpressure, SandboxStreamBackpressureError, None),
    (truncated, SandboxStreamTruncatedError, None),
    (other_frame, SandboxExecutionError, "SOMETHING"),
    (unavailable, SandboxUnavailableError, None),
]


@pytest.mark.parametrize(("end", "kind", "reason"), READ_ENDS)
def test_how_a_read_can_end(
    grpc_peer: GrpcPeer, sandbox: Sandbox, end: Any, kind: type[SandboxError], reason: str | None
) -> None:
    async def run(call: Call) -> None:
        await call.out(b"some")
        await end(call)

    grpc_peer.scripts["/bin/sh"] = run
    answer(grpc_peer, "ReadFile", Status.RESOURCE_EXHAUSTED)
    reader = sandbox.read_file_streaming("/x")
    assert next(reader) == b"some"
    for wait in (lambda: next(reader), sandbox.read_file("/x").result):
        with pytest.raises(SandboxError) as caught:
            wait()
        assert type(caught.value) is kind
        assert (caught.value.reason, caught.value.filepath) == (reason, "/x")


async def ended_with_its_sandbox(call: Call) -> None:
    await call.context.abort(Status.CANCELLED, "the sandbox is ending")


WRITE_ENDS = [
    (exit_3, "CWSANDBOX_FILE_IS_DIRECTORY", None),
    (denied, "CWSANDBOX_FILE_PERMISSION_DENIED", None),
    (no_exit, None, None),
    (truncated, None, SandboxStreamTruncatedError),
    (other_frame, None, SandboxExecutionError),
    (unavailable, None, SandboxUnavailableError),
]


@pytest.mark.parametrize(("end", "reason", "cause"), WRITE_ENDS)
def test_how_a_write_can_end(
    grpc_peer: GrpcPeer, sandbox: Sandbox, end: Any, reason: str | None, cause: type | None
) -> None:
    async def run(call: Call) -> None:
        await call.ready()
        async for _ in call.stdin():
            break
        await end(call)

    grpc_peer.scripts["/bin/sh"] = run
    answer(grpc_peer, "WriteFile", Status.RESOURCE_EXHAUSTED, TOO_LARGE)
    for operation in (
        sandbox.write_file_streaming("/x", iter([b"1", b"2"])),
        sandbox.write_file("/x", b"12"),
    ):
        with pytest.raises(SandboxFileError) as caught:
            operation.result()
        assert (caught.value.reason, caught.value.filepath) == (reason, "/x")
        assert type(caught.value.__cause__) is (cause or type(None))


def test_a_write_that_the_end_of_its_sandbox_ends(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    grpc_peer.scripts["/bin/sh"] = ended_with_its_sandbox
    answer(grpc_peer, "WriteFile", Status.RESOURCE_EXHAUSTED, TOO_LARGE)
    for begin in (
        lambda: sandbox.write_file_streaming("/x", [b"1"]),
        lambda: sandbox.write_file("/x", b"1"),
    ):
        with pytest.raises(SandboxNotRunningError) as caught:
            begin().result()
        assert caught.value.filepath == "/x"


def test_backpressure_of_a_write(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    grpc_peer.scripts["/bin/sh"] = backpressure
    with pytest.raises(SandboxStreamBackpressureError):
        sandbox.write_file_streaming("/x", b"1").result()


def test_an_early_exit_is_a_failure(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    async def satisfied(call: Call) -> None:
        await call.ready()
        async for _ in call.stdin():
            await call.exit(0)
            return

    grpc_peer.scripts["/bin/sh"] = satisfied
    taken: list[int] = []

    def endless() -> Iterator[bytes]:
        for i in range(10_000):
            taken.append(i)
            yield bytes(MIB)

    with pytest.raises(SandboxFileError, match="before all were sent") as caught:
        sandbox.write_file_streaming("/x", endless()).result()
    assert caught.value.reason == "CWSANDBOX_FILE_TRUNCATED"
    assert len(taken) < 10_000


def test_less_that_arrives_than_was_sent(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    async def lose(call: Call) -> None:
        await call.ready()
        async for _ in call.stdin():
            pass
        await call.out(b"2\n")
        await call.exit(0)

    grpc_peer.scripts["/bin/sh"] = lose
    with pytest.raises(SandboxFileError) as caught:
        sandbox.write_file_streaming("/x", b"123").result()
    assert caught.value.reason == "CWSANDBOX_FILE_TRUNCATED"
    assert caught.value.metadata["bytes_delivered"] == "2"


def test_a_service_that_is_never_ready(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    async def silent(call: Call) -> None:
        await asyncio.Event().wait()

    grpc_peer.scripts["/bin/sh"] = silent
    with pytest.raises(SandboxTimeoutError, match="not ready"):
        sandbox.write_file_streaming("/x", b"1").result()


async def agenerate(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


SOURCES: list[Any] = [
    b"abcdef",
    bytearray(b"abcdef"),
    memoryview(b"abcdef"),
    [b"abc", b"", memoryview(b"def")],
    (b"abc", bytearray(b"def")),
    lambda: iter([b"abc", b"def"]),
    lambda: agenerate(b"abc", b"", b"def"),
]


@pytest.mark.parametrize("source", SOURCES)
def test_sources(grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell, source: Any) -> None:
    given = source() if callable(source) else source
    sandbox.write_file_streaming("/x", given, container="side").result()
    assert grpc_peer.files["/x"] == b"abcdef"
    assert shell.calls[0].argv[3:] == ["cwsandbox-write-file-streaming", "/x"]
    assert shell.calls[0].init.container == "side"


@pytest.mark.parametrize("source", [b"", [], [b""], lambda: agenerate()])
def test_empty_sources(grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell, source: Any) -> None:
    sandbox.write_file_streaming("/x", source() if callable(source) else source).result()
    assert grpc_peer.files["/x"] == b""


def test_large_items(grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell) -> None:
    content = ALL_BYTES * 4096 * 5
    sandbox.write_file_streaming("/x", [content, content]).result()
    assert grpc_peer.files["/x"] == content * 2
    assert shell.largest_frame <= 65536


class OwnError(BaseException):
    """A source's own."""


@pytest.mark.parametrize("kind", [KeyError, OSError, OwnError, SandboxError, CancelledError])
def test_what_a_source_raises(
    grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell, kind: type[BaseException]
) -> None:
    own = kind("mine")

    def source() -> Iterator[bytes]:
        yield b"some"
        raise own

    async def asource() -> AsyncIterator[bytes]:
        yield b"some"
        raise own

    for given in (source(), asource()):
        with pytest.raises(kind) as caught:
            sandbox.write_file_streaming("/x", given).result()
        assert caught.value is own
    assert "/x" not in grpc_peer.files


def test_items_of_a_wrong_type(grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell) -> None:
    for given in (["text"], [b"1", 2], agenerate(b"1", "text")):
        with pytest.raises(TypeError, match="bytes-like"):
            sandbox.write_file_streaming("/x", given).result()
    assert "/x" not in grpc_peer.files


def test_the_limit_counts_while_the_source_is_slow(
    grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell
) -> None:
    release = threading.Event()

    def slow() -> Iterator[bytes]:
        yield b"1"
        release.wait(30)

    async def aslow() -> AsyncIterator[bytes]:
        yield b"1"
        await asyncio.sleep(30)

    for source in (slow(), aslow()):
        with pytest.raises(SandboxFileError) as caught:
            sandbox.write_file_streaming("/x", source, timeout_seconds=0.3).result()
        assert isinstance(caught.value.__cause__, SandboxRequestTimeoutError)
    release.set()


async def test_an_async_source_runs_in_the_callers_loop(
    grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell
) -> None:
    here = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def source() -> AsyncIterator[bytes]:
        assert asyncio.get_running_loop() is here
        while item := await queue.get():
            yield item

    operation = sandbox.write_file_streaming("/x", source())
    for item in (b"one", b"two", b""):
        await queue.put(item)
    await operation
    assert grpc_peer.files["/x"] == b"onetwo"


@pytest.mark.parametrize("item", [b"", b"x"])
async def test_a_source_that_never_suspends_does_not_hold_up_the_loop(
    sandbox: Sandbox, shell: Shell, item: bytes
) -> None:
    had_its_turn = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, had_its_turn.set)

    async def source() -> AsyncIterator[bytes]:
        ends = time.monotonic() + 10
        while not had_its_turn.is_set():
            assert time.monotonic() < ends
            yield item

    await sandbox.write_file_streaming("/x", source())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_that_is_closed_ends_the_writes_from_its_sources(
    grpc_peer: GrpcPeer, sandbox: Sandbox, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    begun, ended = grpc_peer.event(), grpc_peer.event()

    @grpc_peer.command("/bin/sh")
    async def take(call: Call) -> None:
        await call.ready()
        try:
            async for _ in call.stdin():
                begun.set()
        finally:
            ended.set()

    async def source() -> AsyncIterator[bytes]:
        yield b"some"
        await asyncio.Event().wait()

    async def begin() -> OperationRef[None]:
        operation = sandbox.write_file_streaming("/x", source())
        await asyncio.to_thread(grpc_peer.wait, begun)
        return operation

    here = new_loop()
    # The operation is awaited nowhere: its loop alone knows that it has come to nothing.
    operation = here.run_until_complete(begin())
    here.run_until_complete(here.shutdown_default_executor())
    here.close()
    with pytest.raises(CancelledError):
        operation.result(timeout=10)
    grpc_peer.wait(ended)


def begun_in_a_loop_that_is_dropped(sandbox: Sandbox) -> OperationRef[None]:
    begun = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        begun.set()
        yield b"some"
        await asyncio.Event().wait()

    async def begin() -> OperationRef[None]:
        operation = sandbox.write_file_streaming("/x", source())
        await begun.wait()
        return operation

    return asyncio.new_event_loop().run_until_complete(begin())


def test_a_loop_that_is_dropped_ends_the_writes_from_its_sources(
    sandbox: Sandbox, shell: Shell
) -> None:
    operation = begun_in_a_loop_that_is_dropped(sandbox)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the loop
        gc.collect()
    with pytest.raises(CancelledError):
        operation.result(timeout=10)


def test_a_source_is_read_no_faster_than_the_service_takes_it(
    grpc_peer: GrpcPeer, sandbox: Sandbox
) -> None:
    go_on, begun = grpc_peer.event(), grpc_peer.event()

    async def slow(call: Call) -> None:
        await call.ready()
        begun.set()
        await go_on.wait()
        size = 0
        async for data in call.stdin():
            size += len(data)
        await call.out(b"%d\n" % size)
        await call.exit(0)

    grpc_peer.scripts["/bin/sh"] = slow
    taken = 0

    def source() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield bytes(MIB)

    operation = sandbox.write_file_streaming("/x", source())
    grpc_peer.wait(begun)
    with pytest.raises(TimeoutError):
        operation.result(timeout=0.5)
    assert taken < 60
    grpc_peer.set(go_on)
    operation.result()
    assert taken == 100


@pytest.mark.parametrize("how", ["close", "drop"])
def test_a_reader_that_is_closed_ends_the_transfer(
    grpc_peer: GrpcPeer, sandbox: Sandbox, how: str
) -> None:
    ended = grpc_peer.event()

    async def endless(call: Call) -> None:
        try:
            while True:
                await call.out(bytes(MIB))
        finally:
            ended.set()

    grpc_peer.scripts["/bin/sh"] = endless
    reader = sandbox.read_file_streaming("/dev/zero")
    assert next(reader)
    if how == "close":
        reader.close()
        assert list(reader) == []
    else:
        del reader
        gc.collect()
    grpc_peer.wait(ended)


def test_the_limit_of_a_stream(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    async def slow(call: Call) -> None:
        await call.out(b"some")
        await asyncio.sleep(30)

    grpc_peer.scripts["/bin/sh"] = slow
    reader = sandbox.read_file_streaming("/x", timeout_seconds=3)
    assert next(reader) == b"some"
    with pytest.raises(SandboxRequestTimeoutError) as caught:
        next(reader)
    assert (caught.value.timeout, caught.value.filepath) == (3, "/x")
