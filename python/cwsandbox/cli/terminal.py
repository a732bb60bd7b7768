"""The terminal that this program runs in."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from cwsandbox.cli.signals import ENDING

Handler = Callable[[int, FrameType | None], None]


def is_terminal() -> bool:
    """Whether somebody types into this program and sees what it prints."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def new_size() -> os.terminal_size:
    """The window's size, which has just changed; unlike what the environment says."""
    with suppress(OSError, ValueError):
        window = os.get_terminal_size(sys.stdout.fileno())
        if window.columns > 0 and window.lines > 0:
            return window
    return shutil.get_terminal_size()


@contextmanager
def raw_keys(restored: Callable[[], None], resized: Callable[[], None]) -> Iterator[None]:
    """Inside, every key is bytes on stdin, Ctrl-C, too, and nothing is echoed.

    Whatever ends the block, and whatever signal ends or stops the program meanwhile, the terminal is as it was before.
    ``restored`` is called when it is; in a signal's handler, too. ``resized`` is called when the window may have
    another size.
    """
    raw = _Raw(restored)
    with _handlers(raw, resized):
        try:
            raw.set()
            yield
        finally:
            raw.restore()


class _Raw:
    """The terminal's settings: raw, or as they were."""

    def __init__(self, restored: Callable[[], None]) -> None:
        # Only here: where there are no terminals, there are no such modules.
        import termios
        import tty

        self._termios, self._tty = termios, tty
        self._fd = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._fd)
        self._restored = restored
        self._is_raw = False

    def set(self) -> None:
        self._is_raw = True
        # Not TCSAFLUSH, the default: what was typed before would be lost. Nor TCSADRAIN: a terminal that takes no more
        # output would be waited for, by a signal's handler, too.
        self._tty.setraw(self._fd, self._termios.TCSANOW)

    def restore(self) -> None:
        """May be interrupted by a signal whose handler calls it, too."""
        if not self._is_raw:
            return
        with suppress(OSError, self._termios.error):  # the terminal may be gone
            self._termios.tcsetattr(self._fd, self._termios.TCSANOW, self._before)
            self._restored()
        self._is_raw = False


@contextmanager
def _handlers(raw: _Raw, resized: Callable[[], None]) -> Iterator[None]:
    """Signals do what they did before, but with a terminal that is in order."""
    before: dict[int, Any] = {}

    def end(number: int, frame: FrameType | None) -> None:
        raw.restore()
        if callable(before[number]):
            before[number](number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def stop(_: int, __: FrameType | None) -> None:
        raw.restore()
        os.kill(os.getpid(), signal.SIGSTOP)

    def go_on(_: int, __: FrameType | None) -> None:
        raw.set()
        resized()

    def resize(_: int, __: FrameType | None) -> None:
        resized()

    handlers: dict[int, Handler] = dict.fromkeys(ENDING, end)
    handlers |= {signal.SIGTSTP: stop, signal.SIGCONT: go_on, signal.SIGWINCH: resize}
    try:
        for number, handler in handlers.items():
            before[number] = signal.getsignal(number)
            if before[number] is not signal.SIG_IGN:  # as by nohup: it stays so
                signal.signal(number, handler)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)
