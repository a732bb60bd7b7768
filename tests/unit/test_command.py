"""Commands as argv."""

from __future__ import annotations

from typing import Any

import pytest

from cwsandbox._messages.command import directory, words_of


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
        directory(cwd)


def test_directory() -> None:
    assert directory("/with/../dots and blanks") == "/with/../dots and blanks"
