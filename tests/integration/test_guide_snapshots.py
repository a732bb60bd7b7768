"""The examples of docs/guide/snapshots.md and docs/guide/templates.md, as they stand there, one after the other."""

from __future__ import annotations

from typing import Any

import pytest

from code_blocks import blocks

EXAMPLES = {
    "snapshots": blocks("docs/guide/snapshots.md", count=2),
    "templates": blocks("docs/guide/templates.md", count=1),
}
PRINTED = {
    "snapshots": ["prepared\n", "ready on_delete\n"],
    "templates": ["['app', 'helper']\nhelper\n"],
}

pytestmark = pytest.mark.usefixtures("base_url")


@pytest.mark.parametrize("page", PRINTED)
def test_they_print_what_they_say(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    shown = []
    for example in EXAMPLES[page]:
        exec(compile(example, page, "exec"), names)
        shown.append(capsys.readouterr().out)
    assert shown == PRINTED[page]
