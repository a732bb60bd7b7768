"""Waiting for several operations at once, and collecting their values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, overload

from cwsandbox import _cwsandbox
from cwsandbox._cwsandbox import OperationRef, Process
from cwsandbox._sandbox.sandbox import Sandbox
from cwsandbox._types import check

Waitable = Sandbox | OperationRef[Any] | Process

_T = TypeVar("_T")
_W = TypeVar("_W", bound=Sandbox | OperationRef[Any])


@overload
def results(refs: OperationRef[_T], /) -> _T: ...
@overload
def results(refs: Sequence[OperationRef[_T]], /) -> list[_T]: ...
def results(refs: OperationRef[_T] | Sequence[OperationRef[_T]], /) -> _T | list[_T]:
    """Block for the value of one operation, or for those of several, in order. The first failure in order is raised."""
    if isinstance(refs, OperationRef):
        return refs.result()
    items = _items(refs, "refs", "an OperationRef or a sequence of them")
    for at, ref in enumerate(items):
        if not isinstance(ref, OperationRef):
            raise TypeError(f"refs[{at}] must be an OperationRef or Process, got {ref!r}")
    return [ref.result() for ref in items]


def _items(values: object, what: str, rule: str) -> list[Any]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{what} must be {rule}, got {values!r}")
    return list(values)


def wait(
    waitables: Sequence[_W], num_returns: int | None = None, timeout: float | None = None
) -> tuple[list[_W], list[_W]]:
    """Block until ``num_returns`` of the items are done (None: all), or ``timeout`` seconds have passed.

    An operation is done when it has ended, well or not; a sandbox, which is created if need be, when it runs or has
    failed to. Returns the items that are done, at most ``num_returns``, and the others, both in the order given;
    what was done beyond that number comes first among the others. Nothing is raised for failed items, and nothing is
    cancelled.
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
    raise TypeError(f"waitables[{at}] must be a Sandbox, OperationRef or Process, got {item!r}")
