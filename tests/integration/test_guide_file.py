"""The examples of docs/guide/files.md, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "files.md"
SETUP, *EXAMPLES = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
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
    base_url: str, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    exec(compile(SETUP, str(GUIDE), "exec"), names)
    exec(compile(EXAMPLES[number], str(GUIDE), "exec"), names)
    names["sandbox"].stop().result()
    assert capsys.readouterr().out == PRINTED[number]
