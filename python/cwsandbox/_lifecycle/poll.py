"""Looking at a sandbox until it is in a wanted state. On the policy loop only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox._lifecycle.lifecycle import Source
from cwsandbox._service.errors import to_exception
from cwsandbox._service.retry import (
    POLL_FACTOR,
    POLL_INTERVAL,
    POLL_INTERVAL_LOCAL,
    POLL_INTERVAL_MAX,
    Burst,
    hint_of,
    poll_intervals,
)
from cwsandbox._service.rpc import RpcFailure
from cwsandbox.exceptions import (
    SandboxError,
    SandboxRequestTimeoutError,
    SandboxResourceExhaustedError,
    SandboxTerminalStateUnavailableError,
    SandboxUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cwsandbox._lifecycle.handle import Handle
    from cwsandbox._lifecycle.lifecycle import State
    from cwsandbox._runtime.environment import Call, Environment
    from cwsandbox._service.connection import Connection

    Message = dict[str, Any]

OPERATION = "Get sandbox"
NOT_FOUND_REASON = "CWSANDBOX_SANDBOX_NOT_FOUND"

_TRANSIENT = (SandboxUnavailableError, SandboxRequestTimeoutError, SandboxResourceExhaustedError)

# After a stop the record may be away for a moment before its final state can be read.
NOT_FOUND_PATIENCE = 2.0
EXIT_CODE_LOOKS = 2
EXIT_CODE_INTERVAL = 2.0
EXIT_CODE_TIMEOUT = 2.0


class Watcher:
    """Looks at one sandbox and lets its handle know."""

    def __init__(
        self, handle: Handle, connection: Connection, call: Call, env: Environment
    ) -> None:
        self._handle = handle
        self._connection = connection
        self._call = call
        self._env = env

    async def until(self, reached: Callable[[State], bool]) -> None:
        """Look, at once and then every so often, until the state is such. A missing exit code gets a little time."""
        first = POLL_INTERVAL_LOCAL if self._connection.is_local else POLL_INTERVAL
        following = poll_intervals(self._age, first)
        while not reached(self._handle.state):
            await self._look()
            if reached(self._handle.state):
                break
            await self._env.sleep(following())
        await self._await_exit_code()

    async def confirm(self) -> None:
        """Look once, so that what is known is true now."""
        await self._look()
        await self._await_exit_code()

    async def once(self) -> None:
        """One look without any repetition."""
        timeout = self._connection.poll_rpc_timeout
        try:
            message = await self._get(timeout)
        except RpcFailure as failure:
            raise self._translated(failure) from failure
        self._handle.see(message, Source.QUERY)

    def _age(self) -> float:
        accepted_at = self._handle.accepted_at
        return float("inf") if accepted_at is None else self._env.clock() - accepted_at

    async def _get(self, timeout: float) -> Message:
        return await self._call("GetSandbox", {"sandbox_id": self._handle.sandbox_id}, timeout)

    def _translated(self, failure: RpcFailure) -> Exception:
        return to_exception(failure, operation=OPERATION, sandbox_id=self._handle.sandbox_id)

    async def _look(self) -> None:
        """One look, repeated over transient failures while the retry budget lasts."""
        burst = Burst(self._connection.poll_retry_budget, self._env.clock, self._env.uniform)
        absence = _Absence(self._env.clock)
        while True:
            try:
                message = await self._get(burst.call_timeout(self._connection.poll_rpc_timeout))
            except RpcFailure as failure:
                error = self._translated(failure)
                error.__cause__ = failure
                missing = self._handle.state.stop_owned and failure.is_not_found(NOT_FOUND_REASON)
                delay = self._delay(failure, error, burst, absence if missing else None)
            else:
                self._handle.see(message, Source.POLL)
                return
            await self._env.sleep(delay)
            if not missing and burst.remaining() <= 0:
                raise error

    def _delay(
        self, failure: RpcFailure, error: Exception, burst: Burst, absence: _Absence | None
    ) -> float:
        """How long to wait after a failed look. Raises when it is final."""
        if absence is not None:
            delay = absence.delay()
            if delay is None:
                raise SandboxTerminalStateUnavailableError(
                    f"Sandbox {self._handle.sandbox_id!r} was stopped, but is gone before its final state was seen"
                ) from error
            return delay
        after_failure = burst.delay(hint_of(failure)) if isinstance(error, _TRANSIENT) else None
        if after_failure is None:
            raise error
        return after_failure

    async def _await_exit_code(self) -> None:
        """The server may learn an exit code a little after the end."""
        for _ in range(EXIT_CODE_LOOKS):
            if not self._handle.state.lacks_exit_code:
                return
            await self._env.sleep(EXIT_CODE_INTERVAL)
            try:
                message = await self._get(EXIT_CODE_TIMEOUT)
            except (RpcFailure, SandboxError):
                continue
            self._handle.see(message, Source.POLL)


class _Absence:
    """How long a sandbox that was told to stop may be missing."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends: float | None = None
        self._interval = POLL_INTERVAL

    def delay(self) -> float | None:
        if self._ends is None:
            self._ends = self._clock() + NOT_FOUND_PATIENCE
        left = self._ends - self._clock()
        if left <= 0:
            return None
        delay = min(self._interval, left)
        self._interval = min(self._interval * POLL_FACTOR, POLL_INTERVAL_MAX)
        return delay
