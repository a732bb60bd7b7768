"""Calls that may block, on threads of their own beside the policy loop: code of the user, a daemon's start, transfers.

Each call has a thread, up to a number of them for each group of calls. Beyond it, or beyond what the system allows,
calls wait in order. The threads are daemons, so that one that hangs does not hold up the end of the process, and they
end when nothing waits.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cwsandbox._runtime import life

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

# Providers mostly wait for a network: as many as this may do so at once.
THREADS_MAX = 64
THREAD_NAME = "cwsandbox-call"
# A transfer may take hours. So it has other threads than what it waits for, and not many, since all use one disk.
TRANSFERS_MAX = 16
TRANSFER_NAME = "cwsandbox-transfer"
# What a program does with the new sandboxes of a pool waits for other calls, too, such as a provider of credentials.
SETUPS_MAX = 64
SETUP_NAME = "cwsandbox-setup"
# Unpickling runs code of the program, which may wait for other calls, too. It mostly computes.
RESULTS_MAX = 16
RESULT_NAME = "cwsandbox-result"


class Group(Enum):
    """Calls that share their threads."""

    CALLS = "calls"
    TRANSFERS = "transfers"
    SETUPS = "setups"
    RESULTS = "results"


class _Threads:
    """The threads of one group."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[Call[Any]] = deque()
        self._running = 0

    def add(self, call: Call[Any]) -> None:
        """Queue a call. Raises when there is no thread that could take it, and none can be had."""
        # Held while a thread starts, so that no other call counts on one that is about to be refused.
        with self._lock:
            self._waiting.append(call)
            if self._running >= self._most:
                return
            try:
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
                self._running += 1
            except (RuntimeError, MemoryError):
                if not self._running:
                    self._waiting.pop()
                    raise

    def withdraw(self, call: Call[Any]) -> bool:
        """Take a call back. False when it has begun."""
        with self._lock:
            if call not in self._waiting:
                return False
            self._waiting.remove(call)
            return True

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running -= 1
                    return
                call = self._waiting.popleft()
            call._run()
            del call


class Call(Generic[_T]):
    """One call of a function on a thread of its own. Its methods are for the event loop that it was made in.

    Several coroutines may wait for it. When the last of them gives up before it has begun, it never begins; one that
    has begun cannot be broken off.
    """

    def __init__(self, function: Callable[[], _T], group: Group = Group.CALLS) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        # The outcome is a value here, also when it is a failure: a future does not take every exception.
        self._outcome: asyncio.Future[tuple[_T | None, BaseException | None]] = (
            self._loop.create_future()
        )
        self._waiters = 0
        self.is_withdrawn = False
        self._threads = _threads[group]
        self._threads.add(self)

    @property
    def is_done(self) -> bool:
        return self._outcome.done()

    @property
    def has_failed(self) -> bool:
        return self.is_done and self._outcome.result()[1] is not None

    async def result(self, timeout: float | None) -> _T:
        """What the function returns or raises, whatever that is. ``TimeoutError`` after so many seconds."""
        self._waiters += 1
        try:
            await asyncio.wait([self._outcome], timeout=timeout)
        finally:
            self._waiters -= 1
            if not self._waiters and not self.is_done:
                self.is_withdrawn = self._threads.withdraw(self)
        if not self.is_done:
            raise TimeoutError
        value, failure = self._outcome.result()
        if isinstance(failure, asyncio.CancelledError):
            # Raised as it is, it would say that whoever waits was cancelled.
            raise RuntimeError(f"the function called raised {failure!r}") from failure
        if failure is not None:
            raise failure
        return value  # type: ignore[return-value]

    def _run(self) -> None:
        outcome: tuple[_T | None, BaseException | None]
        try:
            outcome = self._function(), None
        except BaseException as failure:
            outcome = None, failure
        try:
            self._loop.call_soon_threadsafe(self._outcome.set_result, outcome)
        except RuntimeError:
            # The loop is closed: the process is ending.
            return


def _fresh() -> dict[Group, _Threads]:
    return {
        Group.CALLS: _Threads(THREAD_NAME, THREADS_MAX),
        Group.TRANSFERS: _Threads(TRANSFER_NAME, TRANSFERS_MAX),
        Group.SETUPS: _Threads(SETUP_NAME, SETUPS_MAX),
        Group.RESULTS: _Threads(RESULT_NAME, RESULTS_MAX),
    }


_threads = _fresh()


def _forget() -> None:
    global _threads
    _threads = _fresh()


life.when_forked(_forget)
