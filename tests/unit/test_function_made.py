"""What a function refers to that is made by a call, and means more than a value: it is made again in the sandbox."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Generic, NewType, ParamSpec, TypeVar, cast

import pytest

from unit.remote_calls import JSON, PICKLE, call

Item = TypeVar("Item")
Key = TypeVar("Key", bound=str)
Params = ParamSpec("Params")
Metres = NewType("Metres", float)
Height = NewType("Height", Metres)


class Box(Generic[Item]):
    def __init__(self, item: Item) -> None:
        self.item = item

    def get(self) -> Item:
        return self.item


@dataclass
class Pair(Box[Item], Generic[Key, Item]):
    key: Key


def open_boxes() -> Any:
    pair = Pair[str, int](key="k")
    pair.item = 2
    return [Box(1).get(), Box[str]("x").item, pair.get(), pair.key]


@pytest.mark.parametrize("mode", [JSON, PICKLE])
def test_generic_classes(mode: Any) -> None:
    assert call(open_boxes, mode=mode) == [1, "x", 2, "k"]
    assert call(give_box, mode=PICKLE).get() == 5


def give_box() -> Box[int]:
    return Box(5)


@pytest.mark.parametrize("mode", [JSON, PICKLE])
def test_new_types(mode: Any) -> None:
    assert call(measure, mode=mode) == [2.5, "Height", "x"]


def measure() -> Any:
    height = Height(Metres(2.5))
    return [height, Height.__name__, cast(Item, "x")]


def test_callables_with_parameters() -> None:
    assert call(wrap_and_call) == 3


class Wrapper(Generic[Params, Item]):
    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, *args: Params.args, **kwargs: Params.kwargs) -> Any:
        return self.function(*args, **kwargs)


def wrap_and_call() -> Any:
    return Wrapper[[int], int](abs)(-3)


class Circle:
    pass


@functools.singledispatch
def name(shape: Any) -> str:
    return "something"


@name.register
def _(shape: int) -> str:
    return "a number"


@name.register(list)
@name.register(tuple)
def several(shape: Any) -> str:
    return ", ".join(map(name, shape))


@name.register
def name_circle(shape: Circle) -> str:
    return "a circle"


def names() -> Any:
    return [name("x"), name(1), name([1, Circle()]), name((2,)), several([Circle()])]


@pytest.mark.parametrize("mode", [JSON, PICKLE])
def test_single_dispatch(mode: Any) -> None:
    assert call(names, mode=mode) == names()
    assert call(name, 1, mode=mode) == "a number"
    # Its own registrations are left alone.
    assert names() == ["something", "a number", "a number, a circle", "a number", "a circle"]
