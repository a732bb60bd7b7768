"""The examples of docs/guide/files.md, as they stand there."""

from __future__ import annotations

from typing import Any

import pytest

from code_blocks import blocks

GUIDE = "docs/guide/files.md"
SETUP, *EXAMPLES = blocks("docs/guide/files.md", count=5)
PRINTED = [
    '{"n": 7}\n',
    "100\n",
    "ffa63298d1a247a4\n",
    "CWSANDBOX_FILE_NOT_FOUND /work/missing\n",
]


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_they_print_what_they_say(
    base_url: str, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    exec(compile(SETUP, GUIDE, "exec"), names)
    exec(compile(EXAMPLES[number], GUIDE, "exec"), names)
    names["sandbox"].stop().result()
    assert capsys.readouterr().out == PRINTED[number]
