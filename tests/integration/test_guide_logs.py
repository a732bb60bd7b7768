"""The examples of docs/guide/logs.md, as they stand there."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path

import pytest

from cwsandbox import Sandbox

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "logs.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
PRINTED = [
    "working\ndone\n",
    "step 1\nstep 2\nstep 3\n",
    "exit code 3\nno such input\n",
    "['98', '99', '100']\n",
]

pytestmark = pytest.mark.usefixtures("base_url")


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == len(PRINTED)


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_they_print_what_they_say(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    code = compile(EXAMPLES[number], str(GUIDE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    awaited = eval(code, {"Sandbox": Sandbox})
    if inspect.iscoroutine(awaited):
        asyncio.run(awaited)
    assert capsys.readouterr().out == PRINTED[number]
