"""The policy loop: operations over coroutines, cancelling, ending."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cwsandbox._runtime import environment
from cwsandbox._runtime.policy import THREAD_NAME, PolicyLoop


@pytest.fixture
def policy() -> Iterator[PolicyLoop]:
    made = PolicyLoop()
    yield made
    if made.loop.is_running():
        made.close()


def test_value_and_failure(policy: PolicyLoop) -> None:
    async def value() -> str:
        return threading.current_thread().name

    async def failing() -> None:
        raise KeyError("mine")

    assert policy.submit(value).result(10) == THREAD_NAME
    with pytest.raises(KeyError, match="mine"):
        policy.submit(failing).result(10)


def test_it_is_a_daemon_thread_with_a_plain_loop(policy: PolicyLoop) -> None:
    thread = next(t for t in threading.enumerate() if t.name == THREAD_NAME)
    assert thread.daemon
    assert isinstance(policy.loop, asyncio.SelectorEventLoop)


def test_a_stopped_clock_stops_no_timer(
    policy: PolicyLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests of programs freeze the time module's."""

    async def waits() -> float:
        clock = environment.real().clock
        begin = clock()
        await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        return clock() - begin

    for name in ("monotonic", "time", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: 0.0)
    assert policy.submit(waits).result(10) >= 0.02


def test_await_from_another_loop(policy: PolicyLoop) -> None:
    async def value() -> int:
        await asyncio.sleep(0)
        return 7

    async def main() -> int:
        return await policy.submit(value)

    assert asyncio.run(main()) == 7


def started() -> tuple[Any, threading.Event, threading.Event]:
    begun, ended = threading.Event(), threading.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    return work, begun, ended


def test_cancelling_the_operation_cancels_the_coroutine(policy: PolicyLoop) -> None:
    work, begun, ended = started()
    operation = policy.submit(work)
    assert begun.wait(10)
    assert operation._cancel()
    assert ended.wait(10)
    with pytest.raises(concurrent.futures.CancelledError):
        operation.result(10)


def test_cancelled_before_it_began(policy: PolicyLoop) -> None:
    hold, go = threading.Event(), threading.Event()

    def block() -> None:
        hold.set()
        go.wait(10)

    ran: list[int] = []

    async def work() -> None:
        ran.append(1)

    policy.call(block)
    assert hold.wait(10)
    operation = policy.submit(work)
    operation._cancel()
    go.set()

    async def nothing() -> None:
        return None

    policy.submit(nothing).result(10)
    assert ran == []


def test_what_must_be_finished_is_not_cancelled_and_waited_for(policy: PolicyLoop) -> None:
    begun, finish = threading.Event(), asyncio.Event()
    log: list[str] = []

    async def work() -> None:
        begun.set()
        await finish.wait()
        log.append("finished")

    operation = policy.submit(work, finish_at_exit=True)
    assert begun.wait(10)
    operation._cancel()
    policy.loop.call_soon_threadsafe(policy.loop.call_later, 0.05, finish.set)
    policy.close()
    assert log == ["finished"]


def test_close_cancels_the_rest_and_ends_the_thread(policy: PolicyLoop) -> None:
    work, begun, ended = started()
    operation = policy.submit(work)
    assert begun.wait(10)
    policy.close()
    assert ended.is_set()
    assert policy.loop.is_closed()
    with pytest.raises(concurrent.futures.CancelledError):
        operation.result(10)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException])
def test_the_loop_survives_whatever_a_coroutine_raises(
    policy: PolicyLoop, kind: type[BaseException]
) -> None:
    failure = kind("mine")

    async def inner() -> None:
        await asyncio.sleep(0)
        raise failure

    async def outer() -> None:
        await asyncio.gather(*(asyncio.create_task(inner()) for _ in range(3)))

    async def value() -> int:
        return 7

    for work in (inner, outer):
        with pytest.raises(kind) as raised:
            policy.submit(work).result(10)
        assert raised.value is failure
    assert policy.submit(value).result(10) == 7


def test_nor_does_a_callback_or_a_coroutine_that_is_cancelled_at_the_end_stop_it(
    policy: PolicyLoop,
) -> None:
    ended: list[int] = []

    def leave() -> None:
        raise SystemExit(1)

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)
            raise SystemExit(1)

    async def begin() -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(stubborn()) for _ in range(3)]
        await asyncio.sleep(0)
        return tasks

    policy.call(leave)
    tasks = policy.submit(begin).result(10)
    policy.call(leave)
    policy.close()
    assert policy.loop.is_closed()
    assert ended == [1, 1, 1]
    assert all(isinstance(task.exception(), SystemExit) for task in tasks)
