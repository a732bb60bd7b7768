"""Variables that several functions share: in the sandbox they share them, too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from cwsandbox import SandboxExecutionError
from unit.remote_calls import JSON, PICKLE, call


@pytest.mark.parametrize("mode", [JSON, PICKLE])
def test_a_helper_changes_what_the_function_reads(mode: Any) -> None:
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return count

    def run() -> Any:
        return [step(), step(), count]

    assert call(run, mode=mode) == [1, 2, 2]
    assert count == 0


def test_two_helpers_share() -> None:
    items: list[int] = []
    total = 0

    def add(number: int) -> None:
        nonlocal total
        items.append(number)
        total += number

    def told() -> Any:
        return [items, total]

    def run() -> Any:
        add(2)
        add(3)
        return told()

    assert call(run) == [[2, 3], 5]


def counter(start: int) -> tuple[Callable[[], int], Callable[[], int]]:
    count = start

    def step() -> int:
        nonlocal count
        count += 1
        return count

    def read() -> int:
        return count

    return step, read


def test_variables_of_one_name_are_apart() -> None:
    step, read = counter(10)
    other, read_other = counter(20)

    def run() -> Any:
        step()
        other()
        other()
        return [read(), read_other()]

    assert call(run) == [11, 22]


def test_decorated_functions_share() -> None:
    calls = 0

    def counted(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            return function(*args)

        return wrapper

    @counted
    def double(number: int) -> int:
        return 2 * number

    def run() -> Any:
        return [double(1), double(2), calls]

    assert call(run) == [2, 4, 2]


def test_a_function_that_replaces_another() -> None:
    def first() -> str:
        return "first"

    def second() -> str:
        return "second"

    def swap() -> None:
        nonlocal first
        first = second

    def run() -> Any:
        before = first()
        swap()
        return [before, first()]

    assert call(run) == ["first", "second"]


def test_functions_that_refer_to_each_other_share() -> None:
    depth = 0

    def even(number: int) -> bool:
        nonlocal depth
        depth += 1
        return number == 0 or odd(number - 1)

    def odd(number: int) -> bool:
        nonlocal depth
        depth += 1
        return number != 0 and even(number - 1)

    def run() -> Any:
        return [even(4), depth]

    assert call(run) == [True, 5]


def test_what_a_traceback_shows_of_such_a_function() -> None:
    limit = 3

    def inner() -> None:
        raise ValueError(limit)

    def run() -> None:
        inner()

    with pytest.raises(SandboxExecutionError) as caught:
        call(run)
    assert "_cws_" not in caught.value.__notes__[0]

    def names() -> Any:
        return [inner.__qualname__, run.__qualname__]

    assert call(names) == ["inner", "run"]


def test_a_default_that_refers_back() -> None:
    def first(number: int) -> Any:
        return second() if number else "end"

    def second(again: Any = first) -> Any:
        return ["second", again(0)]

    assert call(first, 1) == ["second", "end"]
    assert call(second) == ["second", "end"]


STATE: dict[str, Any] = {"count": 0}
ALIAS = STATE


def count_in(state: dict[str, Any] = STATE) -> None:
    state["count"] += 1


def count_by_all_names() -> Any:
    held = STATE
    count_in()
    ALIAS["count"] += 1
    return [STATE["count"], held is ALIAS]


@pytest.mark.parametrize("mode", [JSON, PICKLE])
def test_one_value_of_several_names(mode: Any) -> None:
    assert call(count_by_all_names, mode=mode) == [2, True]
    assert STATE == {"count": 0}


def test_a_closure_and_a_global_with_one_value() -> None:
    state = STATE

    def run() -> Any:
        state["count"] = 5
        return STATE["count"]

    assert call(run) == 5
