"""For the tests of files against the grpcio peer: its shell, and calls that fail."""

from __future__ import annotations

import asyncio
from typing import Any

from conformance.grpc_peer import Call, GrpcPeer

MIB = 1024 * 1024
TOO_LARGE = "CWSANDBOX_FILE_TOO_LARGE"


class Shell:
    """What stands for ``/bin/sh`` at the peer: reads and writes the peer's files by the commands' contract."""

    def __init__(self, peer: GrpcPeer) -> None:
        self.peer = peer
        self.calls: list[Call] = []
        self.ended: list[str] = []
        self.largest_frame = 0
        peer.scripts["/bin/sh"] = self.run

    async def run(self, call: Call) -> None:
        self.calls.append(call)
        shell, option, script, name, path, *rest = call.argv
        assert (shell, option) == ("/bin/sh", "-c")
        assert path not in script
        try:
            await (self.read if "read" in name else self.write)(call, path, rest)
        except asyncio.CancelledError:
            self.ended.append(name)
            raise

    async def read(self, call: Call, path: str, rest: list[str]) -> None:
        assert not rest
        content = self.peer.files.get(path)
        if content is None:
            await call.err(b"cat: no such thing\n")
            await call.exit(2)
            return
        for start in range(0, len(content), MIB):
            await call.out(content[start : start + MIB])
        await call.exit(0)

    async def write(self, call: Call, path: str, rest: list[str]) -> None:
        await call.ready()
        content = bytearray()
        async for data in call.stdin():
            self.largest_frame = max(self.largest_frame, len(data))
            content += data
        if call.argv[3] == "cwsandbox-write-file":
            assert int(rest[0]) == len(content)
        else:
            assert not rest
            await call.out(b"%d\n" % len(content))
        assert call.closed_by_frame
        self.peer.files[path] = bytes(content)
        await call.exit(0)

    @property
    def names(self) -> list[str]:
        return [call.argv[3] for call in self.calls]


def answer(peer: GrpcPeer, method: str, *args: Any, **kwargs: Any) -> list[float | None]:
    """Every call of the method fails so; the list has how much time each had."""
    times: list[float | None] = []

    async def fail(request: Any, context: Any) -> None:
        times.append(context.time_remaining())
        await peer.fail(context, *args, **kwargs)

    peer.overrides[method] = fail
    return times
