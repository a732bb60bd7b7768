"""Awaiting operations: on asyncio and uvloop, from several loops and threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from native.conftest import Run


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def pause() -> None:
    """Lets everything that is ready in the loop run."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_done_one_needs_no_trip_through_the_loop(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()
        promise.set_result(1)
        turned = []
        asyncio.get_running_loop().call_soon(turned.append, True)
        assert await promise == 1
        assert turned == []

    run(main())


def test_completed_by_a_thread(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()
        threading.Timer(0.02, promise.set_result, [7]).start()
        assert await promise == 7
        assert await promise == 7
        assert promise.result() == 7

    run(main())


def test_completed_in_the_loop(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()
        asyncio.get_running_loop().call_soon(promise.set_result, 7)
        assert await promise == 7

    run(main())


@pytest.mark.parametrize("value", [None, (), (1, 2), ValueError("a value"), StopIteration(3)])
def test_any_object_can_be_the_value(core: ModuleType, run: Run, value: object) -> None:
    async def main() -> None:
        done, pending = core.Promise(), core.Promise()
        done.set_result(value)
        assert await done is value
        asyncio.get_running_loop().call_soon(pending.set_result, value)
        assert await pending is value

    run(main())


def test_exception_is_the_same_instance(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise, error = core.Promise(), ValueError("broken")
        asyncio.get_running_loop().call_soon(promise.set_exception, error)
        for _ in range(3):
            with pytest.raises(ValueError, match="broken") as caught:
                await promise
            assert caught.value is error

    run(main())


def test_several_awaiters_in_one_loop(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()

        async def one() -> Any:
            return await promise

        tasks = [asyncio.create_task(one()) for _ in range(100)]
        await pause()
        value = object()
        promise.set_result(value)
        assert all(got is value for got in await asyncio.gather(*tasks))

    run(main())


def test_many_at_once(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promises = [core.Promise() for _ in range(2000)]

        def complete() -> None:
            for n, promise in enumerate(promises):
                promise.set_result(n)

        thread = threading.Thread(target=complete)

        async def one(promise: Any) -> Any:
            return await promise

        tasks = [asyncio.create_task(one(promise)) for promise in promises]
        await pause()
        thread.start()
        assert await asyncio.gather(*tasks) == list(range(2000))
        thread.join()
        assert core.stats()["mailboxes"] == 1

    run(main())


def test_loops_in_several_threads(core: ModuleType, run: Run) -> None:
    ready = threading.Barrier(9)
    promises = [core.Promise() for _ in range(200)]

    async def main() -> list[Any]:
        async def one(promise: Any) -> Any:
            return await promise

        tasks = [asyncio.create_task(one(promise)) for promise in promises]
        await pause()
        await asyncio.to_thread(ready.wait, 30)
        return await asyncio.gather(*tasks)

    with ThreadPoolExecutor(8) as pool:
        loops = [pool.submit(run, main()) for _ in range(8)]
        ready.wait(30)
        for n, promise in enumerate(promises):
            promise.set_result(n)
        for loop in loops:
            assert loop.result(30) == list(range(200))


def test_begun_in_one_loop_and_awaited_in_the_next(core: ModuleType, run: Run) -> None:
    made = []

    async def first() -> None:
        promise = core.Promise()
        made.append(promise)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(wrap(promise)), 0.01)

    async def wrap(promise: Any) -> Any:
        with contextlib.suppress(asyncio.CancelledError):
            return await promise

    async def second(promise: Any) -> Any:
        asyncio.get_running_loop().call_soon(promise.set_result, 9)
        return await promise

    run(first())
    # The first loop ended with the await in it cancelled, which cancels the operation: that is the rule.
    assert made[0]._done()
    fresh = core.Promise()

    async def give_up_without_cancelling() -> None:
        coroutine = wrap(fresh)
        coroutine.send(None)
        coroutine.close()

    run(give_up_without_cancelling())
    assert not fresh._done()
    assert run(second(fresh)) == 9


def test_many_loops_one_after_another(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()
        threading.Timer(0.001, promise.set_result, [1]).start()
        assert await promise == 1

    run(main())
    before = descriptors()
    for _ in range(50):
        run(main())
    gc.collect()
    assert descriptors() <= before + 2
    assert core.stats()["mailboxes"] <= 1


def test_closed_loops_have_no_mailbox(core: ModuleType, run: Run) -> None:
    kept = []

    async def main() -> None:
        kept.append(asyncio.get_running_loop())
        promise = core.Promise()
        asyncio.get_running_loop().call_soon(promise.set_result, 1)
        await promise
        assert core.stats()["mailboxes"] == 1

    for _ in range(3):
        run(main())
    assert core.stats()["mailboxes"] == 0


def test_loop_closed_with_an_await_in_it(core: ModuleType) -> None:
    """Nobody is woken in a loop that is closed; nothing is lost, leaked or touched."""

    async def wait(it: Any) -> Any:
        return await it

    def leave_one_behind() -> None:
        promise = core.Promise()
        loop = asyncio.new_event_loop()
        task = loop.create_task(wait(promise))
        loop.run_until_complete(pause())
        assert core.stats()["mailboxes"] == 1
        loop.close()
        promise.set_result(3)  # its letter goes into a mailbox that nobody drains
        assert promise.result() == 3
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        del task, loop
        gc.collect()
        assert core.stats()["mailboxes"] == 0

    gc.collect()
    gc.freeze()  # the collections in between look at what is new only, and not at all modules a hundred times
    try:
        allocations = core.stats()["allocations"]
        for _ in range(100):
            leave_one_behind()
        # What earlier tests left to the I/O thread may be freed meanwhile; a leak here would be a hundred blocks more.
        assert core.stats()["allocations"] <= allocations
    finally:
        gc.unfreeze()


def test_cancelling_the_task_cancels_the_operation(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        cancelled = []
        promise = core.Promise(lambda: cancelled.append(True))

        async def wait() -> None:
            await promise

        task = asyncio.create_task(wait())
        await pause()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled == [True]
        with pytest.raises(concurrent.futures.CancelledError):
            promise.result(0)

    run(main())


def test_wait_for_that_expires_cancels_the_operation(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(promise, 0.01)
        assert promise._done()
        assert promise.set_result(1) is False

    run(main())


def test_cancelled_operation_cancels_all_that_await_it(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()

        async def wait() -> None:
            await promise

        tasks = [asyncio.create_task(wait()) for _ in range(3)]
        await pause()
        promise._cancel()
        for task in tasks:
            with pytest.raises(asyncio.CancelledError):
                await task
        with pytest.raises(asyncio.CancelledError):
            await promise

    run(main())


def test_task_cancelled_when_the_value_is_there_already(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()

        async def wait() -> Any:
            return await promise

        task = asyncio.create_task(wait())
        await pause()
        promise.set_result(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await promise == 5
        assert promise.result() == 5

    run(main())


def test_other_exceptions_thrown_in_do_not_cancel(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()

        async def wait() -> None:
            await promise

        for thrown in (ValueError("x"), GeneratorExit()):
            coroutine = wait()
            coroutine.send(None)
            with pytest.raises(type(thrown)) as caught:
                coroutine.throw(thrown)
            assert caught.value is thrown
        coroutine = wait()
        coroutine.send(None)
        with pytest.raises(KeyError):
            coroutine.throw(KeyError)
        assert not promise._done()
        promise.set_result(1)
        await pause()

    run(main())


def test_awaiter_is_used_once(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()
        promise.set_result(4)
        awaiter = promise.__await__()
        with pytest.raises(StopIteration) as caught:
            next(awaiter)
        assert caught.value.value == 4
        with pytest.raises(RuntimeError, match="already awaited"):
            next(awaiter)
        closed = core.Promise().__await__()
        closed.close()
        with pytest.raises(RuntimeError, match="already awaited"):
            closed.send(None)
        with pytest.raises(TypeError, match="takes an exception"):
            promise.__await__().throw(3)

    run(main())


def test_pending_one_needs_a_loop(core: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        next(core.Promise().__await__())


def test_gather_wait_and_task_groups(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        promises = [core.Promise() for _ in range(3)]
        for n, promise in enumerate(promises):
            loop.call_soon(promise.set_result, n)
        assert await asyncio.gather(*promises) == [0, 1, 2]

        async def wait(promise: Any) -> Any:
            return await promise

        promises = [core.Promise(), core.Promise()]
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                for promise in promises:
                    group.create_task(wait(promise))
                await pause()
                promises[0].set_exception(ValueError("first"))
        assert [type(error) for error in caught.value.exceptions] == [ValueError]
        assert promises[1]._done()

    run(main())


def test_wrapped_future_completed_elsewhere(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        future: concurrent.futures.Future[int] = concurrent.futures.Future()
        operation = core.OperationRef(future)
        threading.Timer(0.01, future.set_result, [3]).start()
        assert await operation == 3

    run(main())


def test_an_operation_of_one_loop_awaited_in_another(core: ModuleType, run: Run) -> None:
    """A coroutine on one loop, wrapped, is awaited in a second one, as policy code does it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    inner = core.Promise()

    async def work() -> int:
        return await inner + 1

    async def main() -> None:
        operation = core.OperationRef(asyncio.run_coroutine_threadsafe(work(), loop))
        asyncio.get_running_loop().call_soon(inner.set_result, 41)
        assert await operation == 42

    try:
        run(main())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert inner.result() == 41


def test_dropped_coroutine_lets_go_of_everything(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()
        allocations = core.stats()["allocations"]
        gone = weakref.ref(promise)

        async def wait(it: Any) -> None:
            await it

        coroutine = wait(promise)
        coroutine.send(None)
        assert core.stats()["allocations"] > allocations - 1
        del coroutine, promise
        gc.collect()
        assert gone() is None

    run(main())


def test_letters_given_up_after_they_were_posted(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        async def wait(it: Any) -> Any:
            return await it

        first = core.Promise()
        asyncio.get_running_loop().call_soon(first.set_result, None)
        await first
        allocations = core.stats()["allocations"]
        for _ in range(100):
            promise = core.Promise()
            coroutine = wait(promise)
            coroutine.send(None)
            promise.set_result(1)
            coroutine.close()
            del coroutine, promise
        await pause()
        assert core.stats()["allocations"] <= allocations

    run(main())


@pytest.fixture
def eager_factory() -> Iterator[Any]:
    if sys.version_info < (3, 12):
        pytest.skip("eager tasks came with 3.12")
    yield asyncio.eager_task_factory


def test_eager_tasks(core: ModuleType, run: Run, eager_factory: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def wait(it: Any) -> Any:
            return await it

        done, pending = core.Promise(), core.Promise()
        done.set_result(1)
        assert eager_factory(loop, wait(done)).done()
        task = eager_factory(loop, wait(pending))
        pending.set_result(2)
        assert await task == 2

    run(main())
