"""The classes that ``Sandbox`` is put together from are nobody's business: their functions go by its name."""

from __future__ import annotations

from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    _C = TypeVar("_C", bound=type)


def part_of_sandbox(part: _C) -> _C:
    """Have the functions of a base class of ``Sandbox`` named in messages and tracebacks as its own."""
    for member in vars(part).values():
        function = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
        if isinstance(function, FunctionType):
            function.__qualname__ = f"Sandbox.{function.__name__}"
    return part
