"""Connections in a storm: bytes come late and in pieces, connections freeze, fall silent, end and break."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable

from conformance.relay import Way

MEAN_LIFE_S = 1.0


class Storm:
    """Makes ways that misbehave while it is not calm. What befell them is counted."""

    def __init__(self, seed: str) -> None:
        self.dice = random.Random(seed)
        self.is_calm = True
        self.fates: Counter[str] = Counter()

    def way(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> Way:
        return StormyWay(self, near, far)


class StormyWay(Way):
    def __init__(self, storm: Storm, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        super().__init__(near, far)
        self._storm = storm
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._await_fate()

    async def forward(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        dice = self._storm.dice
        while data:
            n = len(data) if self._storm.is_calm else dice.randint(1, len(data))
            if not self._storm.is_calm and dice.random() < 0.1:
                await asyncio.sleep(dice.uniform(0, 0.03))
            await self._thawed.wait()
            if self.stalled:
                return
            await super().forward(data[:n], writer)
            data = data[n:]

    def _await_fate(self) -> None:
        seconds = self._storm.dice.expovariate(1 / MEAN_LIFE_S)
        asyncio.get_running_loop().call_later(seconds, self._meet_fate)

    def _meet_fate(self) -> None:
        if any(end.is_closing() for end in self.ends):
            return
        if self._storm.is_calm:
            self._await_fate()
            return
        fates: list[Callable[[], None]] = [self._end, self._reset, self._stall, self._freeze]
        fate = self._storm.dice.choice(fates)
        self._storm.fates[fate.__name__[1:]] += 1
        fate()

    def _end(self) -> None:
        """In good order, as far as TCP can tell."""
        for end in self.ends:
            end.close()

    def _reset(self) -> None:
        for end in self.ends:
            raw: socket.socket = end.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()

    def _stall(self) -> None:
        """For good: every byte is taken, none goes on."""
        self.stalled = True

    def _freeze(self) -> None:
        """For a while; nothing is lost."""
        self._thawed.clear()
        loop = asyncio.get_running_loop()
        loop.call_later(self._storm.dice.uniform(0.1, 8), self._thawed.set)
        self._await_fate()
