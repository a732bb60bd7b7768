"""Keys that are meant for this program and not for the command: ``~`` at the beginning of a line, as in ssh."""

from __future__ import annotations

from enum import Enum

_TILDE = ord("~")
_LINE_ENDS = b"\r\n"


class Wish(Enum):
    """What was asked of this program."""

    LEAVE = "~."
    HELP = "~?"


HELP = """\
Behind Enter, this program understands:
  ~.  leave the session; its command is hung up
  ~~  type a ~
  ~?  this text
"""


class Escapes:
    """Takes what is typed apart. Bytes that may still become a wish are held back until the next one."""

    def __init__(self) -> None:
        self._at_line_start = True
        self._holds_tilde = False

    def take(self, typed: bytes) -> tuple[bytes, list[Wish]]:
        """What goes on to the command, and what is asked for."""
        if not self._holds_tilde and _TILDE not in typed:  # nearly always
            if typed:
                self._at_line_start = typed[-1] in _LINE_ENDS
            return typed, []
        passed, wishes = bytearray(), []
        for byte in typed:
            if self._holds_tilde:
                self._holds_tilde = False
                if byte in b".?":
                    wishes.append(Wish(f"~{chr(byte)}"))
                    self._at_line_start = True
                    continue
                passed.append(_TILDE)
                if byte == _TILDE:
                    self._at_line_start = False
                    continue
            elif byte == _TILDE and self._at_line_start:
                self._holds_tilde = True
                continue
            passed.append(byte)
            self._at_line_start = byte in _LINE_ENDS
        return bytes(passed), wishes

    def end(self) -> bytes:
        """What is still held back when nothing more comes."""
        return b"~" if self._holds_tilde else b""
