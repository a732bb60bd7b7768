"""Where a pool has its sandboxes: lent out, given back, started, stopped and replaced.

All that waits runs on the policy loop. What is only looked up and moved is done under a lock, from any thread, so that
a sandbox changes hands without a detour over that loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from cwsandbox._batch.gate import Gate
from cwsandbox._batch.limits import Limits
from cwsandbox._batch.member import Member
from cwsandbox._batch.retry import Retry, hint_of
from cwsandbox._runtime import life, loop
from cwsandbox._runtime.threads import Call, Group
from cwsandbox.exceptions import CWSandboxError, SandboxError, SandboxNotRunningError

if TYPE_CHECKING:
    from cwsandbox._cwsandbox import OperationRef
    from cwsandbox._sandbox.sandbox import Sandbox

# One that has waited longer is looked at before it is lent out: it may have ended.
_TRUSTED_SECONDS = 1.0
# How long to wait when a sandbox that is to be ready cannot be made.
_PATIENCE = Retry(backoff=0.5, max_backoff=30.0)


@dataclass(eq=False, slots=True)
class Ticket:
    """What someone holds who waits for a sandbox, so that one that comes too late finds its way back (``taking``)."""

    member: Member | None = None
    is_abandoned: bool = False
    task: asyncio.Task[Any] | None = None
    """That of ``take()``, while it runs."""


@dataclass(eq=False)
class Shelf:
    """The sandboxes of one pool."""

    size: int
    max_uses: int | None
    max_age: float | None
    setup: Callable[[Sandbox], object] | None
    limits: Limits
    options: Mapping[str, Any]
    idle: deque[Member] = field(default_factory=deque)
    alive: int = 0
    tag: str | None = None
    """Of each of its sandboxes, beside those that they are given."""

    def __post_init__(self) -> None:
        from cwsandbox._runtime import signals
        from cwsandbox._session.session import Session

        # Here, since sandboxes are made on another thread, where they cannot do it.
        signals.install()
        self._lock = threading.Lock()
        self._generation: int | None = None
        self._session = Session(report_to=[])  # which stops them when the program ends
        self._session._when_ending = self._end_with_program
        self._gate: Gate | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._warming = 0
        self._promised = 0  # places of sandboxes that end for somebody who waits
        self._is_open = False
        self._is_closed = False
        self._tasks: set[asyncio.Task[Any]] = set()
        # Those that get sandboxes, at whatever stage: for somebody who waits, or to have them ready.
        self._getting: set[asyncio.Task[Any] | None] = set()

    def claim(self) -> None:
        """It is used from now on, by this process. ``RuntimeError`` in a process forked from the one that used it."""
        if self._generation is None:
            self._generation = life.generation()
        if not self.is_ours():
            raise RuntimeError("this pool was used before fork() and belongs to the parent process")

    def is_ours(self) -> bool:
        """Whether no process that this one was forked from has used it."""
        return self._generation in (None, life.generation())

    # ---- from any thread ----

    def open(self) -> None:
        """From now on sandboxes are kept ready."""
        self.claim()
        self._check()
        self._is_open = True
        if self.size:
            loop.policy().call(self._refill)

    def take_idle(self, options: Mapping[str, Any]) -> Member | None:
        """One that is ready and can be trusted to run, without waiting for anything."""
        self.claim()
        with self._lock:
            member = self._find(options)
            if member is None or self.is_closed or not self._is_trusted(member):
                return None
            self.idle.remove(member)
        # Waking the policy loop costs more than all the rest.
        if len(self.idle) < self.size and self._may_start():
            loop.policy().call(self._refill)
        return member

    def give_back(self, member: Member, *, is_reusable: bool) -> None:
        """Whoever had it does not need it any more. Returns at once."""
        if not self.is_ours():
            return  # the parent has it still
        member.uses += 1
        now = monotonic()
        is_kept = (
            is_reusable
            and (self.max_uses is None or member.uses < self.max_uses)
            and not self._is_old(member)
            and member.sandbox._handle.state.takes_commands
        )
        member.idle_since = now
        with self._lock:
            is_kept = is_kept and not self.is_closed
            if is_kept:
                self.idle.appendleft(member)
            is_wanted = bool(self._waiting)
        if not is_kept:
            loop.policy().call(lambda: self._spawn(self._end(member.sandbox)))
        elif is_wanted:
            loop.policy().call(self._wake)

    def abandon(self, ticket: Ticket) -> None:
        """Whoever waited with this ticket does not wait any more."""
        with self._lock:
            ticket.is_abandoned = True
            member, ticket.member = ticket.member, None
            task = ticket.task
        if member is not None:
            self._put_back(member)
        elif task is not None:
            with suppress(RuntimeError):  # the loop has ended, and with it the task
                loop.policy().call(task.cancel)

    def close(self) -> OperationRef[None]:
        """Stop all of them."""
        self.claim()
        self._is_closed = True
        return loop.submit(self._close, finish_at_exit=True)

    # ---- on the policy loop ----

    async def take(self, options: Mapping[str, Any], ticket: Ticket) -> Member:
        """One that runs: a ready one, or a new one. Raises what starting one fails with."""
        self._check()
        with self._lock:
            if ticket.is_abandoned:
                raise asyncio.CancelledError
            ticket.task = asyncio.current_task()
        try:
            with self._got():
                member = await self._take(options)
        except (asyncio.CancelledError, CWSandboxError) as error:
            if not ticket.is_abandoned:
                self._check(error)
            raise
        finally:
            ticket.task = None
        with self._lock:
            if not ticket.is_abandoned and not self.is_closed:
                ticket.member = member
                return member
        self._put_back(member)
        self._check()
        raise asyncio.CancelledError

    async def _take(self, options: Mapping[str, Any]) -> Member:
        is_first = True
        while True:
            self._check()
            with self._lock:
                member = self._find(options)
                if member is not None:
                    self.idle.remove(member)
            if member is not None:
                self._refill()
                try:
                    runs = await self._runs(member)
                except BaseException:
                    self._put_back(member)
                    raise
                if runs:
                    return member
                await self._make_room(member.sandbox)
            elif self._may_start():
                return await self._start(options)
            elif (victim := self._spare()) is not None:
                # It was made for something else, and takes the place of this one.
                await self._make_room(victim.sandbox)
            else:
                await self._change(is_first)
                is_first = False

    def _find(self, options: Mapping[str, Any]) -> Member | None:
        return next((member for member in self.idle if member.options == options), None)

    def _spare(self) -> Member | None:
        with self._lock:
            return self.idle.pop() if self.idle else None

    def _may_start(self) -> bool:
        return self.limits.alive is None or self.alive < self.limits.alive

    async def _start(self, options: Mapping[str, Any]) -> Member:
        from cwsandbox._sandbox.sandbox import Sandbox

        self.alive += 1
        try:
            sandbox = Sandbox(**self._tagged({**self.options, **options}))
        except BaseException:
            self._ended()
            raise
        self._session._own(sandbox)
        gate = self._gate = self._gate or Gate(self.limits)
        try:
            async with gate.start():
                await sandbox.start()
                await sandbox
            if self.setup is not None:
                await Call(lambda: self._set_up(sandbox), Group.SETUPS).result(None)
            now = monotonic()
            member = Member(sandbox, options, now, now)
            if not member.is_sound() and not await member.runs():
                raise SandboxNotRunningError(
                    f"Sandbox {sandbox.sandbox_id!r} has ended before it could be lent out"
                )
        except BaseException as error:
            if (pause := hint_of(error)) is not None:
                gate.hold(pause)
            self._spawn(self._end(sandbox))
            raise
        return member

    def _tagged(self, options: dict[str, Any]) -> dict[str, Any]:
        if self.tag is None:
            return options
        return {**options, "tags": [*(options.get("tags") or ()), self.tag]}

    def _set_up(self, sandbox: Sandbox) -> None:
        assert self.setup is not None
        outcome = self.setup(sandbox)
        if isinstance(
            outcome, Awaitable
        ):  # of a coroutine function, or an operation that is to end first
            asyncio.run(_awaited(outcome))

    async def _runs(self, member: Member) -> bool:
        """Whether it can be lent out."""
        if self._is_trusted(member):
            return True
        return not self._is_old(member) and await member.runs()

    def _is_trusted(self, member: Member) -> bool:
        return (
            monotonic() - member.idle_since <= _TRUSTED_SECONDS
            and not self._is_old(member)
            and member.is_sound()
        )

    def _is_old(self, member: Member) -> bool:
        return self.max_age is not None and monotonic() - member.born >= self.max_age

    def _put_back(self, member: Member) -> None:
        member.uses -= 1  # it was not used
        self.give_back(member, is_reusable=True)

    async def _end(self, sandbox: Sandbox) -> None:
        try:
            await sandbox.stop(graceful_shutdown_seconds=0, missing_ok=True)
        except (CWSandboxError, RuntimeError) as error:
            # It remains the session's, which tries again when the pool is closed. At the end of the interpreter, which
            # gives the second one, that is too late.
            from logging import getLogger

            getLogger("cwsandbox").warning("a sandbox of a pool could not be stopped: %s", error)
        finally:
            self._ended()

    def _ended(self) -> None:
        self.alive -= 1
        self._wake()
        self._refill()

    def _refill(self) -> None:
        while self._lacks():
            self._warming += 1
            self._spawn(self._warm())

    def _lacks(self) -> bool:
        if not self._is_open or self.is_closed or self._waiting or self._promised:
            return False
        ready = sum(1 for member in list(self.idle) if not member.options)
        return ready + self._warming < self.size and self._may_start()

    async def _warm(self) -> None:
        tries = 0
        task = asyncio.current_task()
        try:
            with self._got():
                while not self.is_closed and self._may_start():
                    try:
                        member = await self._start({})
                    except BaseException as error:
                        if task is None or task.cancelling():
                            raise
                        # A setup raises what it likes. Whoever asks for a sandbox meets the same failure and is told.
                        # The place stays taken until the pause is over, so the end of this one starts no other.
                        tries += 1
                        await asyncio.sleep(_PATIENCE._delay(tries, hint_of(error)))
                    else:
                        self._put_back(member)
                        return
        finally:
            self._warming -= 1

    async def _change(self, is_first: bool) -> None:
        """Something was given back, or has ended."""
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self.idle:
                return  # another thread has given one back since that was looked at
            (self._waiting.append if is_first else self._waiting.appendleft)(changed)
        try:
            await changed
        except BaseException:
            with self._lock:
                if changed in self._waiting:
                    self._waiting.remove(changed)
            if changed.done() and not changed.cancelled():
                self._wake()  # it was meant for whoever waits still
            raise

    def _wake(self) -> None:
        with self._lock:
            while self._waiting:
                first = self._waiting.popleft()
                if not first.done():  # else it was cancelled, and its task has not seen it yet
                    first.set_result(None)
                    return

    async def _close(self) -> None:
        self._dismiss()
        with self._lock:
            count = len(self.idle)
            self.idle.clear()
        for sandbox in list(self._session._sandboxes.values()):
            sandbox.stop(graceful_shutdown_seconds=0, missing_ok=True)
        await self._session.close()
        self.alive -= count

    @contextmanager
    def _got(self) -> Iterator[None]:
        """In the block a sandbox is got: the end of the pool breaks it off."""
        task = asyncio.current_task()
        self._getting.add(task)
        try:
            yield
        finally:
            self._getting.discard(task)

    def _dismiss(self) -> None:
        """Nobody waits for a sandbox any more."""
        for task in self._getting:
            if task is not None:
                task.cancel()

    def _end_with_program(self) -> None:
        """The program ends, and the session stops the sandboxes. It may be a signal handler that calls this."""
        if loop.has_begun():
            loop.policy().call(self._dismiss)

    async def _make_room(self, sandbox: Sandbox) -> None:
        """End it, so that the caller can take its place. The end goes on if the caller goes away."""
        self._promised += 1
        try:
            await asyncio.wait([self._spawn(self._end(sandbox))])
        except BaseException:
            self._promised -= 1
            self._refill()
            raise
        self._promised -= 1

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def is_closed(self) -> bool:
        """Its sandboxes are being stopped: somebody has closed it, or a signal ends the program."""
        return self._is_closed or self._session._closed

    def _check(self, failure: BaseException | None = None) -> None:
        """``failure`` is what the end of the pool has led to."""
        if self.is_closed:
            cause = failure if isinstance(failure, CWSandboxError) else None
            raise SandboxError("the pool is closed") from cause


async def _awaited(outcome: Awaitable[object]) -> None:
    await outcome
