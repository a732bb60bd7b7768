"""`cwsandbox completion`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest
from click.testing import Result

from cli.program import PATH

Invoke = Callable[..., Result]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_accepts_it(invoke: Invoke, shell: str) -> None:
    done = invoke("completion", shell)
    assert done.exit_code == 0
    assert "_CWSANDBOX_COMPLETE" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout.encode(), check=True, timeout=40)


def test_an_unknown_shell_is_wrong_usage(invoke: Invoke) -> None:
    assert invoke("completion", "csh").exit_code == 2


@pytest.mark.parametrize(
    ("typed", "completed"),
    [(["cwsandbox", "st"], "stop"), (["cwsandbox", "ls", "--status", "runn"], "running")],
)
def test_bash_completes(typed: list[str], completed: str) -> None:
    script = f"""
        eval "$(cwsandbox completion bash)"
        COMP_WORDS=({" ".join(typed)}) COMP_CWORD={len(typed) - 1}
        _cwsandbox_completion cwsandbox
        echo "${{COMPREPLY[@]}}"
    """
    path = f"{PATH.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=40,
        check=True,
        env={**os.environ, "PATH": path},
    )
    assert done.stdout.split() == [completed]
