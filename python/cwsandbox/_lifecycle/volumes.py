"""Registered volumes: by id, by list, and waiting for one. On the policy loop only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox._lifecycle import pages
from cwsandbox._lifecycle.ready import until_ready
from cwsandbox._lifecycle.transient import repeated
from cwsandbox._messages import volumes as messages
from cwsandbox._service.errors import to_exception
from cwsandbox._service.rpc import RpcFailure
from cwsandbox._types.registered import VolumeState
from cwsandbox.exceptions import (
    CWSandboxError,
    VolumeError,
    VolumeNotFoundError,
    VolumeWaitTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cwsandbox._runtime.environment import Call, Environment

    Message = dict[str, Any]

# Seconds between two looks.
POLL_INTERVAL = 0.2


async def ask(
    call: Call, env: Environment, verb: str, request: Message, volume_id: str, timeout: float
) -> Message:
    """The Volume that "Create", "Get", "Update" or "Validate" gives; repeated while a failure may pass."""

    async def attempt(_: int) -> Message:
        try:
            return await call(f"VolumeService/{verb}Volume", request, timeout)
        except RpcFailure as failure:
            raise _about(failure, verb, volume_id) from failure

    return await repeated(attempt, env)


def _about(failure: RpcFailure, verb: str, volume_id: str) -> CWSandboxError:
    return to_exception(failure, operation=f"{verb} volume {volume_id!r}", volume_id=volume_id)


async def find(call: Call, env: Environment, request: Message, timeout: float) -> list[Message]:
    """All Volumes that pass the filters; ``timeout`` in seconds is for all pages of one try."""
    operation = "List volumes"

    async def attempt(_: int) -> list[Message]:
        try:
            return await pages.every(
                call,
                env,
                "VolumeService/ListVolumes",
                request,
                "volumes",
                operation=operation,
                timeout=timeout,
                fault=VolumeError,
            )
        except RpcFailure as failure:
            raise to_exception(failure, operation=operation) from failure

    return await repeated(attempt, env)


async def delete(call: Call, env: Environment, request: Message, timeout: float) -> Message | None:
    """The Volume that is deleted. None if there is none and may be none: also when an earlier try had its effect."""

    async def attempt(number: int) -> Message | None:
        try:
            return await call("VolumeService/DeleteVolume", request, timeout)
        except RpcFailure as failure:
            error = _about(failure, "Delete", request["volume_id"])
            may_be_missing = number > 1 or request.get("allow_missing", False)
            if may_be_missing and isinstance(error, VolumeNotFoundError):
                return None
            raise error from failure

    return await repeated(attempt, env)


async def wait_ready(
    call: Call,
    env: Environment,
    volume_id: str,
    *,
    limit: float,
    timeout: float,
    seen: Callable[[Message], object],
) -> None:
    """Look until the volume is ready, for ``limit`` seconds at most; ``timeout`` is that of one look.

    Each answer is passed to ``seen``. ``VolumeError`` for one that will not become ready, ``VolumeWaitTimeoutError``
    after that time.
    """

    async def look(timeout: float) -> bool:
        try:
            message = await call("VolumeService/GetVolume", {"volume_id": volume_id}, timeout)
        except RpcFailure as failure:
            raise _about(failure, "Get", volume_id) from failure
        seen(message)
        told = messages.fields(message)
        if told["state"] in (VolumeState.ERROR, VolumeState.DELETING):
            why = told["state_reason"] or f"it is in state {told['state'].value!r}"
            raise VolumeError(
                f"Volume {volume_id!r} will not become ready: {why}", volume_id=volume_id
            )
        return told["state"] is VolumeState.READY

    await until_ready(
        look,
        env,
        limit=limit,
        look_timeout=timeout,
        pause=lambda: POLL_INTERVAL,
        what=f"Volume {volume_id!r}",
        late=lambda text: VolumeWaitTimeoutError(text, volume_id=volume_id),
    )
