"""Options given as a dict of their fields."""

from __future__ import annotations

from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    _T = TypeVar("_T")


def instance(value: object, cls: type[_T], what: str) -> _T:
    """``value`` if it is a ``cls``, else a ``cls`` made from it as a mapping of keywords."""
    if isinstance(value, cls):
        return value
    if isinstance(value, Mapping):
        fields: Mapping[str, Any] = value
        return cls(**fields)
    raise TypeError(f"{what} must be {cls.__name__} or dict, got {value!r}")


def optional(value: object, cls: type[_T], what: str) -> _T | None:
    """As ``instance``; None stays None."""
    return None if value is None else instance(value, cls, what)
