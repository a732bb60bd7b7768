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
        # Whoever holds it is the next to start.
        self._turn = asyncio.Lock()
        self._next = 0.0

    @asynccontextmanager
    async def start(self) -> AsyncIterator[None]:
        """The block is the start: it begins when the rate allows it, and counts until its end."""
        if self._starting is not None:
            await self._starting.acquire()
        try:
            await self._wait()
            yield
        finally:
            if self._starting is not None:
                self._starting.release()

    async def _wait(self) -> None:
        now = asyncio.get_running_loop().time
        async with self._turn:
            begun = now()
            # A pause may be asked for meanwhile.
            while (wait := self._next - now()) > 0:
                await asyncio.sleep(wait)
            self._next = max(self._next, begun) + self._interval

    def hold(self, seconds: float) -> None:
        """The service asks for a pause: nothing is asked for meanwhile, by those that wait for their turn either."""
        self._next = max(self._next, asyncio.get_running_loop().time() + seconds)
