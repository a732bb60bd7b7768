"""An HTTP CONNECT proxy on loopback that notes what it was asked for."""

from __future__ import annotations

import asyncio
import contextlib

from conformance.loop_thread import LoopThread


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


class ConnectProxy:
    """``answer`` is the status line it gives; with a 200 the bytes then pass both ways."""

    def __init__(self, answer: str = "HTTP/1.1 200 Connection established") -> None:
        self.answer = answer
        self.requests: list[list[str]] = []
        self._thread = LoopThread("proxy")
        self.url = self._thread.run(self._start())

    async def _start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.requests.append(head[:-2])
        writer.write(f"{self.answer}\r\n\r\n".encode())
        if " 200 " not in self.answer:
            writer.close()
            return
        host, _, port = head[0].split()[1].rpartition(":")
        upstream_reader, upstream_writer = await asyncio.open_connection(
            host.strip("[]"), int(port)
        )
        await asyncio.gather(_pump(reader, upstream_writer), _pump(upstream_reader, writer))

    def close(self) -> None:
        async def stop() -> None:
            self._server.close()

        self._thread.run(stop())
        self._thread.close()
