"""Annotations that become types when somebody looks at them.

Whoever imports ``Sandbox`` should not have to load every type that its signatures name, nor ``typing``, which takes as
long as all else together. So these names are imported for type checkers only, and Python knows the annotations as
texts. ``typing.get_type_hints`` and everything that is built on annotations needs the types, though: ``on_demand``
gives it a dict that evaluates the texts at the first access, as Python 3.14 does by itself.
"""

from __future__ import annotations

import builtins
import sys
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView, ValuesView
    from typing import Any, TypeVar

    _C = TypeVar("_C")

# Where the annotations of what is public have their names from, beside their own module: what is public, too. A module
# may name further ones, in `_ANNOTATION_SOURCES`.
_SOURCES = (__name__.partition(".")[0], "collections.abc", "typing", "datetime", "pathlib")


def on_demand(thing: _C) -> _C:
    """Have the annotations of a function, or of a class and its public methods, evaluated when they are looked at."""
    if isinstance(thing, type):
        own = vars(thing)
        if "__annotations__" in own:
            thing.__annotations__ = Annotations(own["__annotations__"], thing.__module__)
        for name, member in own.items():
            if not name.startswith("_") or name.endswith("__"):
                _function_on_demand(member)
    else:
        _function_on_demand(thing)
    return thing


def _function_on_demand(member: Any) -> None:
    function = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
    if isinstance(function, FunctionType) and function.__annotations__:
        function.__annotations__ = Annotations(function.__annotations__, function.__module__)


class Annotations(dict[str, object]):
    """By name: a text until the first access, then the type. ``NameError`` when a text names what there is not."""

    def __init__(self, texts: dict[str, Any], module: str) -> None:
        super().__init__(texts)
        self._module: str | None = module

    def _evaluate(self) -> None:
        if self._module is None:
            return
        names = _Names(vars(sys.modules[self._module]))
        for name, text in list(super().items()):
            if isinstance(text, str):
                super().__setitem__(name, eval(text, names.module, names))
        self._module = None

    # Who copies a dict that has an __iter__ of its own goes through it and __getitem__.

    def __iter__(self) -> Iterator[str]:
        self._evaluate()
        return super().__iter__()

    def __getitem__(self, name: str) -> object:
        self._evaluate()
        return super().__getitem__(name)

    def get(self, name: str, default: object = None) -> object:
        self._evaluate()
        return super().get(name, default)

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        self._evaluate()
        return super().keys()

    def values(self) -> ValuesView[object]:  # type: ignore[override]
        self._evaluate()
        return super().values()

    def items(self) -> ItemsView[str, object]:  # type: ignore[override]
        self._evaluate()
        return super().items()

    def copy(self) -> dict[str, object]:
        return dict(self)

    def __repr__(self) -> str:
        return repr(dict(self))


class _Names(dict[str, object]):
    """Finds what the names in a text stand for; those of the module itself and of Python are left to ``eval``."""

    def __init__(self, module: dict[str, Any]) -> None:
        super().__init__()
        self.module = module

    def __missing__(self, name: str) -> object:
        if name not in self.module and not hasattr(builtins, name):
            from importlib import import_module

            for source in (*_SOURCES, *self.module.get("_ANNOTATION_SOURCES", ())):
                module = import_module(source)
                if hasattr(module, name):
                    return getattr(module, name)
        raise KeyError(name)
