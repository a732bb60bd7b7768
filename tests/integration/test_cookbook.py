"""The recipes of docs/cookbook, as they stand there, on the daemon."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from code_blocks import blocks
from cwsandbox import Sandbox
from integration.env import eventually

pytestmark = pytest.mark.usefixtures("own_daemon")

LINE = "    return x + x + 1"
PATCHES = {
    "calc-1": "    return x + x",
    "calc-2": "    return x * 3",
    "calc-3": "",
    "calc-4": "    while True: pass",
}


def diff(line: str) -> str:
    if not line:
        return "this is no patch\n"
    return f"--- a/calc.py\n+++ b/calc.py\n@@ -1,2 +1,2 @@\n def double(x):\n-{LINE}\n+{line}\n"


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """The program with its input: the page's task, under four names."""
    (shown,) = blocks("docs/cookbook/evaluation.md", "json", count=1)
    (program,) = blocks("docs/cookbook/evaluation.md", count=1)
    task = json.loads(shown)
    tasks = [task | {"instance_id": name} for name in PATCHES]
    tasks[-1]["timeout_seconds"] = 2
    predictions = [
        {"instance_id": name, "model_patch": diff(line)} for name, line in PATCHES.items()
    ]
    (tmp_path / "tasks.jsonl").write_text(lines(tasks))
    (tmp_path / "predictions.jsonl").write_text(lines(predictions))
    (tmp_path / "program.py").write_text(program)
    return tmp_path


def output_of(page: str) -> str:
    """What a page says that its program prints."""
    text = (Path(__file__).parents[2] / page).read_text()
    return text.partition("```text\n")[2].partition("```")[0]


def done(folder: Path) -> list[str]:
    """A line for each job that the store has an outcome of."""
    show = ["batch", "show", "evaluation.db", "-o", "json"]
    shown = subprocess.run(
        [Path(sys.executable).parent / "cwsandbox", *show],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return shown.stdout.splitlines()


def run(folder: Path) -> str:
    ended = subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_an_evaluation(evaluation: Path) -> None:
    printed = output_of("docs/cookbook/evaluation.md")
    assert run(evaluation) == printed
    assert run(evaluation) == printed.replace("0 were done", "4 were done")
    assert Sandbox.list().result() == []


def test_an_evaluation_that_is_killed_goes_on(evaluation: Path) -> None:
    """The endless patch holds the run until the others are done."""
    tasks = (evaluation / "tasks.jsonl").read_text()
    (evaluation / "tasks.jsonl").write_text(
        tasks.replace('"timeout_seconds": 2', '"timeout_seconds": 60')
    )
    first = subprocess.Popen([sys.executable, "program.py"], cwd=evaluation)
    try:
        eventually(lambda: len(done(evaluation)) == 3, "three jobs are done")
    finally:
        first.kill()
        first.wait()
    assert first.returncode == -signal.SIGKILL
    (evaluation / "tasks.jsonl").write_text(tasks)
    printed = output_of("docs/cookbook/evaluation.md")
    assert run(evaluation) == printed.replace("0 were done", "3 were done")


def test_rollouts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "program.py"
    program.write_text("".join(blocks("docs/cookbook/rollouts.md", count=2)))
    runpy.run_path(str(program), run_name="__main__")
    assert capsys.readouterr().out == output_of("docs/cookbook/rollouts.md")
    assert Sandbox.list().result() == []
