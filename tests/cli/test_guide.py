"""The examples of docs/guide/cli.md, as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from cli.program import PATH

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "cli.md"
EXAMPLES = re.findall(r"^```console\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def split(example: str) -> tuple[str, str]:
    """What is typed, behind the prompts `$` and `>`, and what is printed."""
    lines = example.splitlines(keepends=True)
    typed = "".join(line[2:] for line in lines if line[:2] in ("$ ", "> "))
    return typed, "".join(line for line in lines if line[:2] not in ("$ ", "> "))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("example", EXAMPLES)
def test_they_print_what_they_say(example: str, tmp_path: Path) -> None:
    typed, printed = split(example)
    done = subprocess.run(
        ["bash", "-c", typed],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{PATH.parent}:{os.environ['PATH']}"},
    )
    assert (done.stdout, done.stderr) == (printed, "")
