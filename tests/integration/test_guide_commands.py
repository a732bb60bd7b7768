"""The examples of docs/guide/commands.md, as they stand there, one after the other."""

from __future__ import annotations

from typing import Any

import pytest

from code_blocks import blocks

EXAMPLES = blocks("docs/guide/commands.md", count=6)
PRINTED = [
    "0 42\n\n",
    "step 1\nstep 2\nstep 3\n",
    "apple\npear\n",
    "test in /tmp\n",
    "3 half done\n3.0 waiting\n",
    "[0, 1, 4, 9, 16]\n",
]


@pytest.mark.usefixtures("base_url")
def test_they_print_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for example, printed in zip(EXAMPLES, PRINTED, strict=True):
        exec(compile(example, "commands.md", "exec"), names)
        assert capsys.readouterr().out == printed
