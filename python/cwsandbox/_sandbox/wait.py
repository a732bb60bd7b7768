"""Waiting for several operations at once, and collecting their values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, overload

from cwsandbox import _cwsandbox
from cwsandbox._cwsandbox import OperationRef, Process, TerminalSession
from cwsandbox._sandbox.sandbox import Sandbox
from cwsandbox._types import check

Waitable = Sandbox | OperationRef[Any] | Process | TerminalSession

_T = TypeVar("_T")
_W = TypeVar("_W", bound=Sandbox | OperationRef[Any])


@overload
def results(refs: OperationRef[_T], /) -> _T: ...
@overload
def results(refs: Sequence[OperationRef[_T]], /) -> list[_T]: ...
def results(refs: OperationRef[_T] | Sequence[OperationRef[_T]], /) -> _T | list[_T]:
    """Block until one operation has its value, or several have theirs, and return that value or a list.

    ``refs`` is an ``OperationRef`` or ``Process``, or a sequence of them. Values come in the order given. The first
    failure in that order is raised; the other operations go on. Anything else is a ``TypeError``, raised before the
    first wait.

    ::

        first, second = results([sandbox.exec(["ls", "/a"]), sandbox.exec(["ls", "/b"])])
    """
    if isinstance(refs, OperationRef):
        return refs.result()
    items = _items(refs, "refs", "an OperationRef or a sequence of them")
    for at, ref in enumerate(items):
        if not isinstance(ref, OperationRef):
            raise TypeError(
                f"refs[{at}] must be an OperationRef or Process, got {check.shown(ref)}"
            )
    return [ref.result() for ref in items]


def _items(values: object, what: str, rule: str) -> list[Any]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{what} must be {rule}, got {check.shown(values)}")
    return list(values)


def wait(
    waitables: Sequence[_W], num_returns: int | None = None, timeout: float | None = None
) -> tuple[list[_W], list[_W]]:
    """Block until some of several sandboxes, operations and processes are done; return those and the others.

    - ``waitables``: a sequence of ``Sandbox``, ``OperationRef``, ``Process`` and ``TerminalSession``. An operation is
      done when it has ended, successfully or not. A sandbox is created if need be, and is done when it runs or has
      failed to.
    - ``num_returns``: how many to wait for, at least 1. Default: all.
    - ``timeout``: how many seconds to wait at most; 0 only checks. Default: no limit.

    Both lists are in the order given. The first has at most ``num_returns`` items; further items that are done come
    first in the second. Nothing is raised for failed items or when the time is up, and nothing is cancelled.

    ::

        done, running = wait([sandbox.exec(["make", part]) for part in parts], num_returns=1)
    """
    if num_returns is not None and check.integer(num_returns, "num_returns") < 1:
        raise ValueError(f"num_returns must be at least 1, got {num_returns}")
    limit = None if timeout is None else max(0.0, check.number(timeout, "timeout"))
    items = _items(waitables, "waitables", "a sequence of Sandbox, OperationRef or Process")
    if not items:
        return [], []
    count = len(items) if num_returns is None else min(num_returns, len(items))
    flags = _cwsandbox.wait_many(
        [_operation(item, at) for at, item in enumerate(items)], count, limit
    )
    done = [item for item, flag in zip(items, flags, strict=True) if flag]
    others = [item for item, flag in zip(items, flags, strict=True) if not flag]
    return done[:count], done[count:] + others


def _operation(item: object, at: int) -> OperationRef[Any]:
    if isinstance(item, Sandbox):
        return item._running()
    if isinstance(item, OperationRef):
        return item
    raise TypeError(
        f"waitables[{at}] must be a Sandbox, OperationRef or Process, got {check.shown(item)}"
    )
