"""What a command has switched on in the terminal is known, however its output is cut."""

from __future__ import annotations

import pytest

from cwsandbox.cli.screen import Screen

CASES = {
    b"": b"",
    b"\x1b[31mred\x1b[0m \x1b[2J": b"",
    b"\x1b[?1049h": b"\x1b[?1049l",
    b"\x1b[?1049h vim \x1b[?1049l": b"",
    b"\x1b[?1049h\x1b[?25l": b"\x1b[?25h\x1b[?1049l",
    b"\x1b[?1000;1006;2004h": b"\x1b[?2004l\x1b[?1006l\x1b[?1000l",
    b"\x1b[?25l\x1b[?25h\x1b[?25l": b"\x1b[?25h",
    b"\x1b[?25h": b"",
    b"\x1b[?7l\x1b[?12h": b"",  # harmless, or unknown
    b"\x1b[?1;99999h\xff": b"\x1b[?1l",
    b"\x1b\x1b[?2004h": b"\x1b[?2004l",
    b"\x1b[?" + b"1" * 100 + b"h": b"",
    b"\x1b[?25": b"",
}


@pytest.mark.parametrize("shown", CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_undo(shown: bytes, size: int) -> None:
    screen = Screen()
    for at in range(0, len(shown), size):
        screen.show(shown[at : at + size])
    assert screen.undo() == CASES[shown]
    assert screen.undo() == b""


def test_it_remembers_no_more_than_a_sequence() -> None:
    screen = Screen()
    for _ in range(1000):
        screen.show(b"\x1b[?" + b"1" * 1000)
    assert len(screen._tail) < 100
