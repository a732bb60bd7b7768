"""Output that comes step by step."""

from __future__ import annotations

import asyncio
from typing import Any

from conformance.grpc_peer import Call, GrpcPeer


class Steps:
    """A command that sends what the test tells it to, when it tells it to."""

    def __init__(self, peer: GrpcPeer, sandbox: Any) -> None:
        self.peer = peer
        self.queue = queue = asyncio.Queue[bytes | None]()

        @peer.command("steps")
        async def steps(call: Call) -> None:
            while (data := await queue.get()) is not None:
                await call.out(data)
            await call.exit(0)

        self.process = sandbox.exec(["steps"])

    def _put(self, item: bytes | None) -> None:
        self.peer._thread.loop.call_soon_threadsafe(self.queue.put_nowait, item)

    def send(self, data: bytes) -> None:
        self._put(data)

    def end(self) -> None:
        self._put(None)


async def collect(reader: Any) -> list[str]:
    return [line async for line in reader]
