"""The examples of docs/guide/logs.md, as they stand there."""

from __future__ import annotations

import ast
import asyncio
import inspect

import pytest

from code_blocks import blocks
from cwsandbox import Sandbox

GUIDE = "docs/guide/logs.md"
EXAMPLES = blocks("docs/guide/logs.md", count=4)
PRINTED = [
    "working\ndone\n",
    "step 1\nstep 2\nstep 3\n",
    "exit code 3\nno such input\n",
    "['98', '99', '100']\n",
]

pytestmark = pytest.mark.usefixtures("base_url")


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_they_print_what_they_say(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    code = compile(EXAMPLES[number], GUIDE, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    awaited = eval(code, {"Sandbox": Sandbox})
    if inspect.iscoroutine(awaited):
        asyncio.run(awaited)
    assert capsys.readouterr().out == PRINTED[number]
