"""What a file is written from, and how far ahead of the sandbox it is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from cwsandbox._lifecycle import files
from cwsandbox._service.file_errors import Writing


class Stalled:
    """A command that takes nothing: writes to it are never done."""

    def __init__(self) -> None:
        self.stdin = SimpleNamespace(write=self._write)
        self.written: list[int] = []

    def _write(self, piece: memoryview) -> asyncio.Future[None]:
        self.written.append(piece.nbytes)
        return asyncio.get_running_loop().create_future()


async def taken_of(source: Any) -> list[int]:
    """The sizes of the pieces that are on their way when nothing more is taken from the source."""
    process: Any = Stalled()
    feeding = asyncio.ensure_future(files._feed(process, Writing("/x", None), source))
    before = -1
    while len(process.written) != before:
        before = len(process.written)
        await asyncio.wait({feeding}, timeout=0.2)
    assert not feeding.done()
    feeding.cancel()
    await asyncio.wait({feeding})
    return list(process.written)


async def small() -> AsyncIterator[bytes]:
    for _ in range(1_000_000):
        yield b"x"


async def test_what_is_under_way_is_bounded_in_bytes_and_in_pieces() -> None:
    for source in ([b"x"] * 1_000_000, small()):
        assert 1000 < len(await taken_of(source)) < 20_000
    assert 1 << 20 < sum(await taken_of([bytes(1 << 20)] * 100)) < 8 << 20
