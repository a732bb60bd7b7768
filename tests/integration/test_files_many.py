"""Many files of a real sandbox at once, through the package and its daemon."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from cwsandbox import Sandbox, SandboxNotRunningError

MIB = 1 << 20


def test_ten_thousand_small_files_at_once(sandbox: Sandbox) -> None:
    """Far more than a sandbox may have commands."""
    count = 10_000
    content = os.urandom(1000)
    writes = [sandbox.write_file(f"/tmp/many/{n}", content + b"%d" % n) for n in range(count)]
    for write in writes:
        write.result(50)
    reads = [sandbox.read_file(f"/tmp/many/{n}") for n in range(count)]
    for n, read in enumerate(reads):
        assert read.result(50) == content + b"%d" % n


async def test_large_files_at_once(sandbox: Sandbox) -> None:
    """More than the daemon holds in its memory at a time, either way."""
    content = os.urandom(MIB) * 30
    paths = [f"/tmp/large/{n}" for n in range(10)]
    await asyncio.gather(*(sandbox.write_file(path, content) for path in paths))
    for read in await asyncio.gather(*(sandbox.read_file(path) for path in paths)):
        assert read == content


def test_a_sandbox_that_is_stopped_meanwhile(base_url: str) -> None:
    with Sandbox.run() as sandbox:
        sandbox.wait()
        writes = [sandbox.write_file(f"/tmp/{n}", bytes(10 * MIB)) for n in range(10)]
        sandbox.stop(graceful_shutdown_seconds=0).result(30)
        for write in writes:
            with contextlib.suppress(SandboxNotRunningError):
                write.result(30)
        with pytest.raises(SandboxNotRunningError):
            sandbox.read_file("/tmp/0").result(30)
