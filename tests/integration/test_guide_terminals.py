"""The examples of docs/guide/terminals.md, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide" / "terminals.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
LAST_LINES = ["3", "0"]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == len(LAST_LINES)


@pytest.mark.parametrize("number", range(len(LAST_LINES)))
def test_they_print_what_they_say(
    base_url: str, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(EXAMPLES[number], str(GUIDE), "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == LAST_LINES[number]
    if number == 1:
        assert "42" in printed
