"""The `make` commands that the documents name: make knows how to carry them out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from code_blocks import blocks

ROOT = Path(__file__).parents[2]
TEXT = "".join(
    [
        *blocks("README.md", "sh", count=1),
        *blocks("CONTRIBUTING.md", "sh", count=1),
        *blocks("docs/benchmarks.md", "sh", count=1),
    ]
)
COMMANDS = re.findall(r"^make [^#&\n]*", TEXT, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_make_knows_it(command: str, tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("this machine has no make")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    if "build/" not in command:  # of what it names itself the rules are looked for there
        env["BUILD"] = str(tmp_path)
    plan = subprocess.run(
        ["bash", "-c", command.replace("make", "make -n", 1)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert plan.returncode == 0, plan.stderr
    assert plan.stdout
