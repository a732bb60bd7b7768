"""OperationRef and Promise as threads see them."""

from __future__ import annotations

import concurrent.futures
import copy
import gc
import math
import pickle
import signal
import sys
import threading
import traceback
import weakref
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from types import GenericAlias, ModuleType
from typing import Any

import pytest

from native.signals import InterruptedByTest, signal_soon


def test_value_stays(core: ModuleType) -> None:
    promise = core.Promise()
    value = object()
    assert promise.set_result(value) is True
    assert promise.result() is value
    assert promise.result(timeout=0) is value
    assert promise.result(5) is value


@pytest.mark.parametrize("value", [None, (), (1, 2), ValueError("a value"), StopIteration(3)])
def test_any_object_can_be_the_value(core: ModuleType, value: object) -> None:
    promise = core.Promise()
    promise.set_result(value)
    assert promise.result() is value


def test_first_completion_wins(core: ModuleType) -> None:
    promise = core.Promise()
    assert promise.set_result(1) is True
    assert promise.set_result(2) is False
    assert promise.set_exception(ValueError()) is False
    assert promise.result() == 1


def test_same_exception_each_time_and_its_traceback_does_not_grow(core: ModuleType) -> None:
    promise = core.Promise()
    error = ValueError("broken")
    promise.set_exception(error)
    lengths = set()
    for _ in range(5):
        with pytest.raises(ValueError, match="broken") as caught:
            promise.result()
        assert caught.value is error
        lengths.add(len(traceback.extract_tb(error.__traceback__)))
    assert len(lengths) == 1


def test_exception_of_the_operation_keeps_its_cause(core: ModuleType) -> None:
    promise = core.Promise()
    error, cause = ValueError(), KeyError()
    error.__cause__ = cause
    promise.set_exception(error)
    with pytest.raises(ValueError):
        promise.result()
    assert error.__cause__ is cause


def test_done(core: ModuleType) -> None:
    promise = core.Promise()
    assert promise._done() is False
    promise.set_result(None)
    assert promise._done() is True


@pytest.mark.parametrize("timeout", [0, 0.001, -1, -math.inf])
def test_too_slow(core: ModuleType, timeout: float) -> None:
    promise = core.Promise()
    with pytest.raises(TimeoutError):
        promise.result(timeout)
    assert promise.set_result(1) is True
    assert promise.result(timeout) == 1


def test_bad_arguments(core: ModuleType) -> None:
    promise = core.Promise()
    with pytest.raises(ValueError, match="timeout must be a number of seconds >= 0, got nan"):
        promise.result(math.nan)
    with pytest.raises(TypeError):
        promise.result("1")
    with pytest.raises(TypeError, match="at most 1 positional"):
        promise.result(1, 2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'time'"):
        promise.result(time=1)
    with pytest.raises(TypeError, match="multiple values for argument 'timeout'"):
        promise.result(1, timeout=1)
    with pytest.raises(TypeError, match="exception instance, got <class 'ValueError'>"):
        promise.set_exception(ValueError)
    with pytest.raises(TypeError, match="StopIteration"):
        promise.set_exception(StopIteration())
    with pytest.raises(TypeError, match="on_cancel must be callable or None"):
        core.Promise(3)
    assert promise._done() is False


def test_completed_by_another_thread(core: ModuleType) -> None:
    promise = core.Promise()
    threading.Timer(0.05, promise.set_result, [7]).start()
    assert promise.result() == 7


def test_many_threads_get_the_one_value(core: ModuleType) -> None:
    promise = core.Promise()
    value = object()
    with ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(promise.result, 30) for _ in range(16)]
        promise.set_result(value)
        assert all(one.result() is value for one in waiting)


def test_two_threads_race_to_complete(core: ModuleType) -> None:
    for _ in range(200):
        promise = core.Promise()
        with ThreadPoolExecutor(2) as pool:
            won = list(pool.map(promise.set_result, ["a", "b"]))
        assert sorted(won) == [False, True]
        assert promise.result() == ("a" if won[0] else "b")


def test_signal_handler_interrupts_the_wait(core: ModuleType) -> None:
    promise = core.Promise()
    with pytest.raises(InterruptedByTest), signal_soon(handler_raises=True):
        promise.result()
    promise.set_result(1)
    assert promise.result() == 1


def test_wait_goes_on_after_a_harmless_signal(core: ModuleType) -> None:
    promise = core.Promise()
    with signal_soon(handler_raises=False) as seen:
        threading.Timer(0.15, promise.set_result, [1]).start()
        assert promise.result(30) == 1
    assert seen == [signal.SIGALRM]


def test_cancel(core: ModuleType) -> None:
    calls = []
    promise = core.Promise(lambda: calls.append(threading.get_ident()))
    assert promise._cancel() is True
    assert promise._cancel() is True
    assert calls == [threading.get_ident()]
    assert promise._done() is True
    assert promise.set_result(1) is False
    assert promise.set_exception(ValueError()) is False
    for _ in range(2):
        with pytest.raises(CancelledError):
            promise.result()


def test_cancel_wakes_who_waits(core: ModuleType) -> None:
    promise = core.Promise()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(promise.result, 30)
        promise._cancel()
        with pytest.raises(CancelledError):
            waiting.result()


def test_cancel_of_a_finished_one(core: ModuleType) -> None:
    promise = core.Promise(lambda: pytest.fail("nothing was cancelled"))
    promise.set_result(1)
    assert promise._cancel() is False
    assert promise.result() == 1


def test_failing_on_cancel_is_reported_and_cancels_all_the_same(
    core: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_type))
    promise = core.Promise(on_cancel=lambda: 1 / 0)
    assert promise._cancel() is True
    assert reported == [ZeroDivisionError]
    with pytest.raises(CancelledError):
        promise.result()


def test_on_cancel_is_let_go_of_at_the_end(core: ModuleType) -> None:
    class Holder:
        def method(self) -> None: ...

    for end in ("set_result", "_cancel"):
        holder = Holder()
        gone = weakref.ref(holder)
        promise = core.Promise(holder.method)
        del holder
        assert gone() is not None
        promise.set_result(1) if end == "set_result" else promise._cancel()
        assert gone() is None


# ---- around a concurrent.futures.Future ----


def test_wraps_a_future(core: ModuleType) -> None:
    future: Future[Any] = Future()
    operation = core.OperationRef(future)
    assert operation._done() is False
    with pytest.raises(TimeoutError):
        operation.result(0)
    value = object()
    future.set_result(value)
    assert operation._done() is True
    assert operation.result() is value


def test_wraps_a_future_that_is_done(core: ModuleType) -> None:
    future: Future[int] = Future()
    future.set_result(5)
    assert core.OperationRef(future=future).result() == 5


def test_wraps_a_future_that_fails(core: ModuleType) -> None:
    future: Future[int] = Future()
    error = ValueError()
    operation = core.OperationRef(future)
    future.set_exception(error)
    with pytest.raises(ValueError) as caught:
        operation.result()
    assert caught.value is error


def test_cancels_the_wrapped_future(core: ModuleType) -> None:
    future: Future[int] = Future()
    operation = core.OperationRef(future)
    assert operation._cancel() is True
    assert future.cancelled()
    with pytest.raises(CancelledError):
        operation.result()


def test_wrapped_future_cancelled_by_its_owner(core: ModuleType) -> None:
    future: Future[int] = Future()
    operation = core.OperationRef(future)
    future.cancel()
    with pytest.raises(CancelledError):
        operation.result()
    assert operation._cancel() is True


def test_wrapped_future_that_runs_cannot_be_cancelled(core: ModuleType) -> None:
    future: Future[int] = Future()
    future.set_running_or_notify_cancel()
    operation = core.OperationRef(future)
    assert operation._cancel() is False
    future.set_result(5)
    assert operation.result() == 5


def test_wraps_only_futures(core: ModuleType) -> None:
    with pytest.raises(TypeError, match=r"concurrent\.futures\.Future, got \d"):
        core.OperationRef(3)
    with pytest.raises(TypeError, match="missing the argument 'future'"):
        core.OperationRef()


def test_init_cannot_be_left_out_or_repeated(core: ModuleType) -> None:
    operation = core.OperationRef.__new__(core.OperationRef)
    for use in (operation.result, operation._done, operation._cancel, operation.__await__):
        with pytest.raises(RuntimeError, match="__init__ was not called"):
            use()
    operation = core.OperationRef(Future())
    with pytest.raises(RuntimeError, match="called twice"):
        operation.__init__(Future())


# ---- as Python objects ----


def test_names(core: ModuleType) -> None:
    assert core.OperationRef.__module__ == "cwsandbox"
    assert core.OperationRef.__qualname__ == "OperationRef"
    assert issubclass(core.Promise, core.OperationRef)
    assert isinstance(core.OperationRef[int], GenericAlias)
    assert core.OperationRef[int].__args__ == (int,)


def test_subclass(core: ModuleType) -> None:
    class Mine(core.Promise):  # type: ignore[misc, name-defined]
        def __init__(self, extra: int) -> None:
            super().__init__(lambda: self.seen.append(extra))
            self.seen: list[int] = []

    mine = Mine(4)
    mine._cancel()
    assert mine.seen == [4]


def test_is_no_data(core: ModuleType) -> None:
    promise = core.Promise()
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot pickle"):
            attempt(promise)
    assert promise != core.Promise()
    assert hash(promise) == hash(promise)


def test_private_types_cannot_be_changed(core: ModuleType) -> None:
    for each in (core.Channel, core.SandboxCore):
        with pytest.raises(TypeError):
            each.result = None


@pytest.mark.parametrize("name", ["FileOperation", "Output"])
def test_made_by_the_core_only(core: ModuleType, name: str) -> None:
    with pytest.raises(TypeError, match="cannot create"):
        getattr(core, name)()


def test_weak_references(core: ModuleType) -> None:
    promise = core.Promise()
    gone = weakref.ref(promise)
    assert gone() is promise
    del promise
    assert gone() is None


def test_cycles_are_collected(core: ModuleType) -> None:
    by_value, by_error, by_callback = core.Promise(), core.Promise(), core.Promise()
    by_callback.__init__(partial(print, by_callback))
    by_value.set_result([by_value])
    error = ValueError(by_error)
    by_error.set_exception(error)
    wrapped: Future[Any] = Future()
    by_future = core.OperationRef(wrapped)
    wrapped.operation = by_future  # type: ignore[attr-defined]
    gone = [weakref.ref(one) for one in (by_value, by_error, by_callback, by_future)]
    del by_value, by_error, by_callback, by_future, error, wrapped
    gc.collect()
    assert [one() for one in gone] == [None] * 4


def test_core_memory_is_given_back(core: ModuleType) -> None:
    before = core.stats()["allocations"]
    for _ in range(100):
        core.Promise()._cancel()
        core.Promise().set_result(1)
        core.OperationRef(concurrent.futures.Future())
    gc.collect()
    assert core.stats()["allocations"] <= before
