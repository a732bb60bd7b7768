"""What ends with the program: the sandboxes of sessions, and those that nobody has got a handle of.

They are stopped at the end of the interpreter and when a signal ends the program (``signals``). So are, at the end of
the interpreter, the sandboxes of ``with`` blocks that nobody ends: those of daemon threads, and of generators and
coroutines that were left.
"""

from __future__ import annotations

from time import monotonic
from weakref import WeakValueDictionary

from cwsandbox._runtime import life, loop
from cwsandbox._types.standard import DEFAULT_GRACEFUL_SHUTDOWN_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from cwsandbox._cwsandbox import OperationRef

    class Owner(Protocol):
        """Has sandboxes that end with the program."""

        def _close_down(self) -> None:
            """Take no new sandboxes."""

        def _begin_stops(self) -> list[OperationRef[Any]]:
            """Begin to stop what was begun: operations to be waited for.

            It takes no lock that another thread may wait for while it holds one of the main thread's: that may be
            anywhere.
            """

        def _finish_end(self) -> None:
            """The end of the interpreter, after the stops."""

        def _let_go(self, sandbox: Any) -> None:
            """A sandbox was stopped."""

        def _forget_all(self) -> None:
            """After ``fork()``: the sandboxes are the parent's."""

    class Held(Protocol):
        """A sandbox."""

        def _stop(self, grace: float, missing_ok: bool) -> OperationRef[None]: ...


# A stop takes at most 40 s: a grace time of 10 s, as long again for the calls, and that for the final state to be seen.
PATIENCE = 60.0
# Where a create that nobody waits for is not answered by then, the service is hardly there.
UNCLAIMED_PATIENCE = 20.0

# Strong: the program may have dropped a session whose sandboxes are still there.
_owners: dict[int, Owner] = {}
_known: WeakValueDictionary[int, Owner] = WeakValueDictionary()
_unclaimed: list[OperationRef[Any]] = []
# Weak: a block refers to its sandbox itself, and one that is gone has nobody left to end it.
_held: WeakValueDictionary[int, Held] = WeakValueDictionary()
_is_exiting = False


def know(owner: Owner) -> None:
    """Tell it of ``fork()`` and of the end of the interpreter, if it is still there."""
    _known[id(owner)] = owner


def _alive() -> list[Owner]:
    # Not values(): another thread may make a session meanwhile.
    return [owner for ref in _known.valuerefs() if (owner := ref()) is not None]


def add(owner: Owner) -> None:
    """From now on what it owns ends with the program."""
    _owners[id(owner)] = owner


def remove(owner: Owner) -> None:
    """It has nothing any more that would have to be stopped."""
    _owners.pop(id(owner), None)


def hold(sandbox: Held) -> None:
    """It is being created, or a block for it has begun."""
    _held[id(sandbox)] = sandbox


def release(sandbox: Held) -> None:
    """That has ended."""
    _held.pop(id(sandbox), None)


def finish(operation: OperationRef[Any]) -> None:
    """Have the end of the program wait for an operation: the stop of a sandbox that nobody has a handle of."""
    _unclaimed[:] = [one for one in _unclaimed if not one._done()]
    _unclaimed.append(operation)


def is_exiting() -> bool:
    """Whether the end of the interpreter is being waited for."""
    return _is_exiting


def stop_all() -> None:
    """Stop all that ends with the program, and wait for that, for ``PATIENCE`` seconds at most.

    May be called in a signal handler, on the main thread. What cannot be stopped is logged.
    """
    for owner in _alive():
        owner._close_down()
    # A signal may come when nothing has begun yet, in the middle of the imports for that.
    if not loop.has_begun():
        return
    begun = monotonic()
    owned: list[OperationRef[Any]] = []
    for owner in list(_owners.values()):
        try:
            owned += owner._begin_stops()
        except Exception as failure:
            _log(failure)
    _wait(list(_unclaimed), begun + UNCLAIMED_PATIENCE)
    _wait(owned, begun + PATIENCE)


def _wait(operations: list[OperationRef[Any]], until: float) -> None:
    for operation in operations:
        try:
            operation.result(max(0.0, until - monotonic()))
        except Exception as failure:
            _log(failure)


def _log(failure: Exception) -> None:
    from logging import getLogger

    text = f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__
    getLogger("cwsandbox").warning("a sandbox may be left behind: %s", text)


def _before_ending() -> None:
    global _is_exiting
    _is_exiting = True
    if life.is_hurried():
        return
    begun = monotonic()
    blocks = _stop_blocks()
    stop_all()
    _wait(blocks, begun + PATIENCE)
    for owner in _alive():
        owner._finish_end()


def _stop_blocks() -> list[OperationRef[Any]]:
    # Not values(): another thread may begin or end one meanwhile.
    held = [sandbox for ref in _held.valuerefs() if (sandbox := ref()) is not None]
    return [sandbox._stop(DEFAULT_GRACEFUL_SHUTDOWN_SECONDS, True) for sandbox in held]


def _forget() -> None:
    global _is_exiting
    _is_exiting = False
    for owner in _alive():
        owner._forget_all()
    _owners.clear()
    _unclaimed.clear()
    _held.clear()


life.when_forked(_forget)
life.before_ending(_before_ending)
