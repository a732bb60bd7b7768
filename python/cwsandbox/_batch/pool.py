"""``SandboxPool``: sandboxes that are ready before they are needed, and serve more than once if that is wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cwsandbox._batch.limits import Limits
from cwsandbox._messages import options as _options
from cwsandbox._runtime import life
from cwsandbox._types import check
from cwsandbox._types.annotations import on_demand
from cwsandbox._types.single import Single

if TYPE_CHECKING:
    from cwsandbox._batch.member import Member
    from cwsandbox._batch.shelf import Shelf
    from cwsandbox._cwsandbox import OperationRef
    from cwsandbox._sandbox.sandbox import Sandbox


@on_demand
class SandboxPool(Single):
    """Sandboxes to be borrowed: some are kept ready, and what was used up is replaced in the background.

    As a context manager (``with`` and ``async with``) it is closed at the end of the block, which stops all its
    sandboxes. So does the end of the program. Its methods may be used from any thread.

    After ``fork()`` a pool that was used is still the parent's: in the child its methods raise ``RuntimeError``, and
    the end of its block does nothing.
    """

    _instead = "it has sandboxes to stop; make another one"

    def __init__(
        self,
        size: int = 0,
        *,
        max_uses: int | None = 1,
        max_age_seconds: float | None = None,
        setup: Callable[[Sandbox], object] | None = None,
        limits: Limits | None = None,
        **sandbox: Any,
    ) -> None:
        """Describe a pool. Nothing is sent before its block begins, or ``acquire()``.

        - ``size``: how many sandboxes are kept ready. Default: none.
        - ``max_uses``: how often one is lent out before it is replaced. Default: once, so that nobody meets what
          somebody else has left. None: as often as it is wanted.
        - ``max_age_seconds``: one that is older is not lent out any more, but replaced. Default: no limit.
        - ``setup``: called with each sandbox once it runs, before it is lent out, on a thread of its own. If it
          returns something to be awaited, that is awaited there. Default: nothing is done.
        - ``limits``: how many there may be, and how fast they may be asked for, as ``Limits``. Default: no limits.

        ``sandbox`` is all other names: options of ``Sandbox(...)``, for each of its sandboxes.
        """
        if check.integer(size, "size") < 0:
            raise ValueError(f"size must be >= 0, got {size}")
        if max_uses is not None and check.integer(max_uses, "max_uses") < 1:
            raise ValueError(f"max_uses must be >= 1, got {max_uses}")
        if max_age_seconds is not None:
            check.timeout(max_age_seconds, "max_age_seconds")
        if setup is not None and not callable(setup):
            raise TypeError(f"setup must be callable, got {check.shown(setup)}")
        limits = _checked_limits(limits)
        if limits.alive is not None and limits.alive < size:
            raise ValueError(f"size={size} is more than limits.alive={limits.alive} allows")
        own = ("size", "max_uses", "max_age_seconds", "setup", "limits")
        check_options(sandbox, "SandboxPool()", own)
        from cwsandbox._batch.shelf import Shelf

        self._shelf = Shelf(size, max_uses, max_age_seconds, setup, limits, sandbox)

    def acquire(self, *, timeout: float | None = None, **sandbox: Any) -> Lease:
        """Borrow a sandbox for a ``with`` or ``async with`` block, which is given the running ``Sandbox``.

        - ``timeout``: seconds to wait for it at most; then ``SandboxTimeoutError``. Default: no limit.
        - ``sandbox``: all other names: options of ``Sandbox(...)`` that this one is to have instead of the pool's. Such
          sandboxes are not kept ready, and are lent out again only for equal options.

        A sandbox that has not been used for a second, or in which something failed, is looked at first, and replaced
        if it does not run. If there is no sandbox yet, the block begins with the failure to make one. If the block
        raises, its sandbox is not lent out again. What this returns is for one block at a time.

        ::

            with SandboxPool(4, container_image="python:3.12") as pool, pool.acquire() as sandbox:
                print(sandbox.exec(["python", "--version"]).result().stdout)
        """
        limit = None if timeout is None else check.patience(timeout, "timeout")
        check_options(sandbox, "acquire()", ("timeout",))
        return Lease(self._shelf, sandbox, limit)

    @property
    def idle_count(self) -> int:
        """How many sandboxes wait to be borrowed."""
        return len(self._shelf.idle)

    @property
    def alive_count(self) -> int:
        """How many there are, with those that start or are being stopped."""
        return self._shelf.alive

    def close(self) -> OperationRef[None]:
        """Stop all its sandboxes, those that are lent out, too. Done when they have ended.

        Callers that wait for a sandbox get ``SandboxError`` at once, whatever they wait for.
        """
        return self._shelf.close()

    def __enter__(self) -> SandboxPool:
        """Begin to make the sandboxes that are to be ready; does not wait for them."""
        self._shelf.open()
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it and wait for that."""
        if not self._shelf.is_ours():
            return
        closing = self.close()
        if not life.is_hurried():
            closing.result()

    async def __aenter__(self) -> SandboxPool:
        """As ``__enter__``."""
        self._shelf.open()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """As ``__exit__``, without blocking the event loop."""
        if not self._shelf.is_ours():
            return
        closing = self.close()
        if not life.is_hurried():
            await closing


class Lease(Single):
    """One sandbox for one block at a time."""

    _instead = "call acquire() for each sandbox"

    def __init__(self, shelf: Shelf, options: Mapping[str, Any], timeout: float | None) -> None:
        self._shelf = shelf
        self._options = options
        self._timeout = timeout
        self._member: Member | None = None
        # Held from the beginning of a block to its end.
        self._block = threading.Lock()

    def __enter__(self) -> Sandbox:
        from cwsandbox._batch import taking

        with self._entering():
            self._member = taking.take(self._shelf, self._options, self._timeout)
        return self._member.sandbox

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        member, self._member = self._member, None
        if member is not None:
            self._block.release()
            self._shelf.give_back(member, is_reusable=kind is None)

    async def __aenter__(self) -> Sandbox:
        from cwsandbox._batch import taking

        with self._entering():
            self._member = await taking.take_async(self._shelf, self._options, self._timeout)
        return self._member.sandbox

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.__exit__(kind)

    @contextmanager
    def _entering(self) -> Iterator[None]:
        if not self._block.acquire(blocking=False):
            raise RuntimeError(
                "this lease is in use by another block: call acquire() for each sandbox"
            )
        try:
            yield
        except BaseException:
            self._block.release()
            raise


def _checked_limits(limits: Limits | None) -> Limits:
    if limits is None:
        return Limits()
    if not isinstance(limits, Limits):
        raise TypeError(f"limits must be a Limits, got {check.shown(limits)}")
    return limits


def check_options(given: Mapping[str, Any], what: str, own: Iterable[str]) -> None:
    """Refuses what is no option of a sandbox, and what such an option cannot be. ``own`` are the method's others."""
    _options.refuse_unknown(what, given, (*_options.SANDBOX, "defaults", *own))
    if given:
        from cwsandbox._sandbox.sandbox import Sandbox

        Sandbox(**given)  # which checks them all, and sends nothing
