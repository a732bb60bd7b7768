"""Coroutines that run in the caller's own event loop, and are operations like those of the policy loop."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Any

from cwsandbox._cwsandbox import Promise
from cwsandbox._runtime import loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import TypeVar

    from cwsandbox._cwsandbox import OperationRef

    _T = TypeVar("_T")

# The loop keeps a task by a timer that never expires.
_NEVER = 10 * 365 * 86400.0


def submit_here(
    make: Callable[[], Coroutine[Any, Any, _T]], when_lost: Callable[[], object]
) -> OperationRef[_T]:
    """Run the coroutine that ``make`` gives in the running event loop; on the policy loop where none is running.

    Cancelling the operation cancels it. If the event loop is closed or dropped before it has ended, the operation is
    cancelled, and ``when_lost`` is called, on whatever thread that happens.
    """
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        return loop.submit(make)

    def cancel() -> None:
        task = task_ref()
        if task is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                task.get_loop().call_soon_threadsafe(task.cancel)

    promise: Promise[_T] = Promise(cancel)
    task = here.create_task(make())
    # The operation must not keep a loop alive that nobody runs any more.
    task_ref = weakref.ref(task)
    keeper = _Keeper(task)
    lost = weakref.finalize(keeper, _lose, promise, when_lost)
    lost.atexit = False
    # Weak, too: the task would refer to its own keeper.
    timer_ref = weakref.ref(here.call_later(_NEVER, keeper))

    def end(done: asyncio.Task[_T]) -> None:
        lost.detach()
        if (timer := timer_ref()) is not None:
            timer.cancel()
        _end(promise, done)

    task.add_done_callback(end)
    return promise


class _Keeper:
    """Refers to a task for as long as the event loop refers to this."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task

    def __call__(self) -> None:
        """For the timer's sake."""


def _lose(promise: Promise[Any], when_lost: Callable[[], object]) -> None:
    promise._cancel()
    when_lost()


def _end(promise: Promise[Any], task: asyncio.Task[Any]) -> None:
    if task.cancelled():
        promise._cancel()
    elif (error := task.exception()) is not None:
        promise.set_exception(error)
    else:
        promise.set_result(task.result())
