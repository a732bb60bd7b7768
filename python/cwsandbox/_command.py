"""A command as given by the user, as the argv that is sent."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def words_of(command: Sequence[str]) -> list[str]:
    """A copy of the command. Its items are checked where they are sent, or by ``in_directory``."""
    if isinstance(command, (str, bytes)):
        raise TypeError(
            f"command must be a sequence of strings, not {command!r}: "
            "pass a list such as ['echo', 'hi'], or ['/bin/sh', '-c', text] for shell text"
        )
    words = list(command)
    if not words:
        raise ValueError("Command cannot be empty")
    return words


def in_directory(words: list[str], cwd: str) -> list[str]:
    """The argv by which the sandbox's shell enters ``cwd`` and becomes the command."""
    for index, item in enumerate(words):
        if not isinstance(item, str):
            raise TypeError(f"command[{index}] must be a string, got {item!r}")
    if not isinstance(cwd, str):
        raise TypeError(f"cwd must be a string, got {cwd!r}")
    if not cwd:
        raise ValueError("cwd cannot be empty string")
    if not cwd.startswith("/"):
        raise ValueError(f"cwd must be an absolute path, got {cwd!r}")
    import shlex

    return ["/bin/sh", "-c", f"cd {shlex.quote(cwd)} && exec {shlex.join(words)}"]
