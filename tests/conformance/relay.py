"""A TCP relay on loopback that can stop forwarding: what a middlebox that has lost its state looks like."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from conformance.loop_thread import LoopThread


class Way:
    """One connection through the relay. Stalled, it goes on taking bytes from both ends and forwards none."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.stalled = False
        self.ends = (near, far)

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if not self.stalled:
                    await self.forward(data, writer)
        writer.close()

    async def forward(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    def cut(self) -> None:
        """Both ends see the connection break."""
        for end in self.ends:
            end.transport.abort()


class Relay:
    """Listens on a free port and passes bytes to ``upstream`` (``http://127.0.0.1:port``) and back.

    ``make_way`` is called on the relay's event loop for each connection.
    """

    def __init__(
        self,
        upstream: str,
        make_way: Callable[[asyncio.StreamWriter, asyncio.StreamWriter], Way] = Way,
    ) -> None:
        self._make_way = make_way
        self.upstream = upstream
        self._port = int(upstream.rpartition(":")[2])
        self.ways: list[Way] = []
        self._thread = LoopThread("relay")
        self.url = self._thread.run(self._start())

    async def _start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        way = self._make_way(writer, far_writer)
        self.ways.append(way)
        await asyncio.gather(way.pump(reader, far_writer), way.pump(far_reader, writer))

    def stall(self) -> None:
        """From now on no connection of so far forwards anything; new ones work."""

        async def do() -> None:
            for way in self.ways:
                way.stalled = True

        self._thread.run(do())

    def cut(self) -> None:
        """Every connection breaks."""

        async def do() -> None:
            for way in self.ways:
                way.cut()

        self._thread.run(do())

    def close(self) -> None:
        async def do() -> None:
            self._server.close()

        self.cut()
        self._thread.run(do())
        self._thread.close()
