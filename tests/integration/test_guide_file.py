"""The examples of docs/guide/files.md, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cwsandbox import Sandbox

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "files.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
PRINTED = [
    '{"n": 7}\n',
    "100\n",
    "ffa63298d1a247a4\n",
    "CWSANDBOX_FILE_NOT_FOUND /work/missing\n",
]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == len(PRINTED)


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_they_print_what_they_say(
    sandbox: Sandbox, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(EXAMPLES[number], str(GUIDE), "exec"), {"sandbox": sandbox})
    assert capsys.readouterr().out == PRINTED[number]
