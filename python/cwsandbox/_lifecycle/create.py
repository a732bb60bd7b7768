"""Creating a sandbox: the call, its repetition when there is no room, and the other placement mode."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any

from cwsandbox._lifecycle.lifecycle import Phase, Source, State, observed
from cwsandbox._messages import echo
from cwsandbox._messages.config import Placement
from cwsandbox._messages.parts import part
from cwsandbox._messages.wire import create_call, has_file_modes, spec
from cwsandbox._service.errors import to_exception
from cwsandbox._service.retry import Burst, hint_of, is_capacity_failure
from cwsandbox._service.rpc import Code, RpcFailure
from cwsandbox._types.enums import PlacementMode, PlacementSpillover
from cwsandbox.exceptions import (
    CWSandboxError,
    SandboxRequestTimeoutError,
    SandboxResourceExhaustedError,
    SandboxUnavailableError,
    SandboxValidationError,
)

if TYPE_CHECKING:
    from cwsandbox._messages.config import Workload
    from cwsandbox._runtime.environment import Call, Environment, Knows
    from cwsandbox._service.connection import Connection

    Message = dict[str, Any]

_log = logging.getLogger("cwsandbox")

FILE_MODES = "file_modes"

_SPILL_CODES = (Code.RESOURCE_EXHAUSTED, Code.FAILED_PRECONDITION, Code.UNAVAILABLE)
_SPILL_REASONS = frozenset(
    "CWSANDBOX_" + name
    for name in (
        "RUNNER_CAPACITY_EXHAUSTED",
        "PLACEMENT_REJECTED",
        "PLACEMENT_CONSTRAINT_UNSATISFIED",
        "NO_SUITABLE_RUNNER",
        "RUNNER_OVERLOADED",
        "RUNNER_UNAVAILABLE",
    )
)
_CEILING_REASON = "CWSANDBOX_RESOURCE_CEILING_EXCEEDED"
_DEFINITE_CODES = (
    Code.INVALID_ARGUMENT,
    Code.FAILED_PRECONDITION,
    Code.UNAUTHENTICATED,
    Code.PERMISSION_DENIED,
    Code.NOT_FOUND,
)
_OTHER_MODE = {
    PlacementSpillover.CKS_THEN_SERVERLESS: PlacementMode.SERVERLESS,
    PlacementSpillover.SERVERLESS_THEN_CKS: PlacementMode.CKS,
}
_TRANSIENT = (SandboxUnavailableError, SandboxRequestTimeoutError, SandboxResourceExhaustedError)

# For the repetition of a create that was not answered.
FIND_TIMEOUT = 10.0

TOKEN_ATTEMPTS = 3
TOKEN_BUDGET = 15.0
TOKEN_CALL_TIMEOUT = 5.0
TOKEN_DELAY_MAX = 5.0


def may_spill(failure: RpcFailure) -> bool:
    """Whether a create failed in a way that the other placement mode may cure."""
    reason = failure.trusted_reason
    if reason == _CEILING_REASON:
        return failure.code == Code.INVALID_ARGUMENT
    return reason in _SPILL_REASONS and failure.code in _SPILL_CODES


def is_definite(failure: RpcFailure) -> bool:
    """Whether a failed create certainly made no sandbox."""
    return failure.code in _DEFINITE_CODES or may_spill(failure)


class Creator:
    """Creates one sandbox. Later attempts repeat the same request id, so that they cannot make a second one."""

    def __init__(
        self,
        workload: Workload,
        connection: Connection,
        call: Call,
        env: Environment,
        knows: Knows,
    ) -> None:
        self._workload = workload
        self._knows = knows
        self._connection = connection
        self._call = call
        self._env = env
        self._spilled = False
        # The last create was not answered: there may be a sandbox that nobody knows the id of.
        self.is_in_doubt = False
        self.placement = workload.placement
        self.request_id = workload.request_id or str(uuid.uuid4())
        template = workload.template_id
        self._operation = (
            f"Create sandbox from template {template!r}" if template else "Create sandbox"
        )

    async def create(self) -> Message:
        """The Sandbox message of the accepted sandbox."""
        message = await self._with_spill()
        if self._workload.volumes:
            self._tell_smaller_volumes(message)
        return message

    def _tell_smaller_volumes(self, message: Message) -> None:
        asked = spec(self._workload, self.placement)
        for name, wanted, has in echo.smaller_volumes(asked, part(message, "spec")):
            _log.warning(
                "sandbox %s: the volume %s has a size of %s; %s is more than the service gives",
                message.get("sandbox_id"),
                name,
                has,
                wanted,
            )

    async def _with_spill(self) -> Message:
        try:
            return await self._attempt()
        except RpcFailure as failure:
            if self._spilled or not self._other_mode() or not may_spill(failure):
                raise to_exception(failure, operation=self._operation) from failure
            first = failure
        return await self._spill(first)

    def scratch_volumes(self) -> tuple[str, ...]:
        """The names of those that are asked for."""
        volumes = spec(self._workload, self.placement).get("volumes", ())
        return tuple(volume["name"] for volume in volumes if "scratch" in volume)

    def _other_mode(self) -> PlacementMode | None:
        return _OTHER_MODE.get(self._workload.spillover)

    async def _send(self, timeout: float) -> Message:
        if has_file_modes(spec(self._workload, self.placement)):
            await self._check_file_modes(timeout)
        method, request = create_call(self._workload, self.placement, self.request_id)
        try:
            message = await self._call(method, request, timeout)
        except RpcFailure as failure:
            self.is_in_doubt = failure.is_unanswered
            raise
        self.is_in_doubt = False
        return message

    async def _check_file_modes(self, timeout: float) -> None:
        """A service that does not know them would leave them out without a word. Each answer says what it knows."""
        if not await self._knows(FILE_MODES, timeout):
            await self._call("ListSandboxes", {"page_size": 1}, timeout)
        if not await self._knows(FILE_MODES, timeout):
            raise SandboxValidationError(
                f"mounted_files: {self._connection.base_url} cannot give files a file_mode; only cwsandboxd can"
            )

    async def _attempt(self) -> Message:
        """One create, repeated while there is no room and the budget for that lasts."""
        burst = Burst(self._connection.create_retry_budget, self._env.clock, self._env.uniform)
        timeout = self._connection.request_timeout
        while True:
            try:
                return await self._send(timeout)
            except RpcFailure as failure:
                if not is_capacity_failure(failure) or self._connection.create_retry_budget == 0:
                    raise
                delay = burst.delay(hint_of(failure))
                if delay is None:
                    raise
                last = failure
            await self._env.sleep(delay)
            if burst.remaining() <= 0:
                raise last
            timeout = min(self._connection.request_timeout, burst.remaining())

    async def _spill(self, first: RpcFailure) -> Message:
        before = (self.placement, self.request_id)
        mode = self._other_mode()
        _log.warning(
            "no room with placement mode %s (%s); trying %s", self.placement.mode, first, mode
        )
        pins = () if mode is PlacementMode.SERVERLESS else self.placement.runner_ids
        self.placement, self.request_id, self._spilled = (
            Placement(mode, pins),
            str(uuid.uuid4()),
            True,
        )
        try:
            return await self._attempt()
        except RpcFailure as second:
            if is_definite(second):
                (self.placement, self.request_id), self._spilled = before, False
            error = to_exception(second, operation=self._operation)
            error.add_note(f"Before that, placement mode {before[0].mode} failed: {first}")
            raise error from to_exception(first, operation=self._operation)

    async def find(self) -> Message | None:
        """The sandbox of a create that was not answered. None if there is none, or still no answer.

        Only a repeated create tells, which answers with the same sandbox. So one may be made here that is to be
        deleted at once.
        """
        try:
            return await self._send(FIND_TIMEOUT)
        except (RpcFailure, CWSandboxError) as failure:
            # Who does not reach a service now has most likely not reached it before.
            is_away = isinstance(failure, RpcFailure) and failure.code == Code.UNAVAILABLE
            if self.is_in_doubt and not is_away:
                _log.warning("a sandbox may be left behind: %s", failure)
            return None

    # ---- the share token, which only a create's answer has ----

    def lacks_token(self, message: Message) -> bool:
        """Whether the sandbox has share-token endpoints and the answer does not have the token."""
        if self._workload.file is not None:
            return False  # no answer has one
        asked_for = {
            "spec": spec(self._workload, self.placement),
            "status": message.get("status"),
        }
        return not message.get("endpoint_share_token") and (
            echo.wants_share_token(asked_for) or echo.wants_share_token(message)
        )

    async def recover_token(self, sandbox_id: str) -> Message | None:
        """Repeat the create, which answers with the same sandbox, until the token is there. None if it never is."""
        ends = self._env.clock() + TOKEN_BUDGET
        delay = 1.0
        for _ in range(TOKEN_ATTEMPTS):
            await self._env.sleep(min(delay, TOKEN_DELAY_MAX))
            left = ends - self._env.clock()
            if left <= 0:
                return None
            delay *= 2
            try:
                message = await self._replay(min(left, TOKEN_CALL_TIMEOUT))
            except RpcFailure as failure:
                if not isinstance(to_exception(failure, operation=self._operation), _TRANSIENT):
                    return None
                delay = hint_of(failure) or delay
                continue
            except CWSandboxError:
                return None
            if message.get("sandbox_id") != sandbox_id or _is_over(message, self._env):
                return None
            if message.get("endpoint_share_token"):
                return message
        return None

    async def _replay(self, timeout: float) -> Message:
        return await self._send(min(timeout, self._connection.request_timeout))


def _is_over(message: Message, env: Environment) -> bool:
    state = observed(State(), echo.observation(message), Source.QUERY, env.now())
    return state.phase is Phase.TERMINAL
