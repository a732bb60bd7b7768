"""Uploads to, and downloads from, services that break off, lie, or never come to an end."""

from __future__ import annotations

import asyncio
import os
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import h2.errors
import pytest

from conformance.grpc_peer import Call, GrpcPeer
from conformance.h2_peer import H2Peer, Stream
from cwsandbox import (
    Sandbox,
    SandboxError,
    SandboxExecutionError,
    SandboxResourceExhaustedError,
    SandboxTimeoutError,
    SandboxTransferError,
    SandboxUnavailableError,
    TransferResult,
)
from unit.archives import archive, member

Hostile = Callable[..., tuple[H2Peer, Sandbox]]
SHELL = "/bin/sh"
TREE = archive(
    member("./", tarfile.DIRTYPE, mode=0o755),
    member("./a", content=b"a" * 1000),
    member("./d", tarfile.DIRTYPE, mode=0o755),
    member("./d/b", content=b"b" * 3000),
)


def outside(top: Path) -> list[Path]:
    return [path for path in top.parent.rglob("*") if path != top and top not in path.parents]


def answering(peer: GrpcPeer, script: Callable[[Call], Awaitable[None]]) -> None:
    peer.command(SHELL)(script)


# ---- downloads ----


@pytest.mark.parametrize(
    ("name", "evil"),
    [
        ("../evil", member("../evil", content=b"x")),
        ("/tmp/evil", member("/tmp/evil", content=b"x")),
        ("link", member("link", tarfile.SYMTYPE, linkname="/etc/passwd")),
        ("device", member("device", tarfile.CHRTYPE)),
    ],
)
def test_a_hostile_member(grpc_peer: GrpcPeer, tmp_path: Path, name: str, evil: bytes) -> None:
    ended = grpc_peer.event()

    async def script(call: Call) -> None:
        await call.out(TREE[:-1024] + evil)
        try:
            await asyncio.Event().wait()  # until the client cancels
        finally:
            ended.set()

    answering(grpc_peer, script)
    with Sandbox.run() as sandbox:
        with pytest.raises(SandboxTransferError) as raised:
            sandbox.download("/tree", tmp_path / "top").result()
        grpc_peer.wait(ended)
    assert raised.value.member == name
    assert repr(name) in str(raised.value)
    assert raised.value.transferred == TransferResult(2, 1, 0, 4000)
    assert outside(tmp_path / "top") == []


@pytest.mark.parametrize("garbage", [b"", b"x", b"Welcome!\n" * 1000, bytes(1024), TREE[512:]])
def test_no_archive_at_all(grpc_peer: GrpcPeer, tmp_path: Path, garbage: bytes) -> None:
    async def script(call: Call) -> None:
        if garbage:
            await call.out(garbage)
        await call.exit(0)

    answering(grpc_peer, script)
    with Sandbox.run() as sandbox, pytest.raises(SandboxTransferError):
        sandbox.download("/tree", tmp_path / "top").result()
    assert list(tmp_path.iterdir()) == ([tmp_path / "top"] if garbage == TREE[512:] else [])


@pytest.mark.parametrize("size", [500, 600, 1500, 3500, len(TREE) - 1024])
def test_an_archive_that_is_cut_is_no_success(
    grpc_peer: GrpcPeer, tmp_path: Path, size: int
) -> None:
    async def script(call: Call) -> None:
        await call.out(TREE[:size])
        await call.exit(0)

    answering(grpc_peer, script)
    with (
        Sandbox.run() as sandbox,
        pytest.raises(SandboxTransferError, match="the archive ends in the middle"),
    ):
        sandbox.download("/tree", tmp_path / "top").result()
    assert not list(tmp_path.rglob(".cwsandbox-*"))


def test_a_whole_archive_and_then_a_failure(grpc_peer: GrpcPeer, tmp_path: Path) -> None:
    """A flood on stderr beside the archive holds nothing up; its end is told."""

    async def script(call: Call) -> None:
        await call.out(TREE[:700])
        for _ in range(40):
            await call.err(b"tar: x: Cannot open: Permission denied\n" * 1500)
        await call.out(TREE[700:])
        await call.exit(2)

    answering(grpc_peer, script)
    with (
        Sandbox.run() as sandbox,
        pytest.raises(SandboxTransferError, match="Permission denied") as raised,
    ):
        sandbox.download("/tree", tmp_path / "top").result()
    assert raised.value.transferred == TransferResult(2, 1, 0, 4000)
    assert (tmp_path / "top/d/b").read_bytes() == b"b" * 3000


def test_more_than_one_file_for_one(grpc_peer: GrpcPeer, tmp_path: Path) -> None:
    async def script(call: Call) -> None:
        await call.out(archive(member("f", content=b"x"), member("g", content=b"x")))
        await call.exit(0)

    answering(grpc_peer, script)
    with Sandbox.run() as sandbox, pytest.raises(SandboxTransferError, match="'g' is in the archi"):
        sandbox.download("/f", tmp_path / "f").result()
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_file_without_end(grpc_peer: GrpcPeer, tmp_path: Path) -> None:
    async def script(call: Call) -> None:
        await call.out(TREE[:-1024] + member("endless", size=1 << 42)[:512])
        while True:
            await call.out(bytes(1000))
            await asyncio.sleep(0.01)

    answering(grpc_peer, script)
    with Sandbox.run() as sandbox, pytest.raises(SandboxTimeoutError) as raised:
        sandbox.download("/tree", tmp_path / "top", timeout_seconds=4).result()
    assert raised.value.timeout == 4
    assert "Download of " in str(raised.value)
    assert "printf" not in str(raised.value)
    assert raised.value.last_member == "endless"
    assert raised.value.transferred is not None
    assert raised.value.transferred.files == 2
    assert {path.name for path in tmp_path.rglob("*")} == {"top", "a", "d", "b"}


def test_members_without_end(grpc_peer: GrpcPeer, tmp_path: Path) -> None:
    async def script(call: Call) -> None:
        await call.out(TREE[:512])
        while True:
            await call.out(member("same", content=b"x"))
            await asyncio.sleep(0.01)

    answering(grpc_peer, script)
    with Sandbox.run() as sandbox, pytest.raises(SandboxTimeoutError):
        sandbox.download("/tree", tmp_path / "top", timeout_seconds=1).result()


@pytest.mark.parametrize("frames", range(6))
@pytest.mark.parametrize("how", ["reset", "close", "end", "status"])
def test_cut_after_each_frame(hostile: Hostile, tmp_path: Path, frames: int, how: str) -> None:
    async def script(stream: Stream) -> None:
        await stream.init()
        await stream.start()
        for at in range(frames):
            await stream.out(TREE[at * 1000 : (at + 1) * 1000])
        if how == "reset":
            await stream.reset(h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif how == "close":
            stream.connection.writer.close()
        elif how == "end":
            await stream.end_without_trailers()
        else:
            await stream.trailers(0)

    _, sandbox = hostile(script)
    with pytest.raises(SandboxError) as raised:
        sandbox.download("/tree", tmp_path / "top").result()

    assert not isinstance(raised.value, SandboxTransferError) or "in the middle" not in str(raised)
    assert raised.value.transferred is not None
    sizes = {path.name: path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()}
    assert sizes.items() <= {"a": 1000, "b": 3000}.items()


def test_an_error_frame(grpc_peer: GrpcPeer, tmp_path: Path) -> None:
    async def script(call: Call) -> None:
        await call.out(TREE[:1700])
        await call.error("STREAM_BACKPRESSURE", "too slow")

    answering(grpc_peer, script)
    with Sandbox.run() as sandbox, pytest.raises(SandboxExecutionError) as raised:
        sandbox.download("/tree", tmp_path / "top").result()
    assert raised.value.stream_code == "STREAM_BACKPRESSURE"  # type: ignore[attr-defined]


# ---- uploads ----


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """More than any window holds."""
    (tmp_path / "tree").mkdir()
    with open(tmp_path / "tree" / "large", "wb") as file:
        os.truncate(file.fileno(), 64 * 1024 * 1024)
    return tmp_path / "tree"


def test_tar_ends_early_without_a_word(grpc_peer: GrpcPeer, large: Path) -> None:
    async def script(call: Call) -> None:
        await call.ready()
        await call.exit(0)

    answering(grpc_peer, script)
    with (
        Sandbox.run() as sandbox,
        pytest.raises(SandboxTransferError, match="ended before it had read all"),
    ):
        sandbox.upload(large, "/tree").result()


@pytest.mark.parametrize("begun", [False, True])
def test_tar_fails(grpc_peer: GrpcPeer, large: Path, begun: bool) -> None:
    async def script(call: Call) -> None:
        await call.ready()
        if begun:
            await anext(call.stdin())
        await call.err(b"tar: large: Cannot write: No space left on device\n")
        await call.err(b"tar: Exiting with failure status due to previous errors\n")
        await call.exit(2)

    answering(grpc_peer, script)
    with (
        Sandbox.run() as sandbox,
        pytest.raises(SandboxTransferError, match="No space left on device") as raised,
    ):
        sandbox.upload(large, "/tree").result()
    assert raised.value.filepath == "/tree"
    assert raised.value.last_member == "large"


def test_what_tar_says_does_nothing_to_a_terminal(grpc_peer: GrpcPeer, tmp_path: Path) -> None:
    async def script(call: Call) -> None:
        await call.err(b"\x1b[2Jtar: \xff\n" + b"x" * 100_000 + b"\n" * 10)
        await call.exit(2)

    answering(grpc_peer, script)
    with Sandbox.run() as sandbox, pytest.raises(SandboxTransferError) as raised:
        sandbox.download("/tree", tmp_path / "top").result()
    assert r"\x1b[2Jtar: " in str(raised.value)
    assert len(str(raised.value)) < 2000
    assert raised.value.exec_result is not None
    assert raised.value.exec_result.returncode == 2


def test_a_sandbox_that_cannot_be_created(grpc_peer: GrpcPeer, large: Path) -> None:
    async def refuse(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no room")

    grpc_peer.overrides["CreateSandbox"] = refuse
    sandbox = Sandbox()
    operations = [sandbox.upload(large, "/t"), sandbox.download("/t", large / "t")]
    for operation in operations:
        with pytest.raises(SandboxResourceExhaustedError, match="no room") as raised:
            operation.result()
        assert raised.value.transferred == TransferResult()
        assert raised.value.last_member is None


def test_there_is_no_tar(grpc_peer: GrpcPeer, large: Path) -> None:
    async def script(call: Call) -> None:
        await call.ready()
        await call.err(b"there is no tar program in the sandbox\n")
        await call.exit(69)

    answering(grpc_peer, script)
    text = "there is no tar program in the sandbox"
    with Sandbox.run() as sandbox, pytest.raises(SandboxTransferError, match=text):
        sandbox.upload(large, "/tree").result()


def test_input_that_nobody_reads(grpc_peer: GrpcPeer, large: Path) -> None:
    async def script(call: Call) -> None:
        await call.ready()
        await asyncio.Event().wait()

    answering(grpc_peer, script)
    told: list[int] = []
    with Sandbox.run() as sandbox, pytest.raises(SandboxTimeoutError) as raised:
        sandbox.upload(
            large, "/tree", timeout_seconds=1, progress=lambda done, _: told.append(done)
        ).result()
    assert "Upload of " in str(raised.value)
    assert raised.value.transferred is not None
    assert raised.value.transferred.files == 0
    assert 0 <= raised.value.transferred.bytes < 64 * 1024 * 1024


def test_a_service_that_goes_away(grpc_peer: GrpcPeer, large: Path) -> None:
    async def script(call: Call) -> None:
        await call.ready()
        await anext(call.stdin())
        await call.context.abort(grpc.StatusCode.UNAVAILABLE, "going away")

    answering(grpc_peer, script)
    with Sandbox.run() as sandbox, pytest.raises(SandboxUnavailableError) as raised:
        sandbox.upload(large, "/tree").result()
    assert "going away" in str(raised.value)
    assert raised.value.last_member == "large"


async def collected(call: Call) -> bytes:
    await call.ready()
    parts = [part async for part in call.stdin()]
    await call.exit(0)
    return b"".join(parts)


def test_one_command_and_a_whole_archive(grpc_peer: GrpcPeer, large: Path) -> None:
    archives: list[bytes] = []
    calls: list[Any] = []

    async def script(call: Call) -> None:
        calls.append(call.argv)
        archives.append(await collected(call))

    answering(grpc_peer, script)
    told: list[tuple[int, int | None]] = []
    with Sandbox.run() as sandbox:
        done = sandbox.upload(large, "/t", progress=lambda *at: told.append(at)).result()
    size = 64 * 1024 * 1024
    assert done == TransferResult(files=1, bytes=size)
    assert len(calls) == 1
    assert len(archives[0]) == size + 512 + 10240
    assert told[0] == (0, size)
    assert told[-1] == (size, size)
    assert told == sorted(told)
    assert 100 < len(told) <= 260
