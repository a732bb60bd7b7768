"""The programs in docs/guide/functions.md, as they stand there."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from code_blocks import blocks
from cwsandbox import RemoteFunction, Session

EXAMPLES = blocks("docs/guide/functions.md", count=4)
PROGRAMS = [text for text in EXAMPLES if text.startswith("from ")]
(FRAGMENT,) = [text for text in EXAMPLES if text not in PROGRAMS]
PRINTED = ["3\n[3, 7]\n3\n", "Point(x=-1, y=2)\n", "ZeroDivisionError division by zero\n"]

pytestmark = pytest.mark.usefixtures("base_url")


def test_the_options_of_the_sandbox_are_accepted() -> None:
    names: dict[str, Any] = {"session": Session()}
    exec(compile(FRAGMENT, "functions.md", "exec"), names)
    assert isinstance(names["train"], RemoteFunction)


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_they_print_what_they_say(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # In a file: that is where the source of a function comes from.
    program = tmp_path / "program.py"
    program.write_text(PROGRAMS[number])
    runpy.run_path(str(program), run_name="__main__")
    assert capsys.readouterr().out == PRINTED[number]
