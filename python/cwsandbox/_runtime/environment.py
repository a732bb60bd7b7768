"""Time and chance, so that tests can bring their own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cwsandbox._types.record import Record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Call = Callable[[str, dict[str, Any], float], Awaitable[dict[str, Any]]]
    # Whether the service knows an extension of the messages; within so many seconds.
    Knows = Callable[[str, float], Awaitable[bool]]


class Environment(Record):
    """``clock`` is the running loop's, monotonic and in seconds; ``now`` the time of day in UTC."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[Any]]
    uniform: Callable[[float, float], float]
    now: Callable[[], datetime]


def real() -> Environment:
    """Those of the world."""
    return Environment(_clock, asyncio.sleep, _uniform, lambda: datetime.now(UTC))


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _uniform(low: float, high: float) -> float:
    # Nobody needs chance before a first failure.
    from random import uniform

    return uniform(low, high)
