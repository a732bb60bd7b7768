"""Commands of the peer that several modules run, for ``peer.command``."""

from __future__ import annotations

import asyncio
from typing import Any

from conformance.grpc_peer import Call

MANY = 300_000  # more lines than are read in one turn of an event loop


async def greet(call: Call) -> None:
    await call.out(b"hello\n")
    await call.exit(0)


async def hang(call: Call) -> None:
    await call.out(b"started\n")
    await asyncio.Event().wait()


async def numbers(call: Call) -> None:
    """Counts: a line for each number below its argument."""
    lines = [b"%d\n" % n for n in range(int(call.argv[1]))]
    for at in range(0, len(lines), 10_000):
        await call.out(b"".join(lines[at : at + 10_000]))
    await call.exit(0)


async def finished(sandbox: Any, count: int) -> Any:
    """``numbers`` that has ended, so that reading any of its lines need not wait."""
    process = sandbox.exec(["numbers", str(count)])
    await process
    return process
