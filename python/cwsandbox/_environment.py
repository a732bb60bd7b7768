"""Time and chance, so that tests can bring their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    Call = Callable[[str, dict[str, Any], float], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Environment:
    """``clock`` is monotonic and in seconds, ``now`` the time of day in UTC."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[Any]]
    uniform: Callable[[float, float], float]
    now: Callable[[], datetime]


def real() -> Environment:
    import asyncio
    import random
    import time
    from datetime import UTC, datetime

    return Environment(time.monotonic, asyncio.sleep, random.uniform, lambda: datetime.now(UTC))
