"""The stop that saves a sandbox's scratch volumes. On the policy loop only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox._lifecycle import snapshot
from cwsandbox._lifecycle.lifecycle import Phase
from cwsandbox._lifecycle.poll import NOT_FOUND_REASON
from cwsandbox._service.errors import to_exception
from cwsandbox._service.rpc import RpcFailure
from cwsandbox.exceptions import (
    SandboxError,
    SandboxSnapshotError,
    SnapshotOnStopConflictError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cwsandbox._lifecycle.handle import Handle, OnStop
    from cwsandbox._runtime.environment import Call, Environment

    Message = dict[str, Any]

# Seconds, beyond the grace time: for saving the volumes, and for what else there is to do.
ARCHIVE_TIMEOUT = snapshot.READY_TIMEOUT
SLACK = 35.0

_UNFIT_REASON = "CWSANDBOX_INVALID_REQUEST"


def conflict(sandbox_id: str | None, why: str) -> SnapshotOnStopConflictError:
    """It is too late to save anything."""
    return SnapshotOnStopConflictError(f"Sandbox {sandbox_id!r} {why}, so nothing was saved")


def refuse_late(handle: Handle) -> None:
    """``SnapshotOnStopConflictError`` for a sandbox that ends or has ended without having been saved."""
    if handle.snapshot_ids or handle.sandbox_id is None:
        return
    if handle.state.phase is Phase.TERMINAL:
        raise conflict(handle.sandbox_id, "is already stopped")
    if handle.state.phase is Phase.STOPPING:
        raise conflict(handle.sandbox_id, "is already terminating")


async def delete(
    call: Call, sandbox_id: str, volumes: Sequence[str], how: OnStop, grace: int, missing_ok: bool
) -> Message:
    """Send DeleteSandbox, once: whether a repeated one saves again is not known. The answer."""
    if not volumes:
        raise SandboxSnapshotError(f"Sandbox {sandbox_id!r} has no known scratch volumes to save")
    request: Message = {"sandbox_id": sandbox_id, "snapshot_volumes": [*volumes]}
    if grace:
        request["grace_period_seconds"] = grace
    if missing_ok:
        request["allow_missing"] = True
    if how.request_id is not None:
        request["request_id"] = how.request_id
    try:
        reply = await call("DeleteSandbox", request, ARCHIVE_TIMEOUT + grace + SLACK)
    except RpcFailure as failure:
        if failure.trusted_reason == _UNFIT_REASON:
            why = (
                f"cannot be stopped with a snapshot: {failure.message or 'the service refuses it'}"
            )
            raise conflict(sandbox_id, why) from failure
        if missing_ok and failure.is_not_found(NOT_FOUND_REASON):
            raise conflict(sandbox_id, "was not found") from failure
        raise to_exception(failure, operation="Stop sandbox", sandbox_id=sandbox_id) from failure
    if missing_ok and "sandbox" not in reply and not reply["file_system_snapshot_ids"]:
        raise conflict(sandbox_id, "was not found")
    return reply


async def await_saved(
    call: Call,
    env: Environment,
    handle: Handle,
    volumes: Sequence[str],
    *,
    wait: bool,
    is_local: bool,
) -> SandboxError | None:
    """Wait until all is saved, if that is wanted. What has failed, for when the sandbox is stopped."""
    ids = handle.snapshot_ids
    if len(ids) < len(volumes):
        return SandboxSnapshotError(
            f"Sandbox {handle.sandbox_id!r} was stopped, but the service named {len(ids)} snapshots "
            f"for its {len(volumes)} scratch volumes ({', '.join(volumes)})"
        )
    if not wait or handle.snapshots_are_ready:
        return None
    try:
        for snapshot_id in ids:
            await snapshot.wait_ready(call, env, snapshot_id, ARCHIVE_TIMEOUT, is_local=is_local)
    except SandboxError as error:
        return error
    handle.snapshots_are_ready = True
    return None
