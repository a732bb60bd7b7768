"""Connections that fail, for tests of programs that use sandboxes."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from cwsandbox._service import local
from cwsandbox._types import check

__all__ = ["Faults"]

_PIECE = 65536


class Faults:
    """A relay in front of a service, whose connections break, are late or are refused as a test asks.

    It passes bytes on and knows nothing of what they mean, so what the program meets are real faults of a connection.
    Only in a ``with`` block. ``upstream`` is the service's address: ``unix:///path`` or ``http://host:port``. All
    methods may be called from any thread, and what they ask for is in force when they return.

    ::

        with Faults("unix:///run/cwsandboxd.sock") as faults:
            defaults = SandboxDefaults(base_url=faults.url)
            with Session(defaults) as session:
                process = session.sandbox().exec(["sleep", "60"])
                faults.cut()
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        if not (parts.scheme == "unix" and parts.path) and not (
            parts.scheme == "http" and parts.hostname
        ):
            raise ValueError(f"upstream must be unix:///path or http://host:port, got {upstream!r}")
        self._upstream = parts
        self._ways: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: set[asyncio.Future[None]] = set()
        self._late = 0.0
        self._left: int | None = None
        self._refuses = False

    @property
    def url(self) -> str:
        """The address to be used in the place of the service's."""
        return f"unix://{self._folder / 'sock'}"

    def cut(self, *, after_bytes: int | None = None) -> None:
        """Break every connection, now or once the service has sent so many bytes more.

        What the service sends after those bytes is lost. New connections work.
        """
        if after_bytes is not None and (type(after_bytes) is not int or after_bytes < 1):
            raise ValueError(f"after_bytes must be an int of at least 1, got {after_bytes!r}")

        def do() -> None:
            self._left = after_bytes
            if after_bytes is None:
                self._break()

        self._call(do)

    def delay(self, seconds: float) -> None:
        """Hold each piece of what the service sends, of 64 KiB at most, back for so long; 0: no longer.

        What is held back already is passed on.
        """
        late = check.budget(seconds, "seconds")

        def do() -> None:
            self._late = late
            self._release()

        self._call(do)

    def refuse(self) -> None:
        """Break every connection, and each new one as soon as it is made, until ``heal()``."""

        def do() -> None:
            self._refuses = True
            self._break()

        self._call(do)

    def heal(self) -> None:
        """No more faults. Connections that are broken stay so; new ones work."""

        def do() -> None:
            self._refuses, self._late, self._left = False, 0.0, None
            self._release()

        self._call(do)

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="cws-faults-", dir=local.short_base()))
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="cwsandbox-faults", daemon=True
        )
        self._thread.start()
        begun = asyncio.start_unix_server(self._serve, self._folder / "sock")
        self._server = asyncio.run_coroutine_threadsafe(begun, self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _call(self, function: Callable[[], None]) -> None:
        async def do() -> None:
            function()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result()

    async def _close(self) -> None:
        self._server.close()
        self._break()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _break(self) -> None:
        for way in self._ways:
            way.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends = [writer]
        try:
            if not self._refuses:
                far_reader, far = await self._dial()
                ends.append(far)
                self._ways.update(ends)
                await asyncio.gather(self._forward(reader, far), self._back(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass  # the service is not there, or the test is over: the connection breaks
        finally:
            for end in ends:
                end.transport.abort()
            self._ways.difference_update(ends)
            self._tasks.discard(task)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._upstream.scheme == "unix":
            return await asyncio.open_unix_connection(self._upstream.path)
        return await asyncio.open_connection(self._upstream.hostname, self._upstream.port or 80)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                if self._late:
                    await self._hold()
                if self._left is not None and len(data) >= self._left:
                    await self._end_with(data[: self._left], writer)
                    return
                if self._left is not None:
                    self._left -= len(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _hold(self) -> None:
        timer = asyncio.ensure_future(asyncio.sleep(self._late))
        self._held.add(timer)
        try:
            await asyncio.wait({timer})
        finally:
            timer.cancel()
            self._held.discard(timer)

    def _release(self) -> None:
        for timer in self._held:
            timer.cancel()

    async def _end_with(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        """The last bytes before the cut: on this connection they arrive."""
        self._left = None
        writer.write(data)
        # Not abort(), which would drop them; on a Unix socket what was written is read before the end is seen.
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self._break()
