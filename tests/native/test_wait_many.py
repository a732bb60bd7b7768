"""wait_many: some of many."""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType

import pytest

from native.signals import InterruptedByTest, signal_soon


def test_none(core: ModuleType) -> None:
    assert core.wait_many([], 0, None) == []
    assert core.wait_many([core.Promise()], 0, None) == [False]


def test_those_done_count(core: ModuleType) -> None:
    promises = [core.Promise() for _ in range(4)]
    promises[1].set_result(1)
    promises[3].set_exception(ValueError())
    assert core.wait_many(promises, 2, None) == [False, True, False, True]
    promises[0]._cancel()
    assert core.wait_many(tuple(promises), 3, None) == [True, True, False, True]


def test_waits_for_the_count(core: ModuleType) -> None:
    promises = [core.Promise() for _ in range(5)]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(core.wait_many, promises, 3, None)
        promises[4].set_result(0)
        promises[0].set_result(0)
        assert not waiting.done()
        promises[2].set_result(0)
        assert waiting.result(30) == [True, False, True, False, True]


def test_time_is_up(core: ModuleType) -> None:
    promises = [core.Promise(), core.Promise()]
    promises[0].set_result(0)
    for timeout in (0, 0.01, -1):
        assert core.wait_many(promises, 2, timeout) == [True, False]


def test_same_operation_several_times(core: ModuleType) -> None:
    promise = core.Promise()
    threading.Timer(0.02, promise.set_result, [1]).start()
    assert core.wait_many([promise] * 3, 3, None) == [True] * 3


def test_more_than_wanted(core: ModuleType) -> None:
    for _ in range(50):
        promises = [core.Promise() for _ in range(20)]
        thread = threading.Thread(target=lambda those=promises: [p.set_result(1) for p in those])
        thread.start()
        assert sum(core.wait_many(promises, 1, None)) >= 1
        thread.join()
        assert core.wait_many(promises, 20, None) == [True] * 20


def test_wrapped_futures(core: ModuleType) -> None:
    future: Future[int] = Future()
    operation = core.OperationRef(future)
    threading.Timer(0.02, future.set_result, [1]).start()
    assert core.wait_many([operation], 1, 30) == [True]


def test_interrupted(core: ModuleType) -> None:
    promise = core.Promise()
    with pytest.raises(InterruptedByTest), signal_soon(handler_raises=True):
        core.wait_many([promise], 1, None)
    gone = weakref.ref(promise)
    del promise
    assert gone() is None


def test_bad_arguments(core: ModuleType) -> None:
    promise = core.Promise()
    with pytest.raises(
        ValueError, match="count is 2, it must be between 0 and the number of operations, 1"
    ):
        core.wait_many([promise], 2, None)
    with pytest.raises(ValueError, match="count is -1"):
        core.wait_many([promise], -1, None)
    with pytest.raises(TypeError, match=r"operations\[1\] must be an OperationRef, got \d"):
        core.wait_many([promise, 3], 1, None)
    with pytest.raises(RuntimeError, match="__init__ was not called"):
        core.wait_many([core.OperationRef.__new__(core.OperationRef)], 1, None)
    with pytest.raises(TypeError, match="missing the argument 'timeout'"):
        core.wait_many([promise], 1)
