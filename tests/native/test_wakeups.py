"""How an event loop's tasks are woken: many in one go, each as if it were the only one."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from native.conftest import Run
from native.tasks import complete_together, pause, wait, waiting


class Stop(BaseException):
    """As KeyboardInterrupt, but no loop knows it."""


# ---- being woken -----------------------------------------------------------------------------------------------------


def test_task_and_context_are_the_waiters_own(core: ModuleType, run: Run) -> None:
    mine = contextvars.ContextVar("mine", default=0)
    seen = []

    async def one(n: int, promise: Any) -> None:
        mine.set(n)
        await promise
        seen.append((n, mine.get(), asyncio.current_task()))

    async def main() -> None:
        promises = [core.Promise() for _ in range(5)]
        tasks = await waiting(*[one(n, promise) for n, promise in enumerate(promises)])
        complete_together(*promises)
        await asyncio.gather(*tasks)
        assert seen == [(n, n, task) for n, task in enumerate(tasks)]
        assert mine.get() == 0

    run(main())


def test_in_the_order_of_completion(core: ModuleType, run: Run) -> None:
    seen: list[int] = []

    async def one(promise: Any) -> None:
        seen.append(await promise)

    async def main() -> None:
        promises = [core.Promise() for _ in range(50)]
        tasks = await waiting(*[one(promise) for promise in reversed(promises)])
        complete_together(*promises)
        await asyncio.gather(*tasks)
        assert seen == list(range(50))

    run(main())


def test_other_callbacks_get_their_turn(core: ModuleType, run: Run) -> None:
    """Two tasks that wake each other for ever do not keep the loop from anything else."""

    async def main() -> None:
        stop = False
        balls = [core.Promise(), core.Promise()]
        turns = 0

        async def play(side: int) -> None:
            nonlocal turns
            while not stop:
                await balls[side]
                balls[side] = core.Promise()
                turns += 1
                balls[1 - side].set_result(None)

        tasks = await waiting(play(0), play(1))
        balls[0].set_result(None)
        await asyncio.sleep(0.02)
        stop = True
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert turns > 2

    run(main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_loop_loses_no_wake_up(
    core: ModuleType, run: Run, kind: type[BaseException]
) -> None:
    async def interrupted(promise: Any) -> None:
        await promise
        raise kind

    def work(loop: asyncio.AbstractEventLoop) -> None:
        promises = [core.Promise() for _ in range(4)]
        coroutines = [wait(promises[0]), interrupted(promises[1]), *map(wait, promises[2:])]
        tasks = loop.run_until_complete(waiting(*coroutines))
        complete_together(*promises)
        with pytest.raises(kind):
            loop.run_forever()
        assert tasks[0].result() == 0
        assert isinstance(tasks[1].exception(), kind)
        assert loop.run_until_complete(asyncio.gather(*tasks[2:])) == [2, 3]

    async def own_loop() -> type[asyncio.AbstractEventLoop]:
        return type(asyncio.get_running_loop())

    loop = run(own_loop())()
    try:
        work(loop)
    finally:
        loop.close()


def test_other_exceptions_of_a_callback_are_told(core: ModuleType, run: Run) -> None:
    told: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        error = Stop("in a callback")

        def fail(future: Any) -> None:
            raise error

        promises = [core.Promise() for _ in range(3)]
        awaiter = promises[0].__await__()
        next(awaiter)
        awaiter.add_done_callback(fail)
        tasks = await waiting(wait(promises[1]), wait(promises[2]))
        complete_together(*promises)
        assert await asyncio.gather(*tasks) == [1, 2]
        assert told[0]["exception"] is error
        assert "fail" in told[0]["message"]
        awaiter.close()

    run(main())


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_loop_inside_of_a_step(core: ModuleType, depth: int) -> None:
    """As nest_asyncio does it: the inner loop gets what the outer one has taken already, and what comes later."""
    loop = asyncio.new_event_loop()
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))

    def run_inside(future: asyncio.Future[Any]) -> Any:
        outer = asyncio.current_task()
        assert outer is not None
        asyncio._leave_task(loop, outer)  # type: ignore[attr-defined]
        while not future.done():
            loop._run_once()  # type: ignore[attr-defined]
        asyncio._enter_task(loop, outer)  # type: ignore[attr-defined]
        return future.result()

    async def nesting(left: int) -> Any:
        """Is woken together with two others, and waits for these and one that is completed later in a loop inside."""
        promises = [core.Promise() for _ in range(4)]
        inner = [asyncio.create_task(wait(promise)) for promise in promises[1:]]
        if left:
            inner.append(asyncio.create_task(nesting(left - 1)))
        asyncio.get_running_loop().call_soon(complete_together, *promises[:3])
        threading.Timer(0.01, promises[3].set_result, [3]).start()
        await promises[0]
        return [run_inside(task) for task in inner]

    expected: list[Any] = [1, 2, 3]
    for _ in range(depth - 1):
        expected = [1, 2, 3, expected]
    try:
        for _ in range(3):
            assert loop.run_until_complete(nesting(depth - 1)) == expected
        assert loop.run_until_complete(wait_in_turn(core, 10)) == list(range(10))
    finally:
        loop.close()
    assert told == []


async def wait_in_turn(core: ModuleType, count: int) -> list[Any]:
    promises = [core.Promise() for _ in range(count)]
    threading.Thread(target=complete_together, args=promises).start()
    return [await promise for promise in promises]


def test_debug_mode_tells_which_task_is_slow(
    core: ModuleType, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 0.0
        promise = core.Promise()
        (task,) = await waiting(wait(promise))
        task.set_name("the-slow-one")
        caplog.clear()
        promise.set_result(1)
        assert await task == 1

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(main())
    assert any("the-slow-one" in message for message in caplog.messages)


# ---- cancelling ------------------------------------------------------------------------------------------------------


def test_the_message_of_a_cancellation(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        (task,) = await waiting(wait(core.Promise()))
        assert task.cancel("enough of it")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("enough of it",)

    run(main())


def by_cancelling(tasks: list[asyncio.Task[Any]]) -> None:
    assert tasks[1].cancel("by a neighbour")


def by_dropping(tasks: list[asyncio.Task[Any]]) -> None:
    tasks[1].get_coro().close()  # type: ignore[union-attr]


@pytest.mark.parametrize("end", [by_cancelling, by_dropping])
def test_ended_by_one_woken_just_before(
    core: ModuleType, run: Run, end: Callable[[list[asyncio.Task[Any]]], None]
) -> None:
    """Both letters were taken from the mailbox; the second task is ended in the step of the first."""

    async def main() -> None:
        promises = [core.Promise() for _ in range(3)]
        tasks: list[asyncio.Task[Any]] = []

        async def first() -> None:
            await promises[0]
            end(tasks)

        tasks += await waiting(first(), *map(wait, promises[1:]))
        complete_together(*promises)
        assert await asyncio.gather(tasks[0], tasks[2]) == [None, 2]
        if end is by_cancelling:
            with pytest.raises(asyncio.CancelledError, match="by a neighbour"):
                await tasks[1]
        else:
            # As with asyncio's own futures: a task whose coroutine was closed learns of it when it is stepped.
            assert tasks[1].cancel()
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                await tasks[1]
        assert promises[1].result() == 1
        assert await promises[1] == 1
        await pause()

    run(main())


def test_awaiters_that_are_gone_before_their_letters(core: ModuleType, run: Run) -> None:
    """The second one goes between being taken from the mailbox and being woken, the third before that."""

    async def main() -> None:
        promises = [core.Promise() for _ in range(3)]
        awaiters = [promise.__await__() for promise in promises]
        for awaiter in awaiters:
            next(awaiter)
        del awaiter
        awaiters[0].add_done_callback(lambda _: awaiters.pop(1))
        complete_together(*promises)
        del awaiters[2]
        gone = [weakref.ref(promise) for promise in promises[1:]]
        del promises
        await pause()
        assert len(awaiters) == 1
        gc.collect()
        assert [ref() for ref in gone] == [None, None]

    run(main())


def test_cancelled_while_nothing_waits(core: ModuleType, run: Run) -> None:
    """Cancelled before its first step into the await: the task tells the awaiter, which tells the operation."""

    async def main() -> None:
        promise = core.Promise()

        async def cancel_myself() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel("before")
            await promise

        with pytest.raises(asyncio.CancelledError, match="before"):
            await asyncio.create_task(cancel_myself())
        assert promise._done()

    run(main())


def test_shield_and_timeout(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await asyncio.shield(promise)
        assert not promise._done()
        promise.set_result(5)
        assert await promise == 5
        lost = core.Promise()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await lost
        assert lost._done()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    run(main())


def test_a_task_that_does_not_mind_being_cancelled(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        first, second = core.Promise(), core.Promise()

        async def stubborn() -> Any:
            try:
                await first
            except asyncio.CancelledError:
                return await second

        (task,) = await waiting(stubborn())
        task.cancel()
        await pause()
        assert first._done()
        second.set_result(6)
        assert await task == 6

    run(main())


def test_loop_closed_before_the_cancellation(core: ModuleType) -> None:
    promise = core.Promise()
    loop = asyncio.new_event_loop()
    (task,) = loop.run_until_complete(waiting(wait(promise)))
    loop.close()
    with pytest.raises(RuntimeError, match="loop is closed"):
        task.cancel()
    task._log_destroy_pending = False  # type: ignore[attr-defined]


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_awaiting_without_memory(core: ModuleType, run: Run) -> None:
    testcapi = pytest.importorskip("_testcapi")

    async def main() -> None:
        await asyncio.wait_for(wait_for_one(), 30)
        failures = 0
        for after in range(12):
            promise = core.Promise()
            coroutine = wait(promise)
            testcapi.set_nomemory(after, after + 1)
            try:
                coroutine.send(None)
            except MemoryError:
                failures += 1
            finally:
                testcapi.remove_mem_hooks()
            coroutine.close()
            assert promise.set_result(1) is True
            assert await promise == 1
        assert failures > 0

    async def wait_for_one() -> None:
        promise = core.Promise()
        asyncio.get_running_loop().call_soon(promise.set_result, 1)
        await promise

    run(main())
