"""What is taken out of the keys for the program itself, however they are cut."""

from __future__ import annotations

import pytest

from cwsandbox.cli.escapes import Escapes, Wish

CASES = {
    b"": (b"", []),
    b"plain text": (b"plain text", []),
    b"~.": (b"", [Wish.LEAVE]),
    b"~?": (b"", [Wish.HELP]),
    b"~?~.": (b"", [Wish.HELP, Wish.LEAVE]),
    b"a~.": (b"a~.", []),
    b"a\r~.": (b"a\r", [Wish.LEAVE]),
    b"a\n~.": (b"a\n", [Wish.LEAVE]),
    b"a\x03~.": (b"a\x03~.", []),
    b"~~": (b"~", []),
    b"~~.": (b"~.", []),
    b"~x": (b"~x", []),
    b"~x~.": (b"~x~.", []),
    b"~\r~.": (b"~\r", [Wish.LEAVE]),
    b"~/bin/x\r": (b"~/bin/x\r", []),
    b"\x1b[A\xff~\r": (b"\x1b[A\xff~\r", []),
    b"~": (b"~", []),
    b"a\r~": (b"a\r~", []),
}


@pytest.mark.parametrize("typed", CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_wishes(typed: bytes, size: int) -> None:
    escapes = Escapes()
    passed, wishes = b"", []
    for at in range(0, len(typed), size):
        more, asked = escapes.take(typed[at : at + size])
        passed += more
        wishes += asked
    assert (passed + escapes.end(), wishes) == CASES[typed]


def test_a_tilde_waits_for_what_follows() -> None:
    escapes = Escapes()
    assert escapes.take(b"~") == (b"", [])
    assert escapes.take(b"") == (b"", [])
    assert escapes.take(b"a") == (b"~a", [])
