"""``typing.get_type_hints`` on whatever is public: documentation tools, pydantic and frameworks ask for it."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import cwsandbox
from cwsandbox import Sandbox, exceptions
from cwsandbox._types.annotations import on_demand

if typing.TYPE_CHECKING:
    from cwsandbox import ResourceOptions


def public_classes() -> Iterator[tuple[str, type]]:
    for module in (cwsandbox, exceptions):
        for name in dir(module):
            value = getattr(module, name)
            if inspect.isclass(value) and value.__module__.startswith("cwsandbox"):
                yield name, value


def functions_of(cls: type) -> Iterator[tuple[str, Any]]:
    """The functions behind the public members of a class, those it inherits in the package included."""
    for base in cls.__mro__:
        if not base.__module__.startswith("cwsandbox"):
            continue
        for name, member in vars(base).items():
            if name.startswith("_") and not (name.startswith("__") and name.endswith("__")):
                continue
            for found in (member, *(getattr(member, at, None) for at in ("__func__", "fget"))):
                if inspect.isfunction(found) and found.__module__.startswith("cwsandbox"):
                    yield f"{cls.__name__}.{name}", found


def everything() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, cls in public_classes():
        found[name] = cls
        found.update(functions_of(cls))
    for name in cwsandbox.__all__:
        value = getattr(cwsandbox, name)
        if inspect.isroutine(value):
            found[name] = value
    return found


EVERYTHING = everything()


def test_the_walk_finds_what_there_is() -> None:
    expected = {
        "Sandbox",
        "Sandbox.run",
        "Sandbox.__init__",
        "Sandbox.exec",
        "SandboxDefaults",
        "wait",
        "results",
    }
    expected |= {
        "Sandbox.status",
        "set_auth_mode",
        "SandboxFailedError.__init__",
        "Process",
    }
    assert expected <= EVERYTHING.keys()


@pytest.mark.parametrize("name", EVERYTHING)
def test_hints_are_types(name: str) -> None:
    hints = typing.get_type_hints(EVERYTHING[name])
    assert not any(isinstance(hint, str | typing.ForwardRef) for hint in hints.values())
    annotations = getattr(EVERYTHING[name], "__annotations__", {})
    assert annotations.keys() <= hints.keys()


def test_what_they_are() -> None:
    hints = typing.get_type_hints(Sandbox.exec)
    assert hints["timeout_seconds"] == float | None
    assert hints["return"] is cwsandbox.Process
    assert typing.get_type_hints(Sandbox.run)["auth"] == cwsandbox.AuthConfig | None
    stop = typing.get_type_hints(Sandbox.list)["return"]
    assert typing.get_origin(stop) is cwsandbox.OperationRef
    assert typing.get_args(stop) == (list[Sandbox],)
    assert typing.get_type_hints(cwsandbox.SandboxError)["exec_result"] == (
        cwsandbox.ProcessResult | None
    )


READERS: list[Callable[[Any], Any]] = [
    lambda function: inspect.signature(function).parameters["resources"].annotation,
    lambda function: inspect.signature(function, eval_str=True).parameters["resources"].annotation,
    lambda function: inspect.get_annotations(function)["resources"],
    lambda function: inspect.get_annotations(function, eval_str=True)["resources"],
    lambda function: function.__annotations__["resources"],
    lambda function: dict(function.__annotations__)["resources"],
    lambda function: {**function.__annotations__}["resources"],
    lambda function: function.__annotations__.copy()["resources"],
    lambda function: function.__annotations__.get("resources"),
    lambda function: dict(function.__annotations__.items())["resources"],
    lambda function: dict(
        zip(function.__annotations__, function.__annotations__.values(), strict=True)
    )["resources"],
]


@pytest.mark.parametrize("reader", READERS)
def test_every_way_of_reading_them_gives_types(reader: Callable[[Any], Any]) -> None:
    @on_demand
    def fresh(resources: ResourceOptions | dict[str, Any] | None) -> None: ...

    assert reader(fresh) == cwsandbox.ResourceOptions | dict[str, Any] | None


def test_a_name_that_nothing_has() -> None:
    @on_demand
    def odd(value: NoSuchType) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    for _ in range(2):
        with pytest.raises(NameError, match="NoSuchType"):
            typing.get_type_hints(odd)


def test_a_type_that_was_put_in_its_place_stays() -> None:
    def double() -> None: ...

    double.__annotations__ = Sandbox.run.__annotations__.copy()
    double.__annotations__["tags"] = int
    assert typing.get_type_hints(double)["tags"] is int


def test_reading_hints_loads_what_they_name_and_importing_does_not() -> None:
    script = """
import sys, cwsandbox
from cwsandbox import Sandbox
assert "typing" not in sys.modules
import typing
typing.get_type_hints(Sandbox.run)
assert "cwsandbox._types.network" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
