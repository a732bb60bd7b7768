"""What an await yields stands in for a future: for asyncio's tasks and for other drivers of coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import ModuleType
from typing import Any

import pytest

from conformance.grpc_peer import Call, GrpcPeer
from native.conftest import Run
from native.instance import ExecError, load
from native.tasks import Once, complete_together, pause, wait, waiting


def test_only_what_is_yielded_is_a_future(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()
        awaiter = promise.__await__()
        assert not asyncio.isfuture(awaiter)
        assert awaiter.send(None) is awaiter
        assert asyncio.isfuture(awaiter)
        promise.set_result(4)
        await pause()
        assert asyncio.isfuture(awaiter)
        with pytest.raises(StopIteration) as caught:
            awaiter.send(None)
        assert caught.value.value == 4
        assert not asyncio.isfuture(awaiter)

    run(main())


def test_the_protocol_of_a_future(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise, calls = core.Promise(), []
        future = promise.__await__()
        with pytest.raises(asyncio.InvalidStateError, match="not done"):
            future.result()
        with pytest.raises(RuntimeError, match="no event loop"):
            future.get_loop()
        assert future.cancel() is False
        assert future.done() is False
        next(future)
        assert future._asyncio_future_blocking is True
        future._asyncio_future_blocking = False
        assert future._asyncio_future_blocking is False
        with pytest.raises(AttributeError, match="deleted"):
            del future._asyncio_future_blocking
        assert future.get_loop() is asyncio.get_running_loop()
        assert (future.done(), future.cancelled()) == (False, False)
        for ask in (future.result, future.exception):
            with pytest.raises(asyncio.InvalidStateError, match="not done"):
                ask()
        future.add_done_callback(calls.append)
        assert future.remove_done_callback(print) == 0
        assert future.remove_done_callback(calls.append) == 1
        assert future.remove_done_callback(calls.append) == 0
        future.add_done_callback(calls.append, context=None)
        with pytest.raises(RuntimeError, match="one callback"):
            future.add_done_callback(print)
        promise.set_result(1)
        assert calls == []  # not before the loop's turn
        await pause()
        assert calls == [future]
        assert (future.done(), future.cancelled()) == (True, False)
        assert future.result() is future.exception() is None
        assert future.cancel() is False
        future.add_done_callback(calls.append)
        assert calls == [future]
        await pause()
        assert calls == [future, future]
        future.close()
        assert future.result() is None

    run(main())


@pytest.mark.parametrize("message", [(), (None,), ("why",)])
def test_cancelled_as_a_future(core: ModuleType, run: Run, message: tuple[Any, ...]) -> None:
    async def main() -> None:
        promise, calls = core.Promise(), []
        future = promise.__await__()
        next(future)
        future.add_done_callback(calls.append)
        assert future.cancel(*message) is True
        assert future.cancel(*message) is False
        assert (future.done(), future.cancelled()) == (True, True)
        assert calls == []
        await pause()
        assert calls == [future]
        for ask in (future.result, future.exception, lambda: next(future)):
            with pytest.raises(asyncio.CancelledError) as caught:
                ask()
            assert caught.value.args == tuple(filter(None, message))
        assert promise._done()  # stepped on, the cancellation has reached the operation
        assert future.cancelled()

    run(main())


def test_driven_by_what_is_no_task(core: ModuleType, run: Run) -> None:
    """A driver of coroutines that knows futures by their callbacks only."""

    def drive(coroutine: Coroutine[Any, Any, Any], done: asyncio.Future[Any]) -> None:
        def go_on(future: Any = None) -> None:
            try:
                if future is None:
                    yielded = coroutine.send(None)
                else:
                    future.result()
                    yielded = coroutine.send(None)
            except StopIteration as stop:
                done.set_result(stop.value)
            else:
                assert asyncio.isfuture(yielded)
                yielded._asyncio_future_blocking = False
                yielded.add_done_callback(go_on)

        go_on()

    async def main() -> None:
        promises = [core.Promise() for _ in range(3)]

        async def sum_of() -> int:
            return sum([await promise for promise in promises])

        done = asyncio.get_running_loop().create_future()
        drive(sum_of(), done)
        for n, promise in enumerate(promises):
            await pause()
            promise.set_result(n)
        assert await done == 3

    run(main())


def test_tasks_written_in_python(core: ModuleType, run: Run) -> None:
    make = asyncio.tasks._PyTask  # type: ignore[attr-defined]

    async def main() -> None:
        promises = [core.Promise() for _ in range(3)]
        tasks = [make(wait(promise)) for promise in promises]
        await pause()
        complete_together(*promises[:2])
        assert tasks[2].cancel("enough")
        assert await tasks[0] == 0
        assert await tasks[1] == 1
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await tasks[2]
        assert promises[2]._done()

    run(main())


def test_awaited_by_two(core: ModuleType, run: Run) -> None:
    """One awaitable has one task: the second is refused, the first goes on."""

    async def main() -> None:
        promise = core.Promise()
        once = Once(promise.__await__())
        first, second = await waiting(wait(once), wait(once))
        with pytest.raises(RuntimeError, match="being awaited already"):
            await second
        promise.set_result(8)
        assert await first == 8

    run(main())


def test_stepped_without_a_callback(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()
        awaiter = promise.__await__()
        assert next(awaiter) is awaiter
        awaiter._asyncio_future_blocking = False
        assert next(awaiter) is awaiter
        assert awaiter._asyncio_future_blocking is True
        with pytest.raises(RuntimeError, match="wasn't used with future"):
            next(awaiter)
        with pytest.raises(RuntimeError, match="already awaited"):
            next(awaiter)
        promise.set_result(1)
        await pause()

    run(main())


def test_asked_for_by_what_makes_the_value(peer: GrpcPeer, run: Run) -> None:
    """The value is made by Python code, which must not end the await that it is made for."""
    core = load()
    awaiters: list[Any] = []

    @peer.command("greet")
    async def greet(call: Call) -> None:
        await call.exit(0)

    def make_result(process: Any, returncode: int, check: bool) -> int:
        (awaiter,) = awaiters
        for ask in (lambda: next(awaiter), awaiter.close, lambda: awaiter.throw(KeyError)):
            with pytest.raises(ValueError, match="being asked for already"):
                ask()
        assert not asyncio.isfuture(awaiter)
        assert not awaiter.done()
        assert not awaiter.cancel()
        return returncode + 40

    core.configure("exec", make_value=make_result, make_error=ExecError)
    sandbox = core.SandboxCore()
    sandbox.open(core.Channel(peer.base_url), "sb-1")

    async def main() -> None:
        awaiters.append(sandbox.exec(["greet"]).__await__())
        assert await Once(awaiters[0]) == 40

    run(main())
