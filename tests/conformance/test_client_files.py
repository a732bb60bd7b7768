"""Our client's file operations against a grpcio server: what it sends, and what it makes of every answer."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import grpc
import pytest

import cwsandbox
from conformance.file_peer import MIB, TOO_LARGE, Shell, answer
from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import (
    CWSandboxAuthenticationError,
    CWSandboxError,
    Sandbox,
    SandboxError,
    SandboxFileError,
    SandboxNotFoundError,
    SandboxNotRunningError,
    SandboxRequestTimeoutError,
    SandboxResourceExhaustedError,
    SandboxUnavailableError,
)
from cwsandbox._lifecycle import files
from integration.env import eventually

ALL_BYTES = bytes(range(256))
Status = grpc.StatusCode


# ---- one call ----


@pytest.mark.parametrize("size", [0, 1, 1024, 65536, 65537, 3 * MIB])
def test_content_comes_back_as_it_is(grpc_peer: GrpcPeer, sandbox: Sandbox, size: int) -> None:
    content = (ALL_BYTES * (size // 256 + 1))[:size]
    assert sandbox.write_file("/a/b", content).result() is None
    assert grpc_peer.files["/a/b"] == content
    assert sandbox.read_file("/a/b").result() == content


async def test_many_at_once(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    async def there_and_back(i: int) -> None:
        content = b"%d" % i * 100
        await sandbox.write_file(f"/{i}", content)
        assert await sandbox.read_file(f"/{i}") == content

    await asyncio.gather(*(there_and_back(i) for i in range(200)))


def test_what_the_service_gets(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    sandbox.write_file(PurePosixPath("/dir/ä"), bytearray(b"x"), container=" side ").result()
    sandbox.read_file(PureWindowsPath("/dir/ä"), timeout_seconds=50).result()
    sandbox.read_file("/dir/ä", container="  ", timeout_seconds=math.inf).result()
    requests = [
        (type(r).__name__, r.sandbox_id, r.path, r.container) for r in grpc_peer.file_requests
    ]
    name = sandbox.sandbox_id
    assert requests == [
        ("WriteFileRequest", name, "/dir/ä", "side"),
        ("ReadFileRequest", name, "/dir/ä", ""),
        ("ReadFileRequest", name, "/dir/ä", ""),
    ]
    first, second = grpc_peer.deadlines["ReadFile"]
    assert first is not None
    assert 45 < first <= 51
    assert second is None or second > 1e6


@pytest.mark.parametrize(
    "given",
    [bytearray, memoryview, lambda b: memoryview(b)[::1], lambda b: memoryview(b).cast("I")],
)
@pytest.mark.parametrize("size", [1024, 128 * 1024])
def test_any_bytes_like_content(
    grpc_peer: GrpcPeer, sandbox: Sandbox, given: Callable[[bytes], Any], size: int
) -> None:
    content = ALL_BYTES * (size // 256)
    sandbox.write_file("/x", given(content)).result()
    assert grpc_peer.files["/x"] == content
    sandbox.write_file("/x", memoryview(content)[::2]).result()
    assert grpc_peer.files["/x"] == content[::2]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", ValueError),
        ("a\0b", ValueError),
        ("\ud800", ValueError),
        (None, TypeError),
        (b"/x", TypeError),
        (1, TypeError),
    ],
)
def test_bad_paths_are_refused_at_the_call(
    grpc_peer: GrpcPeer, sandbox: Sandbox, path: Any, kind: type[Exception]
) -> None:
    for call in (
        lambda: sandbox.read_file(path),
        lambda: sandbox.write_file(path, b""),
        lambda: sandbox.read_file_streaming(path),
        lambda: sandbox.write_file_streaming(path, b""),
    ):
        with pytest.raises(kind, match="filepath must"):
            call()


@pytest.mark.parametrize("content", ["text", None, 5, [b"x"], object()])
def test_bad_contents_are_refused_at_the_call(sandbox: Sandbox, content: Any) -> None:
    with pytest.raises(TypeError, match=type(content).__name__):
        sandbox.write_file("/x", content)


@pytest.mark.parametrize("source", ["text", None, 5, object()])
def test_bad_sources_are_refused_at_the_call(sandbox: Sandbox, source: Any) -> None:
    with pytest.raises(TypeError, match=type(source).__name__):
        sandbox.write_file_streaming("/x", source)


@pytest.mark.parametrize("timeout", [0, -1, math.nan, "1", True])
def test_bad_limits_are_refused_at_the_call(sandbox: Sandbox, timeout: Any) -> None:
    for call in (
        lambda: sandbox.read_file("/x", timeout_seconds=timeout),
        lambda: sandbox.write_file("/x", b"", timeout_seconds=timeout),
        lambda: sandbox.read_file_streaming("/x", timeout_seconds=timeout),
        lambda: sandbox.write_file_streaming("/x", b"", timeout_seconds=timeout),
    ):
        with pytest.raises((TypeError, ValueError), match="timeout_seconds"):
            call()


STATUSES = [
    (Status.NOT_FOUND, SandboxNotFoundError),
    (Status.CANCELLED, SandboxNotRunningError),
    (Status.DEADLINE_EXCEEDED, SandboxRequestTimeoutError),
    (Status.UNAVAILABLE, SandboxUnavailableError),
    (Status.PERMISSION_DENIED, CWSandboxAuthenticationError),
    (Status.INTERNAL, SandboxError),
    (Status.UNIMPLEMENTED, SandboxError),
]


@pytest.mark.parametrize(("code", "kind"), STATUSES)
def test_statuses(
    grpc_peer: GrpcPeer, sandbox: Sandbox, code: grpc.StatusCode, kind: type[CWSandboxError]
) -> None:
    for method, call in (
        ("ReadFile", lambda: sandbox.read_file("/x")),
        ("WriteFile", lambda: sandbox.write_file("/x", b"")),
    ):
        times = answer(grpc_peer, method, code, message="because")
        with pytest.raises(CWSandboxError, match="because") as caught:
            call().result()
        assert type(caught.value) is kind
        assert caught.value.filepath == "/x"
        assert len(times) == 1


@pytest.mark.parametrize(
    "reason", ["NOT_FOUND", "IS_DIRECTORY", "IO_FAILED", "PERMISSION_DENIED", "TRUNCATED"]
)
def test_reasons(grpc_peer: GrpcPeer, sandbox: Sandbox, reason: str) -> None:
    answer(grpc_peer, "ReadFile", Status.INTERNAL, f"CWSANDBOX_FILE_{reason}", filepath="/other")
    with pytest.raises(SandboxFileError) as caught:
        sandbox.read_file("/x").result()
    assert caught.value.reason == f"CWSANDBOX_FILE_{reason}"
    assert caught.value.filepath == "/x"
    assert caught.value.metadata == {"filepath": "/other"}


def test_the_limit_ends_a_call(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    async def hang(request: Any, context: Any) -> None:
        await asyncio.sleep(30)

    grpc_peer.overrides.update(ReadFile=hang, WriteFile=hang)
    for operation in (
        sandbox.read_file("/x", timeout_seconds=0.2),
        sandbox.write_file("/x", b"", timeout_seconds=0.2),
    ):
        with pytest.raises(SandboxRequestTimeoutError) as caught:
            operation.result()
        assert (caught.value.timeout, caught.value.filepath) == (0.2, "/x")


# ---- more than one call ----


@pytest.mark.parametrize("code", [Status.RESOURCE_EXHAUSTED, Status.INVALID_ARGUMENT])
def test_a_read_too_large_for_a_message(
    grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell, code: grpc.StatusCode
) -> None:
    content = ALL_BYTES * 4096 * 3
    grpc_peer.files["/big file"] = content
    answer(grpc_peer, "ReadFile", code, TOO_LARGE, size_bytes=str(len(content)))
    assert sandbox.read_file("/big file", container="side").result() == content
    assert shell.names == ["cwsandbox-read-file"]
    assert shell.calls[0].init.container == "side"
    assert sandbox.exec_stats["exec_count"] == 0  # it is no command of the user's


def test_a_read_too_large_for_all_ways(grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell) -> None:
    size = str(256 * MIB + 1)
    answer(
        grpc_peer,
        "ReadFile",
        Status.RESOURCE_EXHAUSTED,
        TOO_LARGE,
        size_bytes=size,
        max_size_bytes="5",
    )
    with pytest.raises(
        SandboxFileError, match=f"it has {size} bytes, and the limit is 268435456; use read_file_s"
    ) as caught:
        sandbox.read_file("/x").result()
    assert (caught.value.reason, caught.value.filepath) == (TOO_LARGE, "/x")
    assert caught.value.metadata["max_size_bytes"] == "268435456"
    assert not shell.calls


@pytest.mark.parametrize("size", [None, "", "much", "-1", "9" * 40])
def test_a_read_too_large_by_nobody_knows_how_much(
    grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell, size: str | None
) -> None:
    metadata = {} if size is None else {"size_bytes": size}
    answer(grpc_peer, "ReadFile", Status.RESOURCE_EXHAUSTED, TOO_LARGE, **metadata)
    with pytest.raises(SandboxFileError) as caught:
        sandbox.read_file("/x").result()
    assert (caught.value.reason, caught.value.metadata) == (TOO_LARGE, metadata)
    assert not shell.calls


def test_a_read_that_exhausts_something(
    grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell
) -> None:
    grpc_peer.files["/x"] = b"content"
    answer(grpc_peer, "ReadFile", Status.RESOURCE_EXHAUSTED, retry_after=1)
    assert sandbox.read_file("/x").result() == b"content"
    assert sandbox.read_file("/x").result() == b"content"
    with pytest.raises(SandboxFileError) as caught:
        sandbox.read_file("/missing").result()
    assert (caught.value.reason, caught.value.filepath) == ("CWSANDBOX_FILE_NOT_FOUND", "/missing")
    assert "no such thing" in str(caught.value)


def test_a_read_that_ends_early(grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell) -> None:
    grpc_peer.files["/x"] = b"12345"
    answer(grpc_peer, "ReadFile", Status.RESOURCE_EXHAUSTED, TOO_LARGE, size_bytes="6")
    with pytest.raises(SandboxFileError) as caught:
        sandbox.read_file("/x").result()
    assert caught.value.reason == "CWSANDBOX_FILE_TRUNCATED"
    assert caught.value.metadata == {
        "filepath": "/x",
        "operation": "read_file",
        "size_bytes": "6",
        "bytes_delivered": "5",
    }


def test_nobody_has_to_wait_for_the_second_call(
    grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell
) -> None:
    answer(grpc_peer, "WriteFile", Status.RESOURCE_EXHAUSTED, TOO_LARGE, max_size_bytes="10")
    held = sandbox.write_file("/held", b"held content")
    sandbox.write_file("/dropped", b"dropped content")
    sandbox.write_file("/large", ALL_BYTES * 1024)
    gc.collect()
    shell_is_done = threading.Event()
    written = {"/held": b"held content", "/dropped": b"dropped content", "/large": ALL_BYTES * 1024}
    for _ in range(1000):
        if grpc_peer.files == written:
            break
        shell_is_done.wait(0.01)
    assert grpc_peer.files == written
    assert held.result() is None


@pytest.mark.parametrize("size", [100, 200_000])
def test_a_part_of_something_goes_through_a_command(
    grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell, size: int
) -> None:
    answer(grpc_peer, "WriteFile", Status.RESOURCE_EXHAUSTED, TOO_LARGE)
    whole = bytearray(ALL_BYTES * (size // 256 + 2))
    sandbox.write_file("/x", memoryview(whole)[10 : size + 10]).result()
    assert grpc_peer.files["/x"] == whole[10 : size + 10]
    whole.clear()  # nobody holds it any more


async def test_many_that_are_not_enough(
    grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell
) -> None:
    for method in ("ReadFile", "WriteFile"):
        answer(grpc_peer, method, Status.RESOURCE_EXHAUSTED, TOO_LARGE, size_bytes="3")

    async def there_and_back(i: int) -> None:
        await sandbox.write_file(f"/{i}", b"%03d" % i)
        assert await sandbox.read_file(f"/{i}") == b"%03d" % i

    await asyncio.gather(*map(there_and_back, range(100)))


def test_a_service_that_says_how_much_it_takes(
    grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell
) -> None:
    times = answer(grpc_peer, "WriteFile", Status.RESOURCE_EXHAUSTED, TOO_LARGE, max_size_bytes="5")
    sandbox.write_file("/x", b"123456").result()
    sandbox.write_file("/x", b"1234567").result()
    assert len(times) == 1  # the second one was not even tried
    del grpc_peer.overrides["WriteFile"]
    sandbox.write_file("/x", b"12345").result()
    assert grpc_peer.files["/x"] == b"12345"
    assert shell.names == ["cwsandbox-write-file"] * 2


def test_a_write_that_exhausts_something_else(
    grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell
) -> None:
    answer(grpc_peer, "WriteFile", Status.RESOURCE_EXHAUSTED, message="disk full")
    with pytest.raises(SandboxResourceExhaustedError, match="disk full") as caught:
        sandbox.write_file("/x", b"1").result()
    assert caught.value.filepath == "/x"
    answer(grpc_peer, "WriteFile", Status.RESOURCE_EXHAUSTED, message="Message Larger Than MAX")
    sandbox.write_file("/x", b"1").result()
    assert (grpc_peer.files, len(shell.calls)) == ({"/x": b"1"}, 1)


def test_large_content_goes_through_a_command(
    grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell
) -> None:
    content = ALL_BYTES * (33 * MIB // 256)
    sandbox.write_file("/x", content, container="side").result()
    assert grpc_peer.files["/x"] == content
    assert not grpc_peer.file_requests
    assert shell.calls[0].argv[3:] == ["cwsandbox-write-file", "/x", str(len(content))]
    assert shell.calls[0].init.container == "side"
    assert shell.largest_frame <= 65536


def test_content_that_is_too_large(grpc_peer: GrpcPeer, sandbox: Sandbox, shell: Shell) -> None:
    content = memoryview(bytes(256 * MIB + 1))
    with pytest.raises(SandboxFileError) as caught:
        sandbox.write_file("/x", content).result()
    assert caught.value.reason == TOO_LARGE
    assert caught.value.metadata == {
        "size_bytes": str(256 * MIB + 1),
        "max_size_bytes": str(256 * MIB),
        "operation": "write_file",
        "filepath": "/x",
    }
    assert not shell.calls
    assert not grpc_peer.file_requests


def test_a_read_is_tried_again_where_the_service_asks(
    grpc_peer: GrpcPeer, sandbox: Sandbox
) -> None:
    times: list[float] = []

    async def busy_twice(request: Any, context: Any) -> Any:
        times.append(context.time_remaining())
        if len(times) < 3:
            await grpc_peer.fail(context, Status.UNAVAILABLE, retry_after=0.01)
        return grpc_peer.pb.ReadFileResponse(content=b"at last")

    grpc_peer.overrides["ReadFile"] = busy_twice
    assert sandbox.read_file("/x", timeout_seconds=100).result() == b"at last"
    assert times[0] > times[1] > times[2] > 90


@pytest.mark.parametrize(
    ("retry_after", "timeout", "attempts"),
    [(0, 100, 3), (None, 100, 1), (11, 100, 1), (0.1, 5.05, 1)],
)
def test_a_read_is_given_up(
    grpc_peer: GrpcPeer, sandbox: Sandbox, retry_after: float | None, timeout: float, attempts: int
) -> None:
    times = answer(grpc_peer, "ReadFile", Status.UNAVAILABLE, retry_after=retry_after)
    with pytest.raises(SandboxUnavailableError):
        sandbox.read_file("/x", timeout_seconds=timeout).result()
    assert len(times) == attempts


def test_a_write_is_never_repeated(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    times = answer(grpc_peer, "WriteFile", Status.UNAVAILABLE, retry_after=0)
    with pytest.raises(SandboxUnavailableError):
        sandbox.write_file("/x", b"").result()
    assert len(times) == 1


# ---- ends ----


def hold(peer: GrpcPeer) -> asyncio.Event:
    """Calls of both methods begin, and never end."""
    begun = peer.event()

    async def hang(request: Any, context: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    peer.overrides.update(ReadFile=hang, WriteFile=hang)
    return begun


@pytest.mark.parametrize("size", [1, MIB])
def test_stop_ends_a_call(grpc_peer: GrpcPeer, sandbox: Sandbox, size: int) -> None:
    begun = hold(grpc_peer)
    operations: list[Any] = [sandbox.read_file("/x"), sandbox.write_file("/x", bytes(size))]
    grpc_peer.wait(begun)
    sandbox.stop().result()
    operations += [
        sandbox.read_file("/x"),
        sandbox.write_file("/x", bytes(size)),
        sandbox.write_file("/x", memoryview(bytes(33 * MIB))),
    ]
    for operation in operations:
        with pytest.raises(SandboxNotRunningError, match="has been stopped"):
            operation.result()


def test_stop_ends_a_transfer(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    begun, told = grpc_peer.event(), grpc_peer.event()

    async def hang(call: Call) -> None:
        (told if begun.is_set() else begun).set()
        await call.ready()
        await asyncio.Event().wait()

    grpc_peer.scripts["/bin/sh"] = hang
    answer(grpc_peer, "ReadFile", Status.RESOURCE_EXHAUSTED)
    write = sandbox.write_file_streaming("/x", (b"1" for _ in iter(int, 1)))
    reader = sandbox.read_file_streaming("/x")
    read = sandbox.read_file("/x")
    grpc_peer.wait(told)
    sandbox.stop().result()
    for wait in (write.result, read.result, lambda: list(reader)):
        with pytest.raises(SandboxNotRunningError, match="has been stopped"):
            wait()
    assert list(reader) == []


async def test_cancelling_ends_a_call(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    ended = grpc_peer.event()
    begun = grpc_peer.event()

    async def hang(request: Any, context: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    grpc_peer.overrides.update(ReadFile=hang, WriteFile=hang)

    async def read() -> bytes:
        return await sandbox.read_file("/x")

    task = asyncio.create_task(read())
    await asyncio.to_thread(grpc_peer.wait, begun)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(grpc_peer.wait, ended)


def test_cancelling_ends_a_transfer(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    begun, ended = grpc_peer.event(), grpc_peer.event()

    async def hang(call: Call) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    grpc_peer.scripts["/bin/sh"] = hang
    answer(grpc_peer, "ReadFile", Status.RESOURCE_EXHAUSTED)
    operation = sandbox.read_file("/x")
    grpc_peer.wait(begun)
    assert operation._cancel()
    grpc_peer.wait(ended)
    with pytest.raises(CancelledError):
        operation.result()


@pytest.mark.parametrize("through_a_command", [False, True])
def test_a_dropped_write_fails_in_silence(
    grpc_peer: GrpcPeer, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, through_a_command: bool
) -> None:
    """Nobody is left to be told, not even asyncio's log."""
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    async def fail(request: Any, context: Any) -> None:
        begun.set()
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        ended.set()
        await grpc_peer.fail(context, Status.UNAVAILABLE)

    grpc_peer.overrides["WriteFile"] = fail
    if through_a_command:
        answer(grpc_peer, "WriteFile", Status.RESOURCE_EXHAUSTED, TOO_LARGE)
        grpc_peer.scripts["/bin/sh"] = lambda call: fail(None, call.context)
    sandbox.write_file("/dropped", b"1")
    assert begun.wait(20)
    gc.collect()
    go_on.set()
    assert ended.wait(20)
    eventually(lambda: len(files._tasks) == 1, "only that which waits for writes is left")
    gc.collect()
    assert [record.getMessage() for record in caplog.records] == []


def test_a_read_that_is_dropped_is_cancelled(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    begun, ended = grpc_peer.event(), grpc_peer.event()

    async def hang(request: Any, context: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    grpc_peer.overrides["ReadFile"] = hang
    operation = sandbox.read_file("/x")
    grpc_peer.wait(begun)
    del operation
    gc.collect()
    grpc_peer.wait(ended)


def test_files_of_a_sandbox_that_was_not_started(grpc_peer: GrpcPeer, shell: Shell) -> None:
    sandbox = Sandbox()
    sandbox.write_file("/x", b"1").result()
    assert sandbox.read_file("/x").result() == b"1"
    sandbox.stop().result()
    never = Sandbox()
    never.stop().result()
    for operation in (never.read_file("/x"), never.write_file_streaming("/x", b"")):
        with pytest.raises(SandboxNotRunningError):
            operation.result()
    with pytest.raises(SandboxNotRunningError):
        list(never.read_file_streaming("/x"))


def test_the_limit_covers_the_start_of_the_sandbox(grpc_peer: GrpcPeer, shell: Shell) -> None:
    async def starting(request: Any, context: Any) -> Any:
        state = grpc_peer.pb.STATE_TERMINATED if grpc_peer.deleted else grpc_peer.pb.STATE_CREATING
        return grpc_peer._sandbox(request.sandbox_id, state)

    grpc_peer.overrides["GetSandbox"] = starting
    sandbox = Sandbox()
    waits: list[Callable[[], Any]] = [
        sandbox.read_file("/x", timeout_seconds=0.3).result,
        sandbox.write_file("/x", b"", timeout_seconds=0.3).result,
        lambda: list(sandbox.read_file_streaming("/x", timeout_seconds=0.3)),
    ]
    for wait in waits:
        with pytest.raises(SandboxRequestTimeoutError) as late:
            wait()
        assert (late.value.timeout, late.value.filepath) == (0.3, "/x")
    for operation in (
        sandbox.write_file("/x", bytes(33 * MIB), timeout_seconds=0.3),
        sandbox.write_file_streaming("/x", [b""], timeout_seconds=0.3),
    ):
        with pytest.raises(SandboxFileError) as caught:
            operation.result()
        assert isinstance(caught.value.__cause__, SandboxRequestTimeoutError)
    still_waiting = sandbox.read_file("/missing", timeout_seconds=math.inf)
    del grpc_peer.overrides["GetSandbox"]
    with pytest.raises(SandboxFileError):
        still_waiting.result()
    sandbox.stop().result()


def test_wait_takes_file_operations(grpc_peer: GrpcPeer, sandbox: Sandbox) -> None:
    operations = [sandbox.write_file(f"/{i}", b"") for i in range(5)]
    done, pending = cwsandbox.wait(operations)
    assert (len(done), pending) == (5, [])
