"""Time and chance, so that tests can bring their own."""

from __future__ import annotations

from cwsandbox._types.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime
    from typing import Any

    Call = Callable[[str, dict[str, Any], float], Awaitable[dict[str, Any]]]


class Environment(Record):
    """``clock`` is monotonic and in seconds, ``now`` the time of day in UTC."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[Any]]
    uniform: Callable[[float, float], float]
    now: Callable[[], datetime]


def real() -> Environment:
    """Those of the world. Call it where the policy loop, and so asyncio, is needed anyway."""
    import asyncio
    import time
    from datetime import UTC, datetime

    return Environment(time.monotonic, asyncio.sleep, _uniform, lambda: datetime.now(UTC))


def _uniform(low: float, high: float) -> float:
    # Nobody needs chance before a first failure.
    from random import uniform

    return uniform(low, high)
