"""Immutable values for what every program with a sandbox has.

They are declared as frozen dataclasses are, and a type checker treats them alike. Importing ``dataclasses`` and having
it write the methods would take longer than importing all else that a sandbox needs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, NoReturn, Self, dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Record:
    """A value with the annotated names of the class as its fields, equal to others with equal fields."""

    _fields: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        cls._fields = tuple(cls.__annotations__)

    def __init__(self, *values: Any, **named: Any) -> None:
        if values:
            named.update(zip(self._fields, values, strict=False))
        for name in self._fields:
            value = named.pop(name) if name in named else getattr(type(self), name)
            object.__setattr__(self, name, value)
        if named:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(named)}")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")

    def changed(self, **fields: Any) -> Self:
        """A copy with other values in some fields."""
        return type(self)(**{**self.__dict__, **fields})

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(other) is type(self) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({fields})"
