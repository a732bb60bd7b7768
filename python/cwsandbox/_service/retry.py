"""When to try again, and after how long. Pure: clock and chance come from outside. All times in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cwsandbox._service.rpc import Code

if TYPE_CHECKING:
    from collections.abc import Callable

    from cwsandbox._service.rpc import RpcFailure

    Clock = Callable[[], float]
    Uniform = Callable[[float, float], float]

POLL_INTERVAL = 0.2
# A daemon on this host is done sooner and is not hurt by being asked.
POLL_INTERVAL_LOCAL = 0.01
# What takes a second or two would else be waited for half as long again.
POLL_INTERVAL_LOCAL_MAX = 0.05
POLL_FACTOR = 1.5
POLL_INTERVAL_MAX = 2.0
# A sandbox that is just starting is looked at more often.
STARTUP_WINDOW = 15.0
STARTUP_INTERVAL_MAX = 0.5
HINT_MAX = 10.0
CALL_TIMEOUT_MIN = 0.1

SERVER_ATTEMPTS = 3
SERVER_TIME_LEFT_MIN = 5.0
SERVER_JITTER = 1.2

CAPACITY_REASONS = frozenset({"CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED", "CWSANDBOX_RUNNER_OVERLOADED"})


def hint_of(failure: RpcFailure) -> float | None:
    """The delay the server asks for, None if it does not."""
    delay = failure.info.retry_delay
    return None if delay is None else delay.total_seconds()


def poll_intervals(
    age: Callable[[], float] | None = None,
    first: float = POLL_INTERVAL,
    most: float = POLL_INTERVAL_MAX,
) -> Callable[[], float]:
    """The pauses between looks at a sandbox, one per call: 0.2, 0.3, 0.45 … 2.0.

    ``age`` tells how long ago a starting sandbox was accepted; while that is short the pauses stay below 0.5.
    ``first`` is the pause to begin with, ``most`` the longest.
    """
    base = first

    def following() -> float:
        nonlocal base
        pause, base = base, min(base * POLL_FACTOR, most)
        starting = age is not None and age() < STARTUP_WINDOW
        return min(pause, STARTUP_INTERVAL_MAX) if starting else pause

    return following


class Burst:
    """Tries of one call after its first failure, until a time budget is spent."""

    def __init__(self, budget: float, clock: Clock, uniform: Uniform) -> None:
        self._budget = budget
        self._clock = clock
        self._uniform = uniform
        self._ends: float | None = None
        self._previous = POLL_INTERVAL

    def remaining(self) -> float:
        return self._budget if self._ends is None else self._ends - self._clock()

    def delay(self, hint: float | None) -> float | None:
        """After a failure: how long to wait before the next try, None when the budget is spent.

        The budget runs from the first failure. A positive ``hint`` of the server is followed up to 10 s; else the delay
        is drawn between 0.2 and 1.5 times the previous one, at most 2.0.
        """
        if self._ends is None:
            self._ends = self._clock() + self._budget
        left = self.remaining()
        if left <= 0:
            return None
        if hint is not None and hint > 0:
            return min(hint, left, HINT_MAX)
        ceiling = max(POLL_INTERVAL, min(POLL_INTERVAL_MAX, self._previous * POLL_FACTOR, left))
        self._previous = min(self._uniform(POLL_INTERVAL, ceiling), left)
        return self._previous

    def call_timeout(self, limit: float) -> float:
        """The deadline of the next call: the limit, but not past the budget."""
        if self._ends is None:
            return min(limit, self._budget) if self._budget > 0 else limit
        return min(limit, max(CALL_TIMEOUT_MIN, self.remaining()))


def is_capacity_failure(failure: RpcFailure) -> bool:
    """Whether a create failed for lack of room that may be there later."""
    return failure.trusted_reason in CAPACITY_REASONS and failure.code in (
        Code.RESOURCE_EXHAUSTED,
        Code.UNAVAILABLE,
    )


def server_delay(
    failure: RpcFailure, attempt: int, time_left: float, uniform: Uniform
) -> float | None:
    """After failed attempt number ``attempt`` (from 1): how long the server wants us to wait; None: give up.

    Only for calls that are safe to repeat. The server must be unavailable and have said when to come back, at most 10 s
    ahead, and 5 s must be left then.
    """
    hint = hint_of(failure)
    if failure.code != Code.UNAVAILABLE or hint is None or not 0 <= hint <= HINT_MAX:
        return None
    if attempt >= SERVER_ATTEMPTS:
        return None
    delay = hint * uniform(1.0, SERVER_JITTER)
    return delay if time_left - delay >= SERVER_TIME_LEFT_MIN else None
