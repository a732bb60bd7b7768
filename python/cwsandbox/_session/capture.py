"""What a remote function refers to, found and written down as the steps that make it again in the sandbox.

Functions and classes of the program are sent as source, with what they refer to in turn. Modules, and what belongs to
the standard library or an installed package, are imported in the sandbox. All else is sent as a value.
"""

from __future__ import annotations

import builtins
import os
import platform
import sys
from copy import copy
from types import BuiltinFunctionType, CellType, FunctionType, MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, NewType, ParamSpec, TypeVar, TypeVarTuple

from cwsandbox._session import source, values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cwsandbox._session.source import Definition
    from cwsandbox._types.serialization import Serialization

_STANDARD_LIBRARY = os.path.dirname(os.__file__) + "/"

# What pickles know by name only. What these stand for is for type checkers.
_OF_TYPING = (TypeVar, ParamSpec, TypeVarTuple, NewType)

# Each module has its own.
_OF_EVERY_MODULE = {
    "__annotate__",
    "__annotations__",
    "__builtins__",
    "__conditional_annotations__",
    "__loader__",
    "__name__",
    "__package__",
    "__spec__",
}


def payload(
    function: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    mode: Serialization,
    plain: Callable[[Any], Any],
) -> bytes:
    """All that the sandbox needs for one call. ``plain`` gives the function that a remote function stands for.

    ``TypeError`` and ``ValueError`` name what cannot be sent; ``OSError`` when the source of something is not there.
    """
    inner = source.innermost(function)
    if not isinstance(inner, FunctionType):
        raise TypeError(f"{function!r} has no Python source that could be sent")
    capture = Capture(mode, plain, inner.__module__)
    number = capture.function(function)
    arguments = [
        capture.encode(list(args), "args"),
        capture.encode(dict(kwargs), "kwargs"),
    ]
    return values.dump(
        {
            "python": platform.python_version(),
            "modules": list(capture.modules),
            "steps": capture.steps,
            "function": number,
            "arguments": arguments,
        },
        mode,
    )


class Capture:
    """The steps for one call."""

    def __init__(self, mode: Serialization, plain: Callable[[Any], Any], home: str) -> None:
        self._mode = mode
        self._plain = plain
        self._home = home.partition(".")[0]
        self.steps: list[dict[str, Any]] = []
        self.modules: dict[str, None] = {}
        self._numbers: dict[int, int] = {}
        self._bound: set[tuple[str, str]] = set()
        # Variables of closures. Functions may share one.
        self._cells: dict[int, int] = {}

    def encode(self, value: Any, what: str) -> Any:
        return values.encode(value, what, self._mode, self._need)

    def function(self, function: Any) -> int:
        """Have a function made. The number it is known by."""
        known = self._numbers.get(id(function))
        if known is not None:
            return known
        number = self._numbers[id(function)] = len(self._numbers)
        inner, definition = _definition(function, self._can_be_sent)
        module = inner.__globals__.get("__name__") or inner.__module__
        self.modules.setdefault(module)
        cells = dict(zip(definition.closure, inner.__closure__ or (), strict=True))
        new = {name: cell for name, cell in cells.items() if id(cell) not in self._cells}
        for cell in new.values():
            self._cells[id(cell)] = len(self._cells)
        if definition.is_decorated:
            # The decorator may be one of these.
            self._fill(new, inner)
        made = {
            "do": "function",
            "id": number,
            "cells": {name: self._cells[id(cell)] for name, cell in cells.items()},
            "defaults": [
                (name, self._ref(value, f"the default of {name!r}"))
                for name, value in definition.defaults
            ],
        }
        self._define(made, module, inner.__globals__, definition)
        if not definition.is_decorated:
            # What they hold may refer to the function.
            self._fill(new, inner)
        self._register(function, number, module)
        return number

    def _register(self, function: Any, number: int, module: str) -> None:
        """What other statements have registered with a function of ``functools.singledispatch``."""
        registry = getattr(function, "registry", None)
        if not isinstance(registry, MappingProxyType) or not hasattr(function, "dispatch"):
            return
        for cls, implementation in registry.items():
            if cls is object:
                continue
            what = f"the implementation for {cls.__qualname__!r}"
            step = {"do": "register", "function": number, "name": what}
            refs = {"class": self._ref(cls, what), "ref": self._ref(implementation, what)}
            self.steps.append(step | refs)

    def _fill(self, cells: Mapping[str, CellType], function: FunctionType) -> None:
        for name, cell in cells.items():
            ref = self._ref(_content(cell, name, function), f"{name!r} of the closure")
            number = self._cells[id(cell)]
            self.steps.append({"do": "cell", "id": number, "name": name, "ref": ref})

    def _class(self, cls: type) -> int:
        known = self._numbers.get(id(cls))
        if known is not None:
            return known
        number = self._numbers[id(cls)] = len(self._numbers)
        self.modules.setdefault(cls.__module__)
        self._bound.add((cls.__module__, cls.__name__))
        names = vars(sys.modules[cls.__module__])
        self._define({"do": "class", "id": number}, cls.__module__, names, source.of_class(cls))
        return number

    def _define(
        self,
        made: dict[str, Any],
        module: str,
        names: Mapping[str, Any],
        definition: Definition,
    ) -> None:
        # What the definition reads comes before it, what its use reads after it: they may refer to each other.
        self._bind(module, names, definition.read_now, definition.attributes)
        self.steps.append(
            made
            | {
                "module": module,
                "name": definition.name,
                "source": definition.source,
                "future_annotations": definition.future_annotations,
            }
        )
        self._bind(module, names, definition.read_later, definition.attributes)

    def _bind(
        self, module: str, names: Mapping[str, Any], read: Iterable[str], attributes: set[str]
    ) -> None:
        for name in sorted(read):
            if name not in names or name in _OF_EVERY_MODULE or (module, name) in self._bound:
                continue
            self._bound.add((module, name))
            ref = self._ref_to_global(names[name], name)
            if isinstance(names[name], ModuleType):
                ref["submodules"] = _submodules(ref["module"], attributes)
            self.steps.append({"do": "bind", "module": module, "name": name, "ref": ref})

    def _ref_to_global(self, value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, type):
            return self._ref(value, f"the global {name!r}")
        before = self._known()
        try:
            return self._ref(value, f"the global {name!r}")
        except (TypeError, ValueError, OSError) as error:
            # It may well not be used.
            self._know(*before)
            return {"missing": f"class {name!r} could not be sent: {error}"}

    def _can_be_sent(self, value: Any) -> bool:
        before = self._known()
        try:
            self._ref(value, "a default")
        except (TypeError, ValueError, OSError):
            return False
        finally:
            self._know(*before)
        return True

    def _known(self) -> tuple[Any, ...]:
        """What ``_know`` returns to."""
        return tuple(map(copy, (self.steps, self.modules, self._numbers, self._bound, self._cells)))

    def _know(self, *before: Any) -> None:
        self.steps, self.modules, self._numbers, self._bound, self._cells = before

    def _ref(self, value: Any, what: str) -> dict[str, Any]:
        """How the sandbox comes to a value."""
        value = self._plain(value)
        if isinstance(value, ModuleType):
            return {"module": value.__name__}
        if isinstance(value, type):
            return self._ref_to_class(value)
        if isinstance(value, BuiltinFunctionType) and _is_there(value):
            return _imported(value)
        inner = source.innermost(value)
        if isinstance(inner, FunctionType):
            if self._is_sent(inner) or not _is_there(value):
                return {"made": self.function(value)}
            return _imported(value)
        if isinstance(value, _OF_TYPING):
            return {"made": self._of_typing(value)}
        if value is None or isinstance(value, (str, int, float)):
            return {"value": self.encode(value, what)}
        return {"made": self._value(value, what)}

    def _of_typing(self, value: Any) -> int:
        known = self._numbers.get(id(value))
        if known is not None:
            return known
        number = self._numbers[id(value)] = len(self._numbers)
        step = {"do": "typing", "id": number, "kind": type(value).__name__}
        self.steps.append(step | {"module": value.__module__, "name": value.__name__})
        return number

    def _value(self, value: Any, what: str) -> int:
        """Have a value made once, since others may refer to it, too."""
        known = self._numbers.get(id(value))
        if known is not None:
            return known
        encoded = self.encode(value, what)
        number = self._numbers[id(value)] = len(self._numbers)
        self.steps.append({"do": "value", "id": number, "name": what, "value": encoded})
        return number

    def _ref_to_class(self, cls: type) -> dict[str, Any]:
        if not self._is_sent(cls):
            return _imported(cls)
        if "<locals>" in cls.__qualname__:
            raise TypeError(
                f"class {cls.__qualname__!r} cannot be sent, since a function makes it: define it in the remote "
                "function itself or at the top of its module"
            )
        outer = vars(sys.modules[cls.__module__]).get(cls.__qualname__.partition(".")[0])
        if isinstance(outer, type) and outer is not cls:
            self._class(outer)
            return _imported(cls)
        return {"made": self._class(cls)}

    def _need(self, value: type | FunctionType) -> None:
        """A pickle refers to it by name."""
        if "<locals>" in value.__qualname__ or not self._is_sent(value):
            return
        if isinstance(value, type):
            self._ref_to_class(value)
        else:
            names = vars(sys.modules[value.__module__])
            self._bind(value.__module__, names, {value.__name__}, set())

    def _is_sent(self, value: type | FunctionType) -> bool:
        """Whether it is the program's own, so that the sandbox cannot be expected to have it."""
        name = value.__module__
        top = (name or "").partition(".")[0]
        if name == "__main__":
            return True
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is None or not file.endswith(".py") or top == __name__.partition(".")[0]:
            return False
        if {"site-packages", "dist-packages"} & {*file.split("/")}:
            return top == self._home
        # By its place: a program may have a module of the name of one.
        return not file.startswith(_STANDARD_LIBRARY)


def _definition(
    function: Any, can_be_sent: Callable[[Any], bool]
) -> tuple[FunctionType, Definition]:
    """What is to be defined for a function, which may be what decorators have made, and how.

    The decorators are applied again where they are known. Else what they have made is taken as it is.
    """
    inner = source.innermost(function)
    if inner is function:
        return inner, source.of_function(inner, decorated=False, can_be_sent=can_be_sent)
    definition = source.of_function(inner, decorated=True, can_be_sent=can_be_sent)
    known = {*inner.__globals__, *definition.closure, *vars(builtins)}
    if isinstance(function, FunctionType) and not (
        definition.is_decorated and definition.read_now <= known
    ):
        return function, source.of_function(function, decorated=False, can_be_sent=can_be_sent)
    return inner, definition


def _content(cell: CellType, name: str, function: FunctionType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        raise ValueError(f"{name!r}, which {function.__name__!r} uses, has no value yet") from None


def _is_there(value: Any) -> bool:
    """Whether its module has it under its name."""
    found: Any = sys.modules.get(getattr(value, "__module__", None) or "")
    for part in getattr(value, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found is value


def _imported(value: Any) -> dict[str, Any]:
    return {"module": value.__module__, "path": value.__qualname__.split(".")}


def _submodules(name: str, attributes: set[str]) -> list[str]:
    """Those that the program has imported and that may be meant: ``import a.b`` makes ``a`` a global, not ``a.b``."""
    prefix = f"{name}."
    return sorted(
        one
        for one in sys.modules
        if one.startswith(prefix) and attributes.issuperset(one.removeprefix(prefix).split("."))
    )
