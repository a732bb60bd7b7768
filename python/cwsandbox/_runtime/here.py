"""Coroutines that run in the caller's own event loop, and are operations like those of the policy loop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from cwsandbox._cwsandbox import Promise
from cwsandbox._runtime import loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import TypeVar

    from cwsandbox._cwsandbox import OperationRef

    _T = TypeVar("_T")

_tasks: set[asyncio.Task[Any]] = set()


def submit_here(make: Callable[[], Coroutine[Any, Any, _T]]) -> OperationRef[_T]:
    """Run the coroutine that ``make`` gives in the running event loop; on the policy loop where none is running.

    Cancelling the operation cancels it. The operation is cancelled when the event loop ends first.
    """
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        return loop.submit(make)

    def cancel() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            here.call_soon_threadsafe(task.cancel)

    promise: Promise[_T] = Promise(cancel)
    task = here.create_task(make())
    _tasks.add(task)
    task.add_done_callback(lambda done: _end(promise, done))
    return promise


def _end(promise: Promise[Any], task: asyncio.Task[Any]) -> None:
    _tasks.discard(task)
    if task.cancelled():
        promise._cancel()
    elif (error := task.exception()) is not None:
        promise.set_exception(error)
    else:
        promise.set_result(task.result())
