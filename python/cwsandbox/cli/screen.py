"""What a command has switched on in the terminal that shows its output.

A command that is killed, or a connection that is lost, leaves the terminal with the mouse reported, the cursor hidden,
or in the alternate screen.
"""

from __future__ import annotations

import re

# Private modes of xterm and its likes, with their value in a terminal that nobody has changed. The others are harmless.
_DEFAULTS = {
    b"1": False,  # application cursor keys
    b"25": True,  # the cursor is shown
    b"47": False,  # the alternate screen, in three versions
    b"1047": False,
    b"1049": False,
    b"1000": False,  # the mouse is reported, in several ways
    b"1002": False,
    b"1003": False,
    b"1004": False,  # focus is reported
    b"1006": False,
    b"2004": False,  # pastes are marked
}
_BEGIN = b"\x1b[?"
_SET = re.compile(rb"\x1b\[\?([0-9;]{1,64})([hl])")
# A sequence may be cut between two pieces of output.
_LONGEST = 68


class Screen:
    """Watches output go by, and knows how to undo what it has switched on."""

    def __init__(self) -> None:
        self._changed: dict[bytes, bool] = {}
        self._tail = b""

    def show(self, data: bytes) -> None:
        """The terminal is about to show this."""
        seen = self._tail + data
        if _BEGIN in seen:
            for found in _SET.finditer(seen):
                for mode in found[1].split(b";"):
                    self._set(mode, found[2] == b"h")
        self._tail = self._unfinished(seen)

    def _set(self, mode: bytes, is_on: bool) -> None:
        self._changed.pop(mode, None)  # what is set last is undone first
        if mode in _DEFAULTS and _DEFAULTS[mode] is not is_on:
            self._changed[mode] = is_on

    @staticmethod
    def _unfinished(seen: bytes) -> bytes:
        end = seen[-_LONGEST:]
        start = end.rfind(b"\x1b")
        if start < 0 or _SET.match(end, start):
            return b""
        return end[start:]

    def undo(self) -> bytes:
        """What makes the terminal as it was before. Nothing is left to undo then."""
        changed, self._changed = self._changed, {}
        return b"".join(
            _BEGIN + mode + (b"l" if is_on else b"h") for mode, is_on in reversed(changed.items())
        )
