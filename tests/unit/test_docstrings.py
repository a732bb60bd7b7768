"""Every parameter of what is public is explained where ``help()`` and editors look for it."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

import cwsandbox
from cwsandbox import Sandbox, SandboxDefaults, exceptions

# What says nothing beyond its name, and what Python's own protocols give.
UNSAID = {"self", "cls", "message", "exc_type", "exc_val", "exc_tb", "item"}


def public_classes() -> Iterator[type]:
    for module in (cwsandbox, exceptions):
        for name in dir(module):
            value = getattr(module, name)
            if inspect.isclass(value) and value.__module__.startswith("cwsandbox"):
                yield value


def our_bases(cls: type) -> list[type]:
    return [base for base in cls.__mro__ if base.__module__.startswith("cwsandbox")]


def everything() -> dict[str, tuple[Any, str]]:
    """By name: what can be called, and the text that explains its parameters."""
    found: dict[str, tuple[Any, str]] = {}
    for name in cwsandbox.__all__:
        value = getattr(cwsandbox, name)
        if inspect.isroutine(value):
            found[name] = value, inspect.getdoc(value) or ""
    for cls in public_classes():
        if issubclass(cls, enum.Enum) or getattr(cls, "_is_protocol", False):
            continue
        texts = [vars(base).get("__doc__") or "" for base in our_bases(cls)]
        texts += [
            base.__init__.__doc__ or "" for base in our_bases(cls) if "__init__" in vars(base)
        ]
        found[cls.__name__] = cls, "\n".join(texts)
    for cls in public_classes():
        for name in dir(cls):
            member = getattr(cls, name)
            own = any(name in vars(base) for base in our_bases(cls))
            if (
                own
                and callable(member)
                and not name.startswith("_")
                and not inspect.isclass(member)
            ):
                found[f"{cls.__name__}.{name}"] = member, inspect.getdoc(member) or ""
    return found


EVERYTHING = everything()


def parameters(target: Any) -> list[str]:
    try:
        signature = inspect.signature(target)
    except ValueError:  # made by the package only
        return []
    return [name for name in signature.parameters if name not in UNSAID]


def test_the_walk_finds_what_there_is() -> None:
    expected = {
        "Sandbox",
        "Sandbox.run",
        "Sandbox.exec",
        "SandboxDefaults.from_dict",
        "Secret",
        "wait",
    }
    assert (
        expected | {"StreamWriter.writeline", "Process.wait", "OperationRef"} <= EVERYTHING.keys()
    )
    assert len(parameters(Sandbox.run)) == 35
    assert len(parameters(SandboxDefaults)) == 29
    assert parameters(cwsandbox.StreamWriter.writeline) == ["text", "encoding"]
    assert parameters(cwsandbox.OperationRef) == ["future"]


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_parameter_is_named(name: str) -> None:
    target, text = EVERYTHING[name]
    assert text, "has no docstring"
    unnamed = [one for one in parameters(target) if not re.search(rf"`[*]*{one}\b", text)]
    assert unnamed == []


def item(text: str, name: str) -> str:
    """What a docstring's list says about one parameter, in one line."""
    found = re.search(rf"- ``{name}``: (.*?)(?=\n *\n|\n *- ``|\Z)", text, re.DOTALL)
    assert found is not None, name
    return " ".join(found[1].split())


@pytest.mark.parametrize(
    "name", [one for one in parameters(Sandbox.run) if one in parameters(Sandbox) and one != "args"]
)
def test_run_says_of_an_option_what_the_constructor_says(name: str) -> None:
    run, init = inspect.getdoc(Sandbox.run) or "", inspect.getdoc(Sandbox.__init__) or ""
    if re.search(rf"- ``{name}``:", init):
        assert item(run, name) == item(init, name)
    else:
        assert f"``{name}``" in run


def optional_and_timed() -> list[tuple[str, str]]:
    """(Callable, parameter): those whose default means something by itself, and limits of time that do not tell their
    unit in their names. Exceptions are made by the package."""
    found = []
    for name, (target, _) in EVERYTHING.items():
        if inspect.isclass(target) and issubclass(target, BaseException):
            continue
        for one in parameters(target):
            default = inspect.signature(target).parameters[one].default
            is_time = one.endswith(("timeout", "interval"))
            if is_time or default not in (None, False, (), "", inspect.Parameter.empty):
                found.append((name, one))
    return found


def said_of(name: str, parameter: str) -> str:
    """The list's item on a parameter, or all of the docstring if it has none."""
    _, text = EVERYTHING[name]
    listed = re.search(
        rf"- ``[^`]*\b{parameter}``[^:]*: (.*?)(?=\n *\n|\n *- ``|\Z)", text, re.DOTALL
    )
    return " ".join((listed[1] if listed else text).split())


@pytest.mark.parametrize(("name", "parameter"), optional_and_timed())
def test_defaults_and_units_are_told(name: str, parameter: str) -> None:
    said = said_of(name, parameter)
    if "as for ``" in said or "likewise" in said:
        return  # told there
    assert re.search(r"\b[Dd]efault", said)
    if parameter.endswith(("timeout", "interval")):
        assert "second" in said
