"""What each start of a sandbox passes: as many at once, and as fast, as the limits allow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cwsandbox._batch.limits import Limits


class Gate:
    """What each start passes. Used on one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._starting = asyncio.Semaphore(limits.starting) if limits.starting else None
        self._interval = 1.0 / limits.per_second if limits.per_second else 0.0
        self._next = 0.0
        self._held_until = 0.0

    @asynccontextmanager
    async def start(self) -> AsyncIterator[None]:
        """The block is the start: it begins when the rate allows it, and counts until its end."""
        if self._starting is not None:
            await self._starting.acquire()
        try:
            await self._turn()
            yield
        finally:
            if self._starting is not None:
                self._starting.release()

    async def _turn(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            at = max(now(), self._next)
            self._next = at + self._interval
            if (wait := at - now()) > 0:
                await asyncio.sleep(wait)
            # A pause that was asked for meanwhile takes this turn, so there has to be another one.
            if at >= self._held_until:
                return

    def hold(self, seconds: float) -> None:
        """The service asks for a pause: nothing is asked for meanwhile, by those that wait for their turn either."""
        self._held_until = max(self._held_until, asyncio.get_running_loop().time() + seconds)
        self._next = max(self._next, self._held_until)
