"""Signals that come while something waits."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class InterruptedByTest(Exception):
    pass


@contextmanager
def signal_soon(*, handler_raises: bool) -> Iterator[list[int]]:
    """SIGALRM arrives within the block, or before it on a machine that is slow; yields the list of signals handled."""
    seen: list[int] = []

    def handler(number: int, frame: object) -> None:
        seen.append(number)
        if handler_raises:
            raise InterruptedByTest

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        yield seen
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
