"""Argument checks that name the value and the rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, isfinite, isnan
from os import fsencode

from cwsandbox._types.enums import DataPlaneMode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from enum import StrEnum
    from typing import Any, TypeVar

    _E = TypeVar("_E", bound=StrEnum)


# Of a long value so many characters are shown.
_SHOWN_MAX = 200


def shown(value: object) -> str:
    """A value as it stands in a message."""
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."


def strings(value: Any, what: str) -> tuple[str, ...]:
    """The items of an iterable of strings; a bare string is refused."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(
            f"{what} must be a sequence of strings, not a bare string or other value: {shown(value)}"
        )
    items = tuple(value)
    for item in items:
        if not isinstance(item, str):
            raise TypeError(f"{what} must contain only strings, got {shown(item)}")
    return items


def string_map(value: Any, what: str) -> dict[str, str]:
    """A copy of a mapping from strings to strings. A value may be a secret, so only its type is shown."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} must be a mapping of strings to strings, got {shown(value)}")
    for key, item in value.items():
        if not isinstance(key, str):
            raise TypeError(f"{what} must contain only strings, got the key {shown(key)}")
        if not isinstance(item, str):
            raise TypeError(f"{what}[{shown(key)}] must be a str, got {type(item).__name__}")
    return dict(value)


def text(value: Any, what: str) -> str:
    """A string that is not empty."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, got {shown(value)}")
    if not value:
        raise ValueError(f"{what} must not be empty")
    return value


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can carry it: it has no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def encoded(text: str, what: str) -> bytes:
    """As UTF-8."""
    if not is_utf8(text):
        raise ValueError(
            f"{what} must not contain a lone surrogate, which UTF-8 cannot carry, got {shown(text)}"
        )
    return text.encode()


def carried(text: str, what: str) -> str:
    """Text that messages can carry, and commands and files can have."""
    if "\0" in text:
        raise ValueError(f"{what} must not contain a NUL character, got {shown(text)}")
    encoded(text, what)
    return text


def path(value: Any, what: str) -> str:
    """A path as a str, given as that or as a path object."""
    given = value.__fspath__() if hasattr(type(value), "__fspath__") else value
    if not isinstance(given, str):
        raise TypeError(f"{what} must be a str or a path object, got {shown(value)}")
    if not given:
        raise ValueError(f"{what} must not be empty")
    if "\0" in given:
        raise ValueError(f"{what} must not contain NUL, got {shown(value)}")
    try:
        fsencode(given)  # which has bytes for those surrogates that stand for bytes
    except UnicodeEncodeError:
        raise ValueError(
            f"{what} must not contain a lone surrogate, which stands for no byte, got {shown(value)}"
        ) from None
    return given


def optional_text(value: Any, what: str) -> str | None:
    """A string; None and the empty string count as not given."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, got {shown(value)}")
    return value or None


def keys(
    given: Iterable[object],
    known: Iterable[str],
    what: str,
    error: type[Exception] = ValueError,
) -> None:
    """Refuses keys that mean nothing, and lists those that do."""
    extra = sorted(str(key) for key in set(given) - set(known))
    if extra:
        raise error(f"{what}: {', '.join(extra)}; valid keys: {', '.join(sorted(known))}")


def number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} must be a number of seconds, got {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(
            f"{what} must be a number of seconds that a float can hold: use math.inf for no limit"
        ) from None


def timeout(value: Any, what: str) -> float:
    """A positive number of seconds; infinity means no limit."""
    seconds = number(value, what)
    if isnan(seconds) or seconds <= 0:
        raise ValueError(f"{what} must be a positive number of seconds, got {shown(value)}")
    return seconds


def patience(value: Any, what: str) -> float:
    """How long to wait: zero for not at all, infinity for no limit."""
    seconds = number(value, what)
    if isnan(seconds) or seconds < 0:
        raise ValueError(f"{what} must be a number of seconds >= 0, got {shown(value)}")
    return seconds


def time_limit(timeout_seconds: Any, default: float) -> float | None:
    """The argument ``timeout_seconds`` of an operation, as the native core takes it: None means no limit."""
    seconds = default if timeout_seconds is None else timeout(timeout_seconds, "timeout_seconds")
    return None if seconds == inf else seconds


def budget(value: Any, what: str) -> float:
    """A finite number of seconds, zero allowed."""
    seconds = number(value, what)
    if not isfinite(seconds) or seconds < 0:
        raise ValueError(f"{what} must be finite and >= 0, got {shown(value)}")
    return seconds


def rpc_timeout(value: Any, what: str) -> float:
    """A finite, positive number of seconds."""
    seconds = number(value, what)
    if not isfinite(seconds) or seconds <= 0:
        raise ValueError(f"{what} must be finite and > 0, got {shown(value)}")
    return seconds


def boolean(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{what} must be a bool, got {shown(value)}")
    return value


def integer(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an int, got {shown(value)}")
    return value


def choice(value: Any, enum: type[_E], what: str) -> _E:
    """A member of a string enum, given as itself or as its text in any case."""
    if isinstance(value, enum):
        return value
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a {enum.__name__} or a str, got {shown(value)}")
    try:
        return enum(value.strip().lower())
    except ValueError:
        names = ", ".join(member.value for member in enum)
        raise ValueError(
            f"{what}: {shown(value)} is not a valid {enum.__name__} (one of: {names})"
        ) from None


def data_plane_mode(value: DataPlaneMode | str) -> DataPlaneMode:
    """The mode."""
    return choice(value, DataPlaneMode, "data_plane_mode")


def mount_path(value: Any, what: str) -> str:
    """An absolute path other than the root."""
    path = text(value, what)
    if not path.startswith("/"):
        raise ValueError(f"{what} must be an absolute path, got {shown(value)}")
    if path == "/":
        raise ValueError(f"{what} must not be the root directory")
    return path


def sub_path(value: Any, what: str) -> str | None:
    """A relative path in canonical form."""
    path = optional_text(value, what)
    if path is None:
        return None
    if path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(
            f"{what} must be a relative path without empty, '.' or '..' parts, got {shown(value)}"
        )
    return path
