"""What is left out of a copy: patterns, as in a .gitignore, or a function."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable

from cwsandbox._archive.fault import CallerError
from cwsandbox._types.check import shown

# Whether to leave out an entry, given its path below the top and whether it is a directory.
Excludes = Callable[[bytes, bool], bool]


def excludes(exclude: object) -> Excludes | None:
    """What decides. TypeError and ValueError name the pattern and the rule."""
    if exclude is None:
        return None
    if callable(exclude):
        return _asking(exclude)
    if isinstance(exclude, (str, bytes)) or not isinstance(exclude, Iterable):
        raise TypeError(
            f"exclude must be a sequence of patterns or a function, got {shown(exclude)}"
        )
    patterns = list(exclude)
    return _matching(patterns) if patterns else None


def _asking(function: Callable[[str], object]) -> Excludes:
    def excluded(path: bytes, is_directory: bool) -> bool:
        try:
            return bool(function(os.fsdecode(path) + ("/" if is_directory else "")))
        except Exception as error:
            raise CallerError(error) from error

    return excluded


def _matching(patterns: list[object]) -> Excludes:
    text = "|".join(f"(?:{_translated(pattern)})" for pattern in patterns)
    # On text, so that "?" is one character. A directory's path ends with "/".
    match = re.compile(text, re.DOTALL).fullmatch

    def excluded(path: bytes, is_directory: bool) -> bool:
        return match(os.fsdecode(path) + ("/" if is_directory else "")) is not None

    return excluded


def _translated(pattern: object) -> str:
    """A regular expression for the paths that one pattern means, directories with a "/" behind."""
    if not isinstance(pattern, str):
        raise TypeError(f"exclude must contain only strings, got {shown(pattern)}")
    if pattern.startswith("!"):
        raise ValueError(
            f"exclude: {pattern!r}: a pattern cannot take another one back; for that pass a function, "
            r"or write \! for a name that begins with '!'"
        )
    parts = pattern.removesuffix("/").split("/")
    end = "/" if pattern.endswith("/") else "/?"
    is_anchored = len(parts) > 1
    if is_anchored and not parts[0]:
        del parts[0]
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(
            f"exclude: {pattern!r} has an empty part, '.' or '..': a pattern is a path below the top, or a name"
        )
    if not is_anchored:
        return f"(?:.*/)?{_part(parts[0], pattern)}{end}"
    body = ""
    for at, part in enumerate(parts):
        is_last = at == len(parts) - 1
        if part != "**":
            body += _part(part, pattern) + ("" if is_last else "/")
        else:
            # "**/" is any number of directories, none among them; a "**" at the end is all that is inside.
            body += "[^/].*?" if is_last else "(?:.*/)?"
    return body + end


def _part(part: str, pattern: str) -> str:
    """A regular expression for one name."""
    text, at = "", 0
    while at < len(part):
        char = part[at]
        at += 1
        if char == "\\":
            if at == len(part):
                raise ValueError(f"exclude: {pattern!r}: nothing follows the backslash")
            text += re.escape(part[at])
            at += 1
        elif char == "*":
            text += "[^/]*"
        elif char == "?":
            text += "[^/]"
        elif char == "[":
            end = part.find("]", at + (2 if part[at : at + 1] == "!" else 1))
            if end < 0:
                raise ValueError(
                    f"exclude: {pattern!r}: '[' has no ']'; write [[] for the character"
                )
            text += _characters(part[at:end], pattern)
            at = end + 1
        else:
            text += re.escape(char)
    return text


def _characters(inside: str, pattern: str) -> str:
    """A regular expression for one character of a set such as "a-z" or "!0-9", which means all others."""
    if "\\" in inside or "[:" in inside:
        raise ValueError(f"exclude: {pattern!r}: [{inside}] must be single characters and ranges")
    negated = inside.startswith(("!", "^"))
    chars = inside[negated:]
    escaped = "".join(char if char == "-" else re.escape(char) for char in chars)
    text = f"(?!/)[{'^' if negated else ''}{escaped}]"
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"exclude: {pattern!r}: [{inside}]: {error.msg}") from None
    return text
