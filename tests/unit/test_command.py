"""Commands as argv."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from cwsandbox._command import in_directory, words_of


def test_words() -> None:
    given = ("echo", "hi")
    assert words_of(given) == ["echo", "hi"]


@pytest.mark.parametrize("command", ["echo hi", b"echo hi"])
def test_text_is_no_command(command: Any) -> None:
    with pytest.raises(TypeError, match="sequence of strings"):
        words_of(command)


@pytest.mark.parametrize("command", [[], ()])
def test_empty(command: Any) -> None:
    with pytest.raises(ValueError, match="Command cannot be empty"):
        words_of(command)


@pytest.mark.parametrize(
    ("cwd", "error", "words"),
    [
        ("", ValueError, "cwd cannot be empty string"),
        ("relative", ValueError, "cwd must be an absolute path"),
        (5, TypeError, "cwd must be a string"),
    ],
)
def test_refused_directories(cwd: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        in_directory(["ls"], cwd)


def test_items_are_checked_before_they_are_quoted() -> None:
    words: Any = ["ls", 5]
    with pytest.raises(TypeError, match=r"command\[1\] must be a string, got 5"):
        in_directory(words, "/")


@pytest.mark.parametrize("directory", ["plain", "two words", "it's", "$HOME", "new\nline", "-dash"])
def test_the_shell_enters_the_directory_and_becomes_the_command(
    directory: str, tmp_path: Any
) -> None:
    path = tmp_path / directory
    path.mkdir()
    arguments = ["a b", "'", "$x", "", "*", "new\nline"]
    argv = in_directory(["/bin/sh", "-c", 'pwd; printf "%s|" "$@"', "sh", *arguments], str(path))
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == f"{path}\n" + "|".join(arguments) + "|"


def test_a_missing_directory_is_the_shell_s_exit_code(tmp_path: Any) -> None:
    done = subprocess.run(in_directory(["true"], str(tmp_path / "none")), capture_output=True)
    assert done.returncode != 0
