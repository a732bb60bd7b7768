"""A command as given by the user, checked."""

from __future__ import annotations

import sys

from cwsandbox._types import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def words_of(command: Sequence[str]) -> list[str]:
    """A copy of the command. Its items are checked where they are sent."""
    if isinstance(command, (str, bytes)):
        raise TypeError(
            f"command must be a sequence of strings, not {check.shown(command)}: "
            "pass a list such as ['echo', 'hi'], or ['/bin/sh', '-c', text] for shell text"
        )
    try:
        words = list(command)
    except TypeError:
        raise TypeError(
            f"command must be a sequence of strings, got {check.shown(command)}"
        ) from None
    if not words:
        raise ValueError("Command cannot be empty")
    return words


def wants_stdin(stdin: object) -> bool:
    """Whether standard input is asked for. The input itself is refused: it would be lost, and the command wait."""
    if stdin is not None and not isinstance(stdin, int):
        raise TypeError(
            f"stdin must be a bool, got {check.shown(stdin)}: pass stdin=True and write the input to process.stdin"
        )
    return bool(stdin)


def directory(cwd: str) -> str:
    """The directory to start a command in."""
    if not isinstance(cwd, str):
        raise TypeError(f"cwd must be a str, got {check.shown(cwd)}")
    if not cwd:
        raise ValueError("cwd cannot be empty string")
    if not cwd.startswith("/"):
        raise ValueError(f"cwd must be an absolute path, got {check.shown(cwd)}")
    return cwd


def container_name(container: str | None) -> str:
    """The name of the container that an operation is for; empty: the only or primary one."""
    return "" if container is None else (check.optional_text(container, "container") or "").strip()


def variables(env: Mapping[str, str]) -> dict[str, str]:
    """A copy of the environment variables, which a process can have."""
    copied = check.string_map(env, "env")
    for name, value in copied.items():
        if not name or "=" in name or "\0" in name:
            raise ValueError(
                f"env: a name must not be empty and must not contain '=' or NUL, got {check.shown(name)}"
            )
        if "\0" in value:
            raise ValueError(f"env[{name!r}] must not contain NUL")
    return copied


def limit(max_output_bytes: int, capture_output: bool) -> int:
    """How many bytes of each stream are kept."""
    most = check.integer(max_output_bytes, "max_output_bytes")
    if not 1 <= most <= sys.maxsize:
        raise ValueError(
            f"max_output_bytes must be at least 1 and at most {sys.maxsize}, got {most}"
        )
    if not capture_output:
        raise ValueError(
            f"max_output_bytes={most} keeps a part of the output and capture_output=False keeps none: "
            "give one of them"
        )
    return most
