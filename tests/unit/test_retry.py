"""Delays and budgets, with clock and chance in hand."""

from __future__ import annotations

import pytest

from cwsandbox._service.retry import Burst, is_capacity_failure, poll_intervals, server_delay
from cwsandbox._service.rpc import Code, RpcFailure
from unit.service import failure


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def upper(low: float, high: float) -> float:
    return high


def lower(low: float, high: float) -> float:
    return low


def test_poll_intervals() -> None:
    following = poll_intervals()
    assert [round(following(), 4) for _ in range(8)] == [
        0.2,
        0.3,
        0.45,
        0.675,
        1.0125,
        1.5188,
        2.0,
        2.0,
    ]


def test_first_pause() -> None:
    following = poll_intervals(first=0.01)
    assert [round(following(), 4) for _ in range(4)] == [0.01, 0.015, 0.0225, 0.0338]


def test_a_starting_sandbox_is_looked_at_more_often() -> None:
    age = iter([0, 1, 2, 3, 14.9, 15.0, 16.0])
    following = poll_intervals(lambda: next(age))
    assert [round(following(), 4) for _ in range(7)] == [0.2, 0.3, 0.45, 0.5, 0.5, 1.5188, 2.0]


def test_jitter_grows_up_to_two_seconds() -> None:
    ranges: list[tuple[float, float]] = []

    def note(low: float, high: float) -> float:
        ranges.append((low, round(high, 4)))
        return high

    burst = Burst(1000, Clock(), note)
    for _ in range(8):
        burst.delay(None)
    assert [low for low, _ in ranges] == [0.2] * 8
    assert [high for _, high in ranges] == [0.3, 0.45, 0.675, 1.0125, 1.5188, 2.0, 2.0, 2.0]


def test_budget_runs_from_the_first_failure() -> None:
    clock = Clock()
    burst = Burst(30, clock, lower)
    clock.time += 1000
    assert burst.remaining() == 30
    assert burst.delay(None) == 0.2
    clock.time += 29.9
    assert burst.delay(None) == pytest.approx(0.1)
    clock.time += 0.1
    assert burst.delay(None) is None


def test_budget_zero_means_no_second_try() -> None:
    assert Burst(0, Clock(), upper).delay(None) is None
    assert Burst(0, Clock(), upper).delay(5) is None


@pytest.mark.parametrize(("hint", "expected"), [(3, 3), (25, 10), (0, 0.3), (-1, 0.3), (None, 0.3)])
def test_hints(hint: float | None, expected: float) -> None:
    assert Burst(30, Clock(), upper).delay(hint) == pytest.approx(expected)


def test_a_hint_is_cut_to_the_budget() -> None:
    assert Burst(2, Clock(), upper).delay(9) == 2


def test_call_timeouts() -> None:
    clock = Clock()
    assert Burst(30, clock, upper).call_timeout(15) == 15
    assert Burst(5, clock, upper).call_timeout(15) == 5
    assert Burst(0, clock, upper).call_timeout(15) == 15
    burst = Burst(30, clock, upper)
    burst.delay(None)
    clock.time += 20
    assert burst.call_timeout(15) == 10
    clock.time += 9.99
    assert burst.call_timeout(15) == 0.1


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (failure(Code.RESOURCE_EXHAUSTED, reason="CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED"), True),
        (failure(Code.UNAVAILABLE, reason="CWSANDBOX_RUNNER_OVERLOADED"), True),
        (failure(Code.INVALID_ARGUMENT, reason="CWSANDBOX_RUNNER_OVERLOADED"), False),
        (failure(Code.UNAVAILABLE, reason="CWSANDBOX_RUNNER_OVERLOADED", domain="x.com"), False),
        (failure(Code.UNAVAILABLE, reason="CWSANDBOX_RUNNER_UNAVAILABLE"), False),
        (failure(Code.RESOURCE_EXHAUSTED), False),
    ],
)
def test_capacity_failures(refusal: RpcFailure, expected: bool) -> None:
    assert is_capacity_failure(refusal) is expected


@pytest.mark.parametrize(
    ("refusal", "attempt", "left", "expected"),
    [
        (failure(Code.UNAVAILABLE, delay=1), 1, 300, 1.2),
        (failure(Code.UNAVAILABLE, delay=1), 2, 300, 1.2),
        (failure(Code.UNAVAILABLE, delay=1), 3, 300, None),
        (failure(Code.UNAVAILABLE, delay=0), 1, 300, 0),
        (failure(Code.UNAVAILABLE, delay=10), 1, 300, 12),
        (failure(Code.UNAVAILABLE, delay=10.5), 1, 300, None),
        (failure(Code.UNAVAILABLE, delay=-1), 1, 300, None),
        (failure(Code.UNAVAILABLE), 1, 300, None),
        (failure(Code.RESOURCE_EXHAUSTED, delay=1), 1, 300, None),
        (failure(Code.UNAVAILABLE, delay=1), 1, 6.2, 1.2),
        (failure(Code.UNAVAILABLE, delay=1), 1, 6.1, None),
        (failure(Code.UNAVAILABLE, delay=1, reason="X", domain="x.com"), 1, 300, 1.2),
    ],
)
def test_server_requested_retries(
    refusal: RpcFailure, attempt: int, left: float, expected: float | None
) -> None:
    assert server_delay(refusal, attempt, left, upper) == (
        None if expected is None else pytest.approx(expected)
    )


def test_chance_only_adds() -> None:
    delays = {
        server_delay(failure(Code.UNAVAILABLE, delay=5), 1, 300, chance)
        for chance in (lower, upper)
    }
    assert delays == {5.0, 6.0}
