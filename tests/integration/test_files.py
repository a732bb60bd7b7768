"""Files of real sandboxes: what goes in comes out, and what does not work is told."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import PurePosixPath

import pytest

from cwsandbox import Sandbox, SandboxError, SandboxFileError, SandboxNotRunningError

MIB = 1024 * 1024
ALL_BYTES = bytes(range(256))


def shell(sandbox: Sandbox, script: str) -> str:
    return sandbox.exec(["/bin/sh", "-c", script], check=True).result().stdout


def reason(error: SandboxError) -> str | None:
    assert error.reason is not None
    return error.reason.removeprefix("CWSANDBOX_FILE_")


@pytest.mark.parametrize("size", [0, 1, 256_000, 5 * MIB, 40 * MIB])
def test_there_and_back(sandbox: Sandbox, size: int) -> None:
    content = os.urandom(size) if size != 256_000 else ALL_BYTES * 1000
    path = PurePosixPath("/tmp/new/folders/of its own/ünï")
    sandbox.write_file(path, content).result()
    assert sandbox.read_file(path).result() == content
    assert b"".join(sandbox.read_file_streaming(path)) == content
    sandbox.write_file_streaming(path, [content, content[::-1]]).result()
    assert sandbox.read_file(str(path)).result() == content + content[::-1]


async def test_many_at_once(sandbox: Sandbox) -> None:
    async def one(i: int) -> None:
        content = os.urandom(1024)
        await sandbox.write_file(f"/tmp/many/{i}", content)
        assert await sandbox.read_file(f"/tmp/many/{i}") == content

    await asyncio.gather(*map(one, range(300)))


def test_larger_than_a_message(sandbox: Sandbox) -> None:
    size = 120 * MIB
    digest = hashlib.sha256(content := os.urandom(MIB) * 120).hexdigest()
    sandbox.write_file("/tmp/big", content).result()
    assert shell(sandbox, "sha256sum /tmp/big").split()[0] == digest
    assert sandbox.read_file("/tmp/big").result() == content
    del content
    streamed = hashlib.sha256()
    for piece in sandbox.read_file_streaming("/tmp/big"):
        streamed.update(piece)
        size -= len(piece)
    assert (size, streamed.hexdigest()) == (0, digest)


PATHS = [
    ("/nowhere", "NOT_FOUND"),
    ("/tmp/dangling", "NOT_FOUND"),
    ("/tmp/file/below", "NOT_FOUND"),
    ("/tmp", "IS_DIRECTORY"),
]


@pytest.mark.parametrize(("path", "expected"), PATHS)
def test_what_cannot_be_read(sandbox: Sandbox, path: str, expected: str) -> None:
    shell(sandbox, "ln -s /nowhere /tmp/dangling; : >/tmp/file")
    for read in (
        lambda: sandbox.read_file(path).result(),
        lambda: list(sandbox.read_file_streaming(path)),
    ):
        with pytest.raises(SandboxFileError) as caught:
            read()
        assert caught.value.filepath == path
        assert reason(caught.value) in (expected, "IO_FAILED" if "below" in path else expected)


def test_what_cannot_be_written(sandbox: Sandbox) -> None:
    shell(sandbox, "mkdir /tmp/folder; : >/tmp/file")
    for path, expected in (("/tmp/folder", {"IS_DIRECTORY"}), ("/tmp/file/below", None)):
        for write in (
            sandbox.write_file(path, b"x"),
            sandbox.write_file(path, bytes(40 * MIB)),
            sandbox.write_file_streaming(path, [b"x"]),
        ):
            with pytest.raises(SandboxFileError) as caught:
                write.result()
            assert caught.value.filepath == path
            assert expected is None or reason(caught.value) in expected
    assert shell(sandbox, "ls -A /tmp/folder; ls -A /tmp").split() == ["file", "folder"]


def test_special_names(sandbox: Sandbox) -> None:
    for path in ("/tmp/-n", "/tmp/a b", "/tmp/$(x)", "/tmp/'q\"", "/tmp/new\nline", "/tmp/*"):
        sandbox.write_file_streaming(path, path.encode()).result()
        assert sandbox.read_file(path).result() == path.encode()
        assert b"".join(sandbox.read_file_streaming(path)) == path.encode()


def test_a_written_file_keeps_its_mode_and_its_link(sandbox: Sandbox) -> None:
    shell(sandbox, "echo old >/tmp/real; chmod 751 /tmp/real; ln -s real /tmp/link")
    sandbox.write_file_streaming("/tmp/link", [b"new"]).result()
    assert shell(sandbox, "stat -c %a /tmp/real; readlink /tmp/link; cat /tmp/real").split() == [
        "751",
        "real",
        "new",
    ]


def test_files_without_a_size(sandbox: Sandbox) -> None:
    status = sandbox.read_file("/proc/self/status").result()
    assert b"VmRSS" in status
    assert b"VmRSS" in b"".join(sandbox.read_file_streaming("/proc/self/status"))
    endless = sandbox.read_file_streaming("/dev/zero")
    assert sum(map(len, itertools.islice(endless, 1000))) > MIB
    endless.close()
    with pytest.raises(SandboxFileError):
        sandbox.read_file("/dev/zero").result()


def test_a_fifo_holds_up_nobody(sandbox: Sandbox) -> None:
    shell(sandbox, "mkfifo /tmp/fifo")
    with pytest.raises(SandboxError):
        sandbox.read_file("/tmp/fifo", timeout_seconds=0.5).result()
    with pytest.raises(SandboxError):
        list(sandbox.read_file_streaming("/tmp/fifo", timeout_seconds=0.5))
    with pytest.raises(SandboxError):
        sandbox.write_file_streaming("/tmp/fifo", b"x", timeout_seconds=0.5).result()
    sandbox.write_file("/tmp/x", b"1").result()


class MineError(Exception):
    pass


def test_a_write_that_fails_leaves_the_file_as_it_was(sandbox: Sandbox) -> None:
    sandbox.write_file("/tmp/kept/file", b"old").result()
    started, go_on = threading.Event(), threading.Event()

    def source(end: BaseException | None) -> Iterator[bytes]:
        yield bytes(3 * MIB)
        started.set()
        go_on.wait(10)
        if end is not None:
            raise end

    operation = sandbox.write_file_streaming("/tmp/kept/file", source(None))
    started.wait(10)
    assert operation._cancel()
    go_on.set()
    with pytest.raises(MineError):
        sandbox.write_file_streaming("/tmp/kept/file", source(MineError())).result()
    with pytest.raises(TypeError):
        sandbox.write_file_streaming("/tmp/kept/file", [bytes(MIB), "text"]).result()
    go_on.clear()
    with pytest.raises(SandboxFileError):
        slow = source(None)
        sandbox.write_file_streaming("/tmp/kept/file", slow, timeout_seconds=0.5).result()
    go_on.set()
    assert sandbox.read_file("/tmp/kept/file").result() == b"old"
    assert shell(sandbox, "sleep 0.2; cat /tmp/kept/file") == "old"


async def test_stop_in_the_middle(base_url: str) -> None:
    sandbox = await Sandbox.run()
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            begun.set()
            yield bytes(1000)
            await asyncio.sleep(0.01)

    write = sandbox.write_file_streaming("/tmp/x", endless())
    reader = sandbox.read_file_streaming("/dev/zero")
    assert await anext(reader)
    await begun.wait()
    await sandbox.stop(graceful_shutdown_seconds=0)
    with pytest.raises(SandboxNotRunningError):
        await write
    with pytest.raises(SandboxNotRunningError):
        async for _ in reader:
            pass
    with pytest.raises(SandboxNotRunningError):
        await sandbox.read_file("/tmp/x")


def test_a_write_that_is_dropped_goes_on(sandbox: Sandbox) -> None:
    content = os.urandom(8 * MIB)
    sandbox.write_file("/tmp/dropped", content)
    digest = hashlib.sha256(content).hexdigest()
    script = "until [ -e /tmp/dropped ]; do sleep 0.02; done; sha256sum /tmp/dropped"
    assert shell(sandbox, script).split()[0] == digest
