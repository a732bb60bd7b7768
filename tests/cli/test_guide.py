"""The commands of the guide, as they stand there."""

from __future__ import annotations

import csv
import os
import subprocess
from pathlib import Path

import pytest

from cli.program import PATH
from code_blocks import blocks
from cwsandbox import Sandbox

EXAMPLES = blocks("docs/guide/cli.md", "console", count=3)


def split(example: str) -> tuple[str, str]:
    """What is typed, behind the prompts `$` and `>`, and what is printed."""
    lines = example.splitlines(keepends=True)
    typed = "".join(line[2:] for line in lines if line[:2] in ("$ ", "> "))
    return typed, "".join(line for line in lines if line[:2] not in ("$ ", "> "))


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


def run(command: str, folder: Path, stdin: str = "", **env: str) -> tuple[int, str]:
    """Exit code and stdout of a command of the page, with what explains it behind a `#`."""
    done = subprocess.run(
        ["bash", "-c", command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=folder,
        env={**os.environ, "PATH": f"{PATH.parent}:{os.environ['PATH']}", **env},
    )
    return done.returncode, done.stdout


@pytest.mark.usefixtures("base_url")
def test_batches(tmp_path: Path) -> None:
    (jobs,) = blocks("docs/guide/batch.md", "json", count=1)
    (commands,) = blocks("docs/guide/batch.md", "sh", count=1)
    (tmp_path / "run.jsonl").write_text(jobs)
    (tmp_path / "run.py").write_text("print('ran')")
    first, again, show, export = commands.splitlines()
    assert run(first, tmp_path)[0] == 0
    assert run(again, tmp_path)[0] == 0
    assert run(show, tmp_path)[0] == 0
    assert run(export, tmp_path)[0] == 0
    (row,) = csv.DictReader((tmp_path / "run.csv").open())
    assert (row["key"], row["verdict"], row["attempts"]) == ("one", "ok", "1")


@pytest.mark.usefixtures("base_url")
def test_templates(tmp_path: Path) -> None:
    (command,) = blocks("docs/guide/templates.md", "sh", count=1)
    assert run(command, tmp_path)[0] == 0
    try:
        with Sandbox.run_from_template("ci") as sandbox:
            assert sandbox.exec(["sh", "-c", "echo $GREETING"]).result().stdout == "hello\n"
    finally:
        assert run("cwsandbox templates delete ci", tmp_path)[0] == 0


def test_secrets(tmp_path: Path) -> None:
    (commands,) = blocks("docs/guide/secrets.md", "sh", count=1)
    shown = [
        run(command, tmp_path, "value", CWSANDBOX_SECRETS_DIR=str(tmp_path / "stores"))
        for command in commands.splitlines()
    ]
    assert [code for code, _ in shown] == [0, 0, 0, 0]
    listed = shown[2][1]
    assert "API_KEY" in listed
    assert "password" in listed
    assert "value" not in listed


@pytest.mark.parametrize(("body", "code"), [("pass", 0), ("self.fail()", 1)])
def test_a_checkout_is_tested_in_ci(tmp_path: Path, body: str, code: int) -> None:
    (script,) = blocks("docs/cookbook/ci.md", "sh", count=1)
    (tmp_path / "ci.sh").write_text(script)
    test = (
        f"import unittest\n\nclass It(unittest.TestCase):\n    def test_it(self):\n        {body}\n"
    )
    (tmp_path / "test_it.py").write_text(test)
    found, shown = run("cwsandbox local -- sh ci.sh", tmp_path)
    assert found == code
    assert "Ran 1 test" in shown
    assert (tmp_path / "report.txt").read_text() == shown
