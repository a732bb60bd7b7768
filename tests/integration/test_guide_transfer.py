"""The examples of docs/guide/transfer.md, as they stand there."""

from __future__ import annotations

from pathlib import Path

import pytest

from code_blocks import blocks
from cwsandbox import Sandbox, SandboxError

EXAMPLES = blocks("docs/guide/transfer.md", count=6)
MAKEFILE = "all:\n\tmkdir -p dist && cp word dist\n"
# What they print, by their place on the page.
PRINTED = {2: "2\n", 4: "0 of 40\n40 of 40\n"}


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example(
    example: str,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "project" / "docs").mkdir(parents=True)
    (tmp_path / "project" / "Makefile").write_text(MAKEFILE)
    (tmp_path / "project" / "docs" / "draft-1").touch()
    (tmp_path / "project" / "word").write_text("word")

    exec(example, {"sandbox": sandbox, "SandboxError": SandboxError})

    assert capsys.readouterr().out == PRINTED.get(EXAMPLES.index(example), "")
    if "download" in example:
        assert (tmp_path / "dist" / "word").read_text() == "word"
