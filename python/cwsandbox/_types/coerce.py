"""Options given as a dict of their fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cwsandbox._types import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    _T = TypeVar("_T")


def instance(value: object, cls: type[_T], what: str) -> _T:
    """``value`` if it is a ``cls``, else a ``cls`` made from it as a mapping of keywords."""
    if isinstance(value, cls):
        return value
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} must be {cls.__name__} or dict, got {check.shown(value)}")
    given: Mapping[str, Any] = value
    fields: dict[str, Any] = vars(cls)["__dataclass_fields__"]
    check.keys(given, fields, f"{what}: unrecognized keys of {cls.__name__}", TypeError)
    missing = [name for name, field in fields.items() if name not in given and _is_required(field)]
    if missing:
        raise TypeError(
            f"{what}: {cls.__name__} needs {', '.join(missing)}; given: {', '.join(given) or 'nothing'}"
        )
    return cls(**given)


def instances(values: object, cls: type[_T], what: str) -> tuple[_T, ...]:
    """``instance`` of each of a sequence."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Sequence):
        raise TypeError(
            f"{what} must be a sequence of {cls.__name__} or dict, got {check.shown(values)}"
        )
    return tuple(instance(value, cls, what) for value in values)


def _is_required(field: Any) -> bool:
    from dataclasses import MISSING  # who gives no options does not load it

    return field.default is MISSING and field.default_factory is MISSING


def optional(value: object, cls: type[_T], what: str) -> _T | None:
    """As ``instance``; None stays None."""
    return None if value is None else instance(value, cls, what)
