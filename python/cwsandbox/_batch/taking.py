"""Waiting for a sandbox of a pool: from a thread or a coroutine, for ever or a while.

Whoever goes away while waiting, by whatever exception, takes nothing with it: the waiting ends on the policy loop, too,
and a sandbox that has come already goes back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cwsandbox._batch.member import Member
from cwsandbox._batch.shelf import Shelf, Ticket
from cwsandbox._runtime import loop
from cwsandbox.exceptions import SandboxTimeoutError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cwsandbox._cwsandbox import OperationRef


def take(shelf: Shelf, options: Mapping[str, Any], timeout: float | None) -> Member:
    """Block until there is a sandbox. Raises what starting one fails with, or ``SandboxTimeoutError``."""
    ticket = Ticket()
    try:
        # Both steps in here: an interrupt may come between them.
        return _begin(shelf, options, timeout, ticket).result()
    except BaseException:
        shelf.abandon(ticket)
        raise


async def take_async(
    shelf: Shelf, options: Mapping[str, Any], timeout: float | None = None
) -> Member:
    """As ``take``, from any event loop."""
    ticket = Ticket()
    try:
        return await _begin(shelf, options, timeout, ticket)
    except BaseException:
        shelf.abandon(ticket)
        raise


def _begin(
    shelf: Shelf, options: Mapping[str, Any], timeout: float | None, ticket: Ticket
) -> OperationRef[Member]:
    shelf.claim()
    return loop.submit(lambda: _taken(shelf, options, timeout, ticket))


async def _taken(
    shelf: Shelf, options: Mapping[str, Any], timeout: float | None, ticket: Ticket
) -> Member:
    try:
        async with asyncio.timeout(timeout):
            return await shelf.take(options, ticket)
    except TimeoutError:
        raise SandboxTimeoutError(
            f"no sandbox of the pool was free within {timeout} seconds"
        ) from None
