"""What there is once per process: the policy loop, started with the first operation on a sandbox.

Also what happens at ``fork()`` and at exit. Loads neither asyncio nor the C core before they are needed.
"""

from __future__ import annotations

import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    from cwsandbox._cwsandbox import OperationRef
    from cwsandbox._policy import PolicyLoop

    _T = TypeVar("_T")


class _Process:
    """What there is once per process; a child made by ``fork()`` has its own."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.lock = threading.Lock()
        self.policy: PolicyLoop | None = None


_process = _Process(0)
# The parent's loops in a child. Closing one would unregister the parent's descriptors from the epoll set both share.
_lost: list[_Process] = []
_at_fork: list[Callable[[], object]] = []
_at_exit: list[Callable[[], object]] = []


def generation() -> int:
    """Changes with each ``fork()``: what was made in another generation belongs to another process."""
    return _process.generation


def policy() -> PolicyLoop:
    """The policy loop, started if needed."""
    process = _process
    if process.policy is not None:
        return process.policy
    from cwsandbox._policy import PolicyLoop

    with process.lock:
        if process.policy is None:
            process.policy = PolicyLoop()
        return process.policy


def lock() -> threading.Lock:
    """Guards what is made once, at first use."""
    return _process.lock


def submit(
    make: Callable[[], Coroutine[Any, Any, _T]], *, finish_at_exit: bool = False
) -> OperationRef[_T]:
    """As ``PolicyLoop.submit``, on the process's loop."""
    return policy().submit(make, finish_at_exit=finish_at_exit)


def done(value: _T) -> OperationRef[_T]:
    """An operation that is over."""
    from cwsandbox._native import Promise

    promise: Promise[_T] = Promise()
    promise.set_result(value)
    return promise


def when_forked(hook: Callable[[], object]) -> None:
    """Call ``hook`` in each child of ``fork()``."""
    _at_fork.append(hook)


def when_exiting(hook: Callable[[], object]) -> None:
    """Call ``hook`` at the end of the process, after the policy loop has ended."""
    _at_exit.append(hook)


def _after_fork_in_child() -> None:
    global _process
    _lost.append(_process)
    _process = _Process(_process.generation + 1)
    for hook in _at_fork:
        hook()


def _exit() -> None:
    try:
        if _process.policy is not None:
            _process.policy.close()
    finally:
        for hook in _at_exit:
            hook()


def install() -> None:
    """Have ``fork()`` and the end of the process looked after from now on. Called once, by the module of the C core."""
    import atexit

    os.register_at_fork(after_in_child=_after_fork_in_child)
    atexit.register(_exit)
