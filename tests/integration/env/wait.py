"""Waiting for something that gives no event of its own."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Return once ``condition()`` is true; fail with ``what`` when it is still false after ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"after {seconds} s still not so: {what}"
        time.sleep(0.02)
