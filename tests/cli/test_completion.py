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


def complete(*typed: str) -> list[str]:
    """What bash makes of it."""
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
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("st", "stop"),
        ("ls --status runn", "running"),
        ("files wr", "write"),
        ("logs --foll", "--follow"),
        ("daemon --token", "--token-file"),
        ("exec --data-plane-mode ga", "gateway"),
    ],
)
def test_words(typed: str, completed: str) -> None:
    assert complete("cwsandbox", *typed.split()) == [completed]


@pytest.mark.parametrize("command", ["get", "exec -i", "sh", "files read", "logs", "stop"])
def test_ids(sandbox_id: str, command: str) -> None:
    assert complete("cwsandbox", *command.split(), sandbox_id[:-2]) == [sandbox_id]


@pytest.mark.parametrize("url", ["local", "unix:///nowhere/at/all", "ftp://wrong"])
def test_no_ids_and_no_words_where_there_is_no_service(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("CWSANDBOX_BASE_URL", url)
    assert complete("cwsandbox", "get", "sb-") == []
