"""The policy loop: one event loop on a thread of its own.

What is not a command's hot path (create, polling, stop) runs there as ordinary coroutines that await native operations,
so that user code may block, await in any loop, or do both.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from time import CLOCK_MONOTONIC, clock_gettime

from cwsandbox._cwsandbox import Promise
from cwsandbox._runtime.life import ENDING, is_ending, is_hurried
from cwsandbox.exceptions import SandboxNotRunningError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    from cwsandbox._cwsandbox import OperationRef

    _T = TypeVar("_T")

THREAD_NAME = "cwsandbox-policy"
# How long the end of the process waits for sandboxes that are being stopped.
EXIT_PATIENCE = 5.0
_JOIN_TIMEOUT = 5.0


def given_up() -> SandboxNotRunningError | None:
    """At the end of the process: what those are told who wait for an operation that is cancelled then."""
    if not is_ending():
        return None
    return SandboxNotRunningError("the program is ending, and gives up what is not done yet")


class _Loop(asyncio.SelectorEventLoop):
    """Its clock goes on where tests of a program stop that of the ``time`` module, as freezegun does.

    Otherwise a time limit would never pass there, and a wait between two looks never end.
    """

    def time(self) -> float:
        return clock_gettime(CLOCK_MONOTONIC)


class PolicyLoop:
    """The event loop's thread. Its methods may be called from any thread."""

    def __init__(self) -> None:
        # Not new_event_loop(): the user's policy may give a loop of another kind.
        self.loop = _Loop()
        self._jobs: set[_Job] = set()
        self._urgent: set[_Job] = set()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        self._thread.start()

    def submit(
        self, make: Callable[[], Coroutine[Any, Any, _T]], *, finish_at_exit: bool = False
    ) -> OperationRef[_T]:
        """Run the coroutine that ``make`` gives, on the loop. Cancelling the operation cancels it.

        With ``finish_at_exit`` it goes on when its operation is cancelled, and the end of the process waits for it.

        Raises:
            RuntimeError: the loop has ended, with the interpreter.
        """
        job = _Job(self, finish_at_exit)
        self.call(lambda: job.begin(make))
        return job.promise

    def call(self, function: Callable[[], object]) -> None:
        """Run a function on the loop, soon. RuntimeError as from ``submit``."""
        if self._is_closing:
            raise RuntimeError(ENDING)
        self.loop.call_soon_threadsafe(function)

    def close(self) -> None:
        """Wait a while for what must be finished, then cancel the rest and end the thread."""
        finishing = asyncio.run_coroutine_threadsafe(self._finish(), self.loop)
        try:
            finishing.result(EXIT_PATIENCE + 1)
        finally:
            self._is_closing = True
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(_JOIN_TIMEOUT)

    async def _finish(self) -> None:
        tasks = [job.task for job in self._urgent if job.task is not None]
        if tasks and not is_hurried():
            await asyncio.wait(tasks, timeout=EXIT_PATIENCE)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            while not self._is_closing:
                self._survive(self.loop.run_forever)
            while rest := asyncio.all_tasks(self.loop):
                self._survive(lambda: self._cancel_all(rest))
        finally:
            self.loop.close()

    def _survive(self, run: Callable[[], object]) -> None:
        # asyncio lets these two out of its loop, once the task that raised them has them as its outcome. They are for
        # the thread that waits for that, not for this one.
        with contextlib.suppress(SystemExit, KeyboardInterrupt):
            run()

    def _cancel_all(self, tasks: set[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    def _track(self, job: _Job) -> None:
        self._jobs.add(job)
        if job.finish_at_exit:
            self._urgent.add(job)

    def _forget(self, job: _Job) -> None:
        self._jobs.discard(job)
        self._urgent.discard(job)


class _Job:
    """One coroutine on the loop and the operation that stands for it outside."""

    def __init__(self, policy: PolicyLoop, finish_at_exit: bool) -> None:
        self._policy = policy
        self.finish_at_exit = finish_at_exit
        self.task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self.promise: Promise[Any] = Promise(self._on_cancel)

    def begin(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        if self._cancelled:
            return
        self.task = self._policy.loop.create_task(make())
        self._policy._track(self)
        self.task.add_done_callback(self._done)

    def _on_cancel(self) -> None:
        if not self.finish_at_exit:
            self._policy.loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._cancelled = True
        if self.task is not None:
            self.task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._policy._forget(self)
        error = given_up() if task.cancelled() else task.exception()
        if error is not None:
            self.promise.set_exception(error)
        elif task.cancelled():
            self.promise._cancel()
        else:
            self.promise.set_result(task.result())
