"""Where the content of a file comes from: bytes, iterables, async iterables, all read in one way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

from cwsandbox._runtime.threads import Call

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

# Content is passed on in pieces of this size at most.
_PIECE = 1024 * 1024
# An iterable is read on another thread, for so many bytes or seconds at a time.
_BATCH = 256 * 1024
_BATCH_SECONDS = 0.005
# What an item takes beside its bytes, about.
ITEM_COST = 256
# After so many seconds with an async iterable that never suspends, others have their turn in its event loop.
_TURN_SECONDS = 0.005


def check(source: Any) -> None:
    """``TypeError`` for what cannot be a source, as far as it can be told without using it."""
    if isinstance(source, str) or not (
        _is_bytes(source) or isinstance(source, (AsyncIterable, Iterable))
    ):
        raise TypeError(
            "source must be bytes-like, or an iterable or async iterable of bytes-like objects, "
            f"got {type(source).__name__}"
        )


def is_async(source: Any) -> bool:
    """Whether it is consumed by awaiting it."""
    return not _is_bytes(source) and isinstance(source, AsyncIterable)


def _is_bytes(source: Any) -> bool:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return True
    try:
        memoryview(source)
    except TypeError:
        return False
    return True


async def pieces_of(source: Any) -> AsyncGenerator[memoryview, None]:
    """The content in pieces that are not empty. Raises what the source raises."""
    if _is_bytes(source):
        for piece in _cut(source):
            yield piece
    elif isinstance(source, AsyncIterable):
        ends = monotonic() + _TURN_SECONDS
        async for item in source:
            for piece in _cut(item):
                yield piece
            if monotonic() > ends:
                await asyncio.sleep(0)
                ends = monotonic() + _TURN_SECONDS
    else:
        async for item in _on_a_thread(source):
            for piece in _cut(item):
                yield piece


def _cut(item: Any) -> Iterator[memoryview]:
    try:
        view = memoryview(item)
    except TypeError:
        raise TypeError(f"source must give bytes-like objects, got {type(item).__name__}") from None
    view = view.cast("B") if view.c_contiguous and view.nbytes else memoryview(view.tobytes())
    for start in range(0, view.nbytes, _PIECE):
        yield view[start : start + _PIECE]


async def _on_a_thread(source: Iterable[Any]) -> AsyncIterator[Any]:
    """The items of an iterable that may block. Each is asked for on a thread of its own."""
    iterator: Iterator[Any] | None = None
    is_over = False
    while not is_over:
        first, iterator = iterator is None, iterator
        call = Call(_batch(source if first else iterator))
        items, iterator, is_over, failure = await call.result(float("inf"))
        for item in items:
            yield item
        if failure is not None:
            raise failure


def _batch(
    source: Any,
) -> Callable[[], tuple[list[Any], Iterator[Any], bool, BaseException | None]]:
    """Takes some items from the iterator of ``source``: those, the iterator, whether it is over, what it raised."""

    def take() -> tuple[list[Any], Iterator[Any], bool, BaseException | None]:
        items: list[Any] = []
        iterator = iter(source)
        ends = monotonic() + _BATCH_SECONDS
        size = 0
        try:
            while size < _BATCH and monotonic() < ends:
                item = next(iterator)
                items.append(item)
                size += ITEM_COST
                size += len(item) if isinstance(item, (bytes, bytearray, memoryview)) else _BATCH
        except StopIteration:
            return items, iterator, True, None
        except BaseException as failure:
            return items, iterator, True, failure
        return items, iterator, False, None

    return take
