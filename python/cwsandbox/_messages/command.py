"""A command as given by the user, checked."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def words_of(command: Sequence[str]) -> list[str]:
    """A copy of the command. Its items are checked where they are sent."""
    if isinstance(command, (str, bytes)):
        raise TypeError(
            f"command must be a sequence of strings, not {command!r}: "
            "pass a list such as ['echo', 'hi'], or ['/bin/sh', '-c', text] for shell text"
        )
    words = list(command)
    if not words:
        raise ValueError("Command cannot be empty")
    return words


def directory(cwd: str) -> str:
    """The directory to start a command in."""
    if not isinstance(cwd, str):
        raise TypeError(f"cwd must be a string, got {cwd!r}")
    if not cwd:
        raise ValueError("cwd cannot be empty string")
    if not cwd.startswith("/"):
        raise ValueError(f"cwd must be an absolute path, got {cwd!r}")
    return cwd
