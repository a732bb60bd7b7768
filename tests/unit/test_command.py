"""Commands as argv."""

from __future__ import annotations

from typing import Any

import pytest

from cwsandbox._messages.command import directory, limit, variables, words_of


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
        (5, TypeError, "cwd must be a str, got 5"),
    ],
)
def test_refused_directories(cwd: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        directory(cwd)


def test_directory() -> None:
    assert directory("/with/../dots and blanks") == "/with/../dots and blanks"


def test_variables() -> None:
    given = {"A": "1", "my.var": "", "BASH_FUNC_f%%": "() { :; }", "caf\u00e9": "x=y\n"}
    copied = variables(given)
    assert copied == given
    assert copied is not given


@pytest.mark.parametrize(
    ("env", "error", "words"),
    [
        ({"": "1"}, ValueError, "env: a name must not be empty"),
        ({"A=B": "1"}, ValueError, "'A=B'"),
        ({"A\0": "1"}, ValueError, "NUL"),
        ({"A": "secret\0"}, ValueError, r"env\['A'\] must not contain NUL$"),
        ({"A": b"secret"}, TypeError, r"env\['A'\] must be a str, got bytes$"),
        ({1: "secret"}, TypeError, "env must contain only strings, got the key 1$"),
        ([("A", "1")], TypeError, "env must be a mapping"),
        ("A=1", TypeError, "env must be a mapping"),
    ],
)
def test_refused_variables(env: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        variables(env)


@pytest.mark.parametrize(
    ("most", "capture", "error", "words"),
    [
        (0, True, ValueError, "max_output_bytes must be at least 1 .* got 0"),
        (-1, True, ValueError, "got -1"),
        (10**30, True, ValueError, "at most"),
        (True, True, TypeError, "max_output_bytes must be an int, got True"),
        (1.5, True, TypeError, "got 1.5"),
        (5, False, ValueError, "max_output_bytes=5 .* capture_output=False"),
    ],
)
def test_refused_limits(most: Any, capture: bool, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        limit(most, capture)


def test_limit() -> None:
    assert [limit(1, True), limit(2**40, True)] == [1, 2**40]
