"""Outcomes on their way from a batch to whoever iterates it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable
from typing import Protocol

from cwsandbox._batch.outcome import Outcome

# So much may wait for a reader who is slow; then the batch waits for the reader. An outcome has one part, and another
# one for each MiB of its artifacts.
WAITING_MAX = 64
_PART = 1 << 20


def parts(outcome: Outcome) -> int:
    """How much of the room an outcome takes."""
    if not outcome.artifacts:
        return 1
    return 1 + sum(map(len, outcome.artifacts.values())) // _PART


class Channel(Protocol):
    """Put into and ended on the event loop of the batch."""

    def put(self, outcome: Outcome) -> Awaitable[None] | None:
        """Pass it on. What is returned is to be awaited: then there is room for another one."""


class ThreadChannel:
    """To one thread that blocks for outcomes. It is woken once for all that come in one turn of the event loop."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._waiting: deque[Outcome] = deque()
        self._is_over = False
        self._room: asyncio.Future[None] | None = None
        self._parts = 0
        # On the loop only.
        self._coming: list[Outcome] = []

    def put(self, outcome: Outcome) -> Awaitable[None] | None:
        running = asyncio.get_running_loop()
        if not self._coming:
            running.call_soon(self._pass_on)
        self._coming.append(outcome)
        with self._arrived:
            self._parts += parts(outcome)
            if self._parts < WAITING_MAX:
                return None
            if self._room is None:
                self._room = running.create_future()
            return asyncio.shield(self._room)

    def _pass_on(self) -> None:
        with self._arrived:
            self._waiting.extend(self._coming)
            self._arrived.notify()
        self._coming.clear()

    def end(self) -> None:
        """There will be no more. Also where the loop is closed."""
        self._pass_on()
        with self._arrived:
            self._is_over = True
            self._arrived.notify()

    def take(self) -> deque[Outcome]:
        """All that have arrived, at least one; none at the end."""
        with self._arrived:
            while not self._waiting and not self._is_over:
                self._arrived.wait()
            taken, self._waiting = self._waiting, deque()
            self._parts -= sum(map(parts, taken))
            room, self._room = self._room, None
            if room is not None and not self._is_over:
                room.get_loop().call_soon_threadsafe(_resolve, room)
        return taken


class LoopChannel:
    """To one coroutine on the same loop."""

    def __init__(self) -> None:
        self._waiting: deque[Outcome] = deque()
        self._is_over = False
        self._arrival: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._parts = 0

    def put(self, outcome: Outcome) -> Awaitable[None] | None:
        self._waiting.append(outcome)
        self._parts += parts(outcome)
        self._wake()
        if self._parts < WAITING_MAX:
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return asyncio.shield(self._room)

    def end(self) -> None:
        """There will be no more."""
        self._is_over = True
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None:
            _resolve(self._arrival)

    async def take(self) -> deque[Outcome]:
        """All that have arrived, at least one; none at the end."""
        if not self._waiting and not self._is_over:
            self._arrival = asyncio.get_running_loop().create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None
        taken, self._waiting, self._parts = self._waiting, deque(), 0
        if self._room is not None:
            _resolve(self._room)
            self._room = None
        return taken


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
