"""Calls that are repeated while they fail in a way that may pass. On the policy loop only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cwsandbox._service.retry import Burst
from cwsandbox.exceptions import (
    CWSandboxError,
    SandboxRequestTimeoutError,
    SandboxResourceExhaustedError,
    SandboxUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from cwsandbox._runtime.environment import Environment

    T = TypeVar("T")

TRANSIENT = (SandboxUnavailableError, SandboxRequestTimeoutError, SandboxResourceExhaustedError)
# Seconds, from the first failure.
BUDGET = 30.0


async def repeated(
    attempt: Callable[[int], Awaitable[T]],
    env: Environment,
    budget: float = BUDGET,
    transient: tuple[type[CWSandboxError], ...] = TRANSIENT,
) -> T:
    """What ``attempt`` gives, which is called with the number of the try, from 1.

    A failure of one of the classes ``transient`` is followed by another try while ``budget``, in seconds, lasts. The
    last failure is raised.
    """
    burst = Burst(budget, env.clock, env.uniform)
    number = 1
    while True:
        try:
            return await attempt(number)
        except transient as error:
            hint = error.retry_delay
            delay = burst.delay(None if hint is None else hint.total_seconds())
            if delay is None:
                raise
            last = error
        await env.sleep(delay)
        if burst.remaining() <= 0:
            raise last
        number += 1
