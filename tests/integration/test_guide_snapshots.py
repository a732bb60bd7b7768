"""The examples of docs/guide/snapshots.md and docs/guide/templates.md, as they stand there, one after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
PRINTED = {
    "snapshots": ["prepared\n", "ready on_delete\n"],
    "templates": ["['app', 'helper']\nhelper\n"],
}

pytestmark = pytest.mark.usefixtures("base_url")


@pytest.mark.parametrize("page", PRINTED)
def test_they_print_what_they_say(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (GUIDE / f"{page}.md").read_text()
    examples = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    shown = []
    for example in examples:
        exec(compile(example, page, "exec"), names)
        shown.append(capsys.readouterr().out)
    assert shown == PRINTED[page]
