"""The programs in docs/guide/functions.md, as they stand there."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "functions.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
PROGRAMS = [text for text in EXAMPLES if text.startswith("from ")]
PRINTED = ["3\n[3, 7]\n3\n", "Point(x=-1, y=2)\n", "ZeroDivisionError division by zero\n"]

pytestmark = pytest.mark.usefixtures("base_url")


def test_there_are_programs() -> None:
    assert len(PROGRAMS) == len(PRINTED)


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_they_print_what_they_say(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # In a file: that is where the source of a function comes from.
    program = tmp_path / "program.py"
    program.write_text(PROGRAMS[number])
    runpy.run_path(str(program), run_name="__main__")
    assert capsys.readouterr().out == PRINTED[number]
