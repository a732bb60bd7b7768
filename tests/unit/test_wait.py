"""wait() and results() over operations that need no service."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import pytest

import cwsandbox
from cwsandbox import OperationRef, Sandbox


def pending() -> tuple[OperationRef[Any], Future[Any]]:
    future: Future[Any] = Future()
    return OperationRef(future), future


def finished(value: Any) -> OperationRef[Any]:
    operation, future = pending()
    if isinstance(value, BaseException):
        future.set_exception(value)
    else:
        future.set_result(value)
    return operation


def test_results() -> None:
    assert cwsandbox.results(finished(1)) == 1
    assert cwsandbox.results([finished(2), finished(3)]) == [2, 3]
    assert cwsandbox.results([]) == []
    with pytest.raises(KeyError):
        cwsandbox.results([finished(1), finished(KeyError("first")), finished(OSError("second"))])


@pytest.mark.parametrize("number", [0, -1])
def test_num_returns_is_checked_even_without_items(number: int) -> None:
    with pytest.raises(ValueError, match="num_returns must be at least 1"):
        cwsandbox.wait([], num_returns=number)
    with pytest.raises(ValueError, match="num_returns must be at least 1"):
        cwsandbox.wait([finished(1)], num_returns=number)


@pytest.mark.parametrize("bad", [1.5, True, "2"])
def test_num_returns_is_an_int(bad: Any) -> None:
    with pytest.raises(TypeError, match="num_returns"):
        cwsandbox.wait([finished(1)], num_returns=bad)


def test_nothing_to_wait_for() -> None:
    assert cwsandbox.wait([]) == ([], [])


@pytest.mark.parametrize("item", [None, 5, "text", Future()])
def test_what_cannot_be_waited_for(item: Any) -> None:
    with pytest.raises(
        TypeError, match=r"waitables\[1\] must be a Sandbox, OperationRef or Process, got"
    ):
        cwsandbox.wait([finished(1), item])


def test_all_and_failures_count_as_done() -> None:
    items = [finished(1), finished(OSError("bad")), finished(2)]
    assert cwsandbox.wait(items) == (items, [])
    assert cwsandbox.wait(items, num_returns=9) == (items, [])


def test_order_and_surplus() -> None:
    (a, a_future), b, c, d = pending(), finished(1), finished(2), finished(3)
    done, others = cwsandbox.wait([a, b, c, d], num_returns=2)
    assert (done, others) == ([b, c], [d, a])
    a_future.set_result(0)
    assert cwsandbox.wait([a, b, c, d], num_returns=2) == ([a, b], [c, d])


def test_duplicates_count_apart() -> None:
    one = finished(1)
    assert cwsandbox.wait([one, one], num_returns=1) == ([one], [one])


@pytest.mark.parametrize("timeout", [0, 0.01, -5])
def test_timeout_returns_what_is_done(timeout: float) -> None:
    (waiting, future), ready = pending(), finished(1)
    assert cwsandbox.wait([waiting, ready], timeout=timeout) == ([ready], [waiting])
    assert not future.cancelled()


def test_it_wakes_when_enough_are_done() -> None:
    (first, first_future), (second, _) = pending(), pending()
    outcome: list[Any] = []
    waiter = threading.Thread(
        target=lambda: outcome.append(cwsandbox.wait([first, second], num_returns=1))
    )
    waiter.start()
    first_future.set_result(1)
    waiter.join(10)
    assert outcome == [([first], [second])]


def test_a_sandbox_that_cannot_start_is_done() -> None:
    sandbox = Sandbox(base_url="http://127.0.0.1:1")
    assert cwsandbox.wait([sandbox], timeout=30) == ([sandbox], [])


def test_waitable_is_a_union_of_what_it_takes() -> None:
    assert Sandbox in cwsandbox.Waitable.__args__
