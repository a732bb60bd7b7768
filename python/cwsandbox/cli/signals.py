"""Signals that ask the program to end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Ended(BaseException):
    """A signal has asked for the end; ``exit_code`` is what a shell would report."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Inside, such a signal raises ``Ended``, so that what was begun is put in order; the next one ends at once."""

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Ended(number)

    # What is ignored, as by nohup, stays so.
    present = {one: signal.getsignal(one) for one in ENDING}
    after = {one: handler for one, handler in present.items() if handler is not signal.SIG_IGN}
    for one in after:
        signal.signal(one, end)
    try:
        yield
    except Ended:
        # The program is ending. Python's handler would print a traceback if it interrupted that.
        after = dict.fromkeys(after, signal.SIG_DFL)
        raise
    finally:
        for one, handler in after.items():
            signal.signal(one, handler)
