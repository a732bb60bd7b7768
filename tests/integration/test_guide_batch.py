"""The examples of docs/guide/batch.md, as they stand there."""

from __future__ import annotations

from pathlib import Path

import pytest

from code_blocks import blocks

GUIDE = "docs/guide/batch.md"
EXAMPLES = blocks("docs/guide/batch.md", count=2)

pytestmark = pytest.mark.usefixtures("base_url")


def test_they_print_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    first = "0 ok 0\n1 ok 1\n2 ok 4\n3 failed 9\n4 ok 16\n5 jobs: 4 ok, 1 failed\n"
    for example, printed in zip(
        [EXAMPLES[0], *EXAMPLES],
        [first, first, "/tmp/w\nalso without a batch\n"],
        strict=True,
    ):
        exec(compile(example, GUIDE, "exec"), names)
        assert capsys.readouterr().out == printed
