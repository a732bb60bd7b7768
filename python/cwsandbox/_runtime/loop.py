"""The process's one policy loop, started with the first operation on a sandbox. Loads asyncio not before."""

from __future__ import annotations

import sys

from cwsandbox._runtime import life

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    from cwsandbox._cwsandbox import OperationRef, Promise
    from cwsandbox._runtime.policy import PolicyLoop

    _T = TypeVar("_T")

_policy: PolicyLoop | None = None
# Kept from the first operation on: in the last finalizers of a program nothing can be imported any more.
_promise: type[Promise[Any]] | None = None
# The parents' loops in a child. Closing one would unregister the parent's descriptors from the epoll set both share.
_lost: list[PolicyLoop] = []


def policy() -> PolicyLoop:
    """The policy loop, started if needed. RuntimeError as from ``check``."""
    global _policy, _promise
    if _policy is not None:
        return _policy
    check()
    from cwsandbox._cwsandbox import Promise
    from cwsandbox._runtime.policy import PolicyLoop

    life.install()
    with life.lock():
        if _policy is None:
            _policy, _promise = PolicyLoop(), Promise
            life.install_here()
        return _policy


def has_begun() -> bool:
    """Whether any operation can have begun in this process. Loads nothing."""
    return _policy is not None


def check() -> None:
    """RuntimeError where the loop cannot be started: the interpreter is ending, or its threads are no threads."""
    if life.is_ending() or sys.is_finalizing():
        raise RuntimeError(life.ENDING)
    # Whoever has patched has loaded these.
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    for name, patched in (
        ("gevent", gevent and any(map(gevent.is_module_patched, ("threading", "socket")))),
        ("eventlet", eventlet and any(map(eventlet.is_monkey_patched, ("thread", "socket")))),
    ):
        if patched:
            raise RuntimeError(
                f"{name} has patched the standard library, with which a blocking call of cwsandbox would never return: "
                "use threads or asyncio (or uvloop), or call cwsandbox in a process of its own that is not patched"
            )


def submit(
    make: Callable[[], Coroutine[Any, Any, _T]], *, finish_at_exit: bool = False
) -> OperationRef[_T]:
    """As ``PolicyLoop.submit``, on the process's loop."""
    return policy().submit(make, finish_at_exit=finish_at_exit)


def done(value: _T) -> OperationRef[_T]:
    """An operation that is over."""
    global _promise
    if _promise is None:
        from cwsandbox._cwsandbox import Promise

        _promise = Promise
    promise: Promise[_T] = _promise()
    promise.set_result(value)
    return promise


def close() -> None:
    """End the loop, if it was started, at the end of the process."""
    if _policy is not None:
        _policy.close()


def _forget() -> None:
    global _policy
    if _policy is not None:
        _lost.append(_policy)
        _policy = None


life.when_forked(_forget)
life.when_exiting(close)
