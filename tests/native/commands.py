"""Commands of the peer that several modules run, for ``peer.command``."""

from __future__ import annotations

import asyncio

from conformance.grpc_peer import Call


async def greet(call: Call) -> None:
    await call.out(b"hello\n")
    await call.exit(0)


async def hang(call: Call) -> None:
    await call.out(b"started\n")
    await asyncio.Event().wait()
