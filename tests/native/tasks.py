"""What tests of awaiting share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class Once:
    """Awaits an awaiter that is known."""

    def __init__(self, awaiter: Any) -> None:
        self.awaiter = awaiter

    def __await__(self) -> Generator[Any, None, Any]:
        return self.awaiter


async def pause() -> None:
    """Lets everything that is ready in the loop run."""
    for _ in range(3):
        await asyncio.sleep(0)


async def wait(it: Any) -> Any:
    return await it


def complete_together(*promises: Any) -> None:
    """Their letters are in the mailbox before the loop looks: they are drained at once."""
    for n, promise in enumerate(promises):
        promise.set_result(n)


async def waiting(*coroutines: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await pause()
    return tasks
