"""The examples of docs/guide/terminals.md, as they stand there."""

from __future__ import annotations

import pytest

from code_blocks import blocks

GUIDE = "docs/guide/terminals.md"
EXAMPLES = blocks("docs/guide/terminals.md", count=2)
LAST_LINES = ["3", "0"]


@pytest.mark.parametrize("number", range(len(LAST_LINES)))
def test_they_print_what_they_say(
    base_url: str, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(EXAMPLES[number], GUIDE, "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == LAST_LINES[number]
    if number == 1:
        assert "42" in printed
