from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from conformance.grpc_peer import Call, GrpcPeer


@pytest.fixture
def peer() -> Iterator[GrpcPeer]:
    """A service that notes what is created and deleted. Commands: ``true``, and ``sleep``, which never ends."""
    peer = GrpcPeer()

    @peer.command("true")
    async def end(call: Call) -> None:
        await call.exit(0)

    @peer.command("sleep")
    async def stay(call: Call) -> None:
        await call.out(b"begun\n")
        await asyncio.Event().wait()

    try:
        yield peer
    finally:
        peer.close()
