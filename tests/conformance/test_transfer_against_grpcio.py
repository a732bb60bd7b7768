"""Copies by way of a service that is not ours: a grpcio server that runs each command on this host."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import Sandbox, TransferResult

CHUNK = 10_000


async def run(call: Call) -> None:
    """What a service does with a command: start it and pass everything on."""
    process = await asyncio.create_subprocess_exec(
        *call.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    await call.ready()

    async def put() -> None:
        async for data in call.stdin():
            process.stdin.write(data)
            await process.stdin.drain()
        process.stdin.close()

    async def get() -> None:
        while data := await process.stdout.read(CHUNK):
            await call.out(data)

    await asyncio.gather(put(), get())
    await call.err(await process.stderr.read())
    await call.exit(await process.wait())


def test_a_tree_there_and_back(grpc_peer: GrpcPeer, tmp_path: Path) -> None:
    (tmp_path / "tree" / "d").mkdir(parents=True)
    (tmp_path / "tree" / "d" / "large").write_bytes(os.urandom(3_000_000))
    (tmp_path / "tree" / "l").symlink_to("d/large")
    (tmp_path / "tree" / "d").chmod(0o550)
    grpc_peer.command("/bin/sh")(run)

    with Sandbox.run() as sandbox:
        sent = sandbox.upload(tmp_path / "tree", tmp_path / "there").result()
        got = sandbox.download(tmp_path / "there", tmp_path / "back").result()

    assert sent == got == TransferResult(files=1, directories=1, symlinks=1, bytes=3_000_000)
    compared = ["diff", "-r", "--no-dereference", tmp_path / "tree", tmp_path / "back"]
    assert subprocess.run(compared, capture_output=True).stdout == b""
    for place in ("there", "back"):
        assert (tmp_path / place / "d").stat().st_mode & 0o7777 == 0o550
        assert os.readlink(tmp_path / place / "l") == "d/large"


@pytest.mark.parametrize("name", ["f", "d/"])
def test_a_file_there_and_back(grpc_peer: GrpcPeer, tmp_path: Path, name: str) -> None:
    (tmp_path / "f").write_bytes(b"x" * 70_000)
    grpc_peer.command("/bin/sh")(run)

    with Sandbox.run() as sandbox:
        sandbox.upload(tmp_path / "f", f"{tmp_path}/there/{name}").result()
        sandbox.download(f"{tmp_path}/there/{name.replace('/', '/f')}", tmp_path / "back").result()

    assert (tmp_path / "back").read_bytes() == b"x" * 70_000
    assert sorted(path.name for path in (tmp_path / "there").rglob("*")) == sorted(
        {"f": ["f"], "d/": ["d", "f"]}[name]
    )
