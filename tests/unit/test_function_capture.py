"""What a remote function refers to is there when it runs elsewhere."""

from __future__ import annotations

import ast
import asyncio
import collections
import concurrent.futures
import contextlib
import functools
import json
import linecache
import math
import os
import re
import string
import sys
import xml.dom.minidom
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from math import sqrt
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple, TypeVar

import pytest

from cwsandbox import SandboxExecutionError, Session
from cwsandbox._session import source
from unit.remote_calls import JSON, PICKLE, call

BASE = 7
TABLE = {"a": [1, 2], "b": None}
counter = 0
unsendable = object()
only_here: Any
Pair = collections.namedtuple("Pair", "left right")

F = TypeVar("F", bound=Callable[..., Any])


def doubled(value: int) -> int:
    return value * 2


def through(value: int) -> int:
    return doubled(value) + BASE


def is_even(number: int) -> bool:
    return number == 0 or is_odd(number - 1)


def is_odd(number: int) -> bool:
    return number != 0 and is_even(number - 1)


class Shape:
    unit = BASE

    def area(self) -> float:
        return Square(2).area() * self.unit


class Square(Shape):
    def __init__(self, side: int) -> None:
        self.side = side

    def area(self) -> float:
        return math.pow(self.side, 2)


@dataclass
class Point:
    x: int
    y: int = BASE
    tags: list[str] = field(default_factory=list)

    def length(self) -> float:
        return sqrt(self.x**2 + self.y**2)


class Colour(Enum):
    RED = "red"


class Row(NamedTuple):
    name: str
    size: int = BASE


class Outer:
    class Inner:
        value = BASE


class Vault:
    def __init__(self) -> None:
        self.__secret = BASE

    def opened(self) -> int:
        return self.__secret

    @staticmethod
    def shared() -> int:
        __own = Vault()
        return __own.__secret


class Guarded:
    lock = unsendable


class Loud(Square):
    def area(self) -> float:
        return super().area() + 1


def plus_one(function: F) -> F:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs) + 1

    return wrapper  # type: ignore[return-value]


def times(factor: int) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        def wrapper(*args: Any) -> Any:
            return function(*args) * factor

        return wrapper  # type: ignore[return-value]

    return decorate


def test_arguments_and_result() -> None:
    def echo(*args: Any, **kwargs: Any) -> Any:
        return [args, kwargs]

    given = [1, 1.5, "text", "\ud800", None, True, [1, {"a": 10**40}], float("inf")]
    assert call(echo, *given, key={"deep": [()]}) == [given, {"key": {"deep": [[]]}}]


def test_globals_of_all_kinds() -> None:
    def read() -> Any:
        return [BASE, TABLE, through(1), Point(3, 4).length(), Square(3).area(), Shape().area()]

    assert call(read) == [BASE, TABLE, through(1), 5.0, 9.0, 28.0]


def test_a_global_can_be_changed_there() -> None:
    def count() -> int:
        global counter
        counter += 5
        return counter

    assert call(count) == 5
    assert counter == 0


def test_class_bodies_read_globals_and_closures() -> None:
    local = 3

    def build() -> Any:
        class Settings:
            base = BASE
            local_value = local
            names = [letter.upper() for letter in string.ascii_lowercase[:BASE]]  # noqa: RUF012
            BASE_AGAIN = base

        return [Settings.base, Settings.local_value, Settings.names, Settings.BASE_AGAIN]

    assert call(build) == [7, 3, list("ABCDEFG"), 7]


def test_what_a_class_body_sets_itself_is_not_taken_from_the_globals() -> None:
    def build() -> int:
        class Own:
            unsendable = 5
            copy = unsendable

        return Own.copy

    assert call(build) == 5


def test_defaults_have_the_values_of_the_definition() -> None:
    made = []
    for index in range(3):

        def numbered(
            a: int = index, b: Any = (1, 2), *, c: int = doubled(BASE), d: Any = doubled
        ) -> Any:
            return [a, b == (1, 2), c, d(1)]

        made.append(numbered)
    assert [call(each) for each in made] == [[index, True, 14, 2] for index in range(3)]


def made_of(text: str, **names: Any) -> dict[str, Any]:
    """What a module without ``from __future__ import annotations`` has, whose source Python knows."""
    file = f"<{len(linecache.cache)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    made = names | {"__name__": __name__}
    exec(compile(text, file, "exec", dont_inherit=True), made)
    return made


def test_annotations_may_name_what_is_not_there() -> None:
    made = made_of(
        "def f(a: Gone, *b: 'x', c: Gone.Other = 1) -> Gone:\n    return a + c\n",
        Gone=SimpleNamespace(Other=int),
    )
    assert call(made["f"], 2) == 3


def test_annotations_of_a_module_stay_with_it() -> None:
    made = made_of(
        "setting: int = 1\n"
        "def f():\n"
        "    class Local:\n"
        "        size: int = setting\n"
        "    return Local.size, Local.__annotations__['size'].__name__\n"
    )
    assert call(made["f"]) == [1, "int"]


def test_defaults_that_cannot_be_sent_are_evaluated_again() -> None:
    def collect(
        new: int,
        into: Any = set(),  # noqa: B006
        at: Any = re.compile("x"),
    ) -> Any:
        into.add(new)
        return [sorted(into), at.pattern]

    assert call(collect, 1) == [[1], "x"]


def test_f_strings_do_not_depend_on_the_version() -> None:
    def write(table: dict[str, Any], width: int) -> Any:
        return [
            f"{table['a']}{{}} {table['b']!r:>{width}}|{width=}",
            f"""{"a" + "b"} 'x' "y" {table["b"]:<{width}}|""",
            f"{''.join(['a', f'{width:09d}'])}\\ {width!s}",
            f"nothing",  # noqa: F541
        ]

    table = {"a": 1, "b": "{two}"}
    assert call(write, table, 9) == write(table, 9)
    definition = source.of_function(write, decorated=False, can_be_sent=lambda _: True)
    nodes = ast.walk(ast.parse(definition.source))
    assert not [node for node in nodes if isinstance(node, ast.JoinedStr)]


def test_closures() -> None:
    seen = [1]

    def closed(more: int) -> Any:
        def inner() -> int:
            return seen[0] + BASE

        seen.append(more)
        return [seen, inner()]

    assert call(closed, 2) == [[1, 2], 8]
    assert seen == [1]


def test_nonlocal_on_a_captured_variable() -> None:
    total = 10

    def add(number: int) -> int:
        nonlocal total
        total += number
        return total

    assert call(add, 5) == 15
    assert total == 10


def test_texts_and_comments_at_the_left_margin() -> None:
    def outer() -> Any:
        def inner() -> str:
            """
            At the margin.
            """
            text = """
  two
None"""
            # a comment
            return text.lower()

        return [inner(), inner.__doc__]

    assert call(outer) == outer()


def test_functions_that_call_each_other() -> None:
    assert call(is_even, 10) is True

    def ping(count: int) -> Any:
        return pong(count - 1) if count else "ping"

    def pong(count: int) -> Any:
        return ping(count - 1) if count else "pong"

    assert call(ping, 3) == "pong"


def test_remote_functions_that_call_themselves_and_others() -> None:
    session = Session()

    @session.function()
    def factorial(number: int) -> int:
        return number * factorial.local(number - 1) if number else 1

    @session.function()
    def other(number: int) -> int:
        return factorial.local(number) + factorial(number)  # type: ignore[operator,no-any-return]

    assert factorial.local(5) == 120
    assert call(factorial, 5) == 120
    assert call(other, 3) == 12


def test_decorators_go_along() -> None:
    session = Session()

    @session.function()
    @plus_one
    @times(3)
    def decorated(value: int) -> int:
        return value + BASE

    @times(3)
    def bare(value: int) -> int:
        return value + BASE

    def near(function: F) -> F:
        return plus_one(function)

    @near
    def near_by(value: int) -> int:
        return value + BASE

    @plus_one
    def one_more(value: int) -> int:
        return value + BASE

    assert decorated.local(1) == call(decorated, 1) == 25
    assert call(bare, 1) == 24
    assert call(near_by, 1) == call(one_more, 1) == 9

    def uses(value: int) -> int:
        return cached(value)

    assert call(uses, 4) == 8


@functools.lru_cache
def cached(value: int) -> int:
    return doubled(value)


def test_modules_and_their_submodules() -> None:
    def use() -> Any:
        return [os.path.basename("/a/b"), xml.dom.minidom.parseString("<a/>").toxml(), sqrt(4)]

    assert call(use) == use()


def test_modules_of_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may refer to one another, and have names that the standard library has, too."""
    package = tmp_path / "program_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "limits.py").write_text("LIMIT = 5\n")
    (package / "kinds.py").write_text(
        "from . import limits\n"
        "from .limits import LIMIT as most\n"
        "class Base:\n"
        "    names = []\n"
        "    def __init_subclass__(cls):\n"
        "        Base.names.append(cls.__name__)\n"
        "class Child(Base):\n"
        "    def tell(self):\n"
        "        return [self.names, most]\n"
    )
    (tmp_path / "chunk.py").write_text("def mine():\n    return 'mine'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "chunk", raising=False)
    kinds, chunk = import_module("program_package.kinds"), import_module("chunk")
    child, mine = kinds.Child, chunk.mine

    def use() -> Any:
        return [child().tell(), mine()]

    try:
        assert call(use) == [[["Child"], 5], "mine"]
    finally:
        for name in ("chunk", "program_package.kinds", "program_package.limits", "program_package"):
            del sys.modules[name]


def test_statements_of_many_kinds() -> None:
    async def numbers(count: int) -> Any:
        for number in range(count):
            yield number

    @contextlib.contextmanager
    def given(value: int) -> Iterator[int]:
        yield value

    def use(first: Any) -> Any:
        async def collect() -> Any:
            return [number async for number in numbers(3)]

        try:
            raise ExceptionGroup("some", [KeyError(first)])
        except* KeyError as group:
            found = len(group.exceptions)
        match first:
            case [_, *rest] if rest:
                found += sum(rest)
        with given(BASE) as value, concurrent.futures.ThreadPoolExecutor(2) as pool:
            found += sum(pool.map(doubled, [value]))
        return [found, asyncio.run(collect()), (lambda x: x + BASE)(1), (again := 5), again]

    assert call(use, [1, 2]) == use([1, 2])


def test_a_module_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unused(wanted: bool) -> Any:
        return only_here.answer if wanted else 1  # noqa: F821

    monkeypatch.setitem(globals(), "only_here", ModuleType("only_here"))
    assert call(unused, False) == 1
    told = "'only_here' is only_here, which the sandbox does not have: No module named 'only_here'"
    with pytest.raises(SandboxExecutionError, match=told) as caught:
        call(unused, True)
    assert caught.value.exception_type == "NameError"


@pytest.mark.parametrize("mode", [JSON, PICKLE])
def test_classes_of_every_kind(mode: Any) -> None:
    def use() -> Any:
        return [
            Pair(1, 2).right,
            Row("a").size,
            Colour.RED.value,
            Outer.Inner.value,
            isinstance(Square(1), Shape),
            Point(1).tags,
        ]

    assert call(use, mode=mode) == use()


def test_pickles_carry_objects_both_ways() -> None:
    def turn(point: Point, pair: Any, colours: set[Colour], function: Any) -> Any:
        return Point(point.y, point.x), pair, colours, function, Outer.Inner

    given = (Point(1, 2), Pair(1, b"\0"), {Colour.RED}, through)
    assert call(turn, *given, mode=PICKLE) == (Point(2, 1), *given[1:], Outer.Inner)


def test_pickles_carry_what_was_captured() -> None:
    pattern = {1: (Point(1), b"bytes")}

    def captured() -> Any:
        return pattern

    assert call(captured, mode=PICKLE) == pattern


def test_names_that_are_private_to_a_class() -> None:
    assert call(Vault.opened, Vault(), mode=PICKLE) == BASE
    assert call(Vault.shared) == BASE


def test_methods_that_need_no_object_of_this_process() -> None:
    def use(square: Square) -> float:
        return square.area()

    assert call(use, Square(3), mode=PICKLE) == 9
    assert call(Square.area, Square(4), mode=PICKLE) == 16
    assert call(Loud.area, Loud(4), mode=PICKLE) == 17


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((b"x",), r"args\[0\] is a bytes, which is not JSON-serializable"),
        (([1, {"a": {2}}],), r"args\[0\]\[1\]\['a'\] is a set"),
        (([{"a": {1: 2}}],), r"args\[0\]\[0\]\['a'\] \(key 1 has type int\)"),
        ((Point(1),), "is a Point"),
    ],
)
def test_arguments_that_json_does_not_have(args: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        call(json.dumps.__wrapped__ if hasattr(json.dumps, "__wrapped__") else doubled, *args)


def test_an_argument_that_contains_itself() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match=r"args\[0\]|args"):
        call(doubled, loop)
    with pytest.raises(TypeError, match="cannot be pickled"):
        call(doubled, lambda: 1, mode=PICKLE)


def test_what_cannot_be_captured_is_named() -> None:
    def reads() -> Any:
        return unsendable

    def reads_lambda() -> Any:
        return key(1)

    key = lambda value: value  # noqa: E731

    class Local:
        pass

    def makes(wanted: bool) -> Any:
        return Local() if wanted else 1

    def makes_global(wanted: bool) -> Any:
        return Guarded() if wanted else 1

    with pytest.raises(TypeError, match="the global 'unsendable' is a object"):
        call(reads)
    with pytest.raises(ValueError, match="a lambda cannot be sent: write line"):
        call(reads_lambda)
    with pytest.raises(TypeError, match=r"class .*Local' cannot be sent"):
        call(makes, True)
    assert call(makes_global, False) == 1
    told = "class 'Guarded' could not be sent: the global 'unsendable' is a object"
    with pytest.raises(SandboxExecutionError, match=told) as caught:
        call(makes_global, True)
    assert caught.value.exception_type == "NameError"

    def early() -> Any:
        return later

    with pytest.raises(ValueError, match="'later', which 'early' uses, has no value yet"):
        call(early)
    later = 1


def test_what_has_no_source() -> None:
    namespace: dict[str, Any] = {"__name__": __name__}
    exec("def made(): return 1", namespace)
    with pytest.raises(OSError, match="source"):
        call(namespace["made"])
    with pytest.raises(TypeError, match="no Python source"):
        call(len)
    with pytest.raises(ValueError, match="a lambda cannot be sent"):
        call(lambda: 1)
