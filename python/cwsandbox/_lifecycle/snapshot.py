"""Snapshots of scratch volumes: taking one, waiting for it, looking it up. On the policy loop only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox._lifecycle import pages
from cwsandbox._lifecycle.ready import until_ready
from cwsandbox._lifecycle.transient import BUDGET, TRANSIENT, repeated
from cwsandbox._messages import snapshots as messages
from cwsandbox._service.errors import to_exception
from cwsandbox._service.retry import (
    POLL_INTERVAL_LOCAL,
    POLL_INTERVAL_LOCAL_MAX,
    poll_intervals,
)
from cwsandbox._service.rpc import RpcFailure
from cwsandbox._types.snapshot import FileSystemSnapshotStatus
from cwsandbox._types.standard import DEFAULT_POLL_RPC_TIMEOUT_SECONDS
from cwsandbox.exceptions import (
    CWSandboxError,
    SandboxRequestTimeoutError,
    SandboxSnapshotError,
    SnapshotNotFoundError,
    SnapshotWaitTimeoutError,
)

if TYPE_CHECKING:
    from cwsandbox._runtime.environment import Call, Environment
    from cwsandbox._types.snapshot import FileSystemSnapshot, FileSystemSnapshotBucketConfig

    Message = dict[str, Any]

# Seconds. How long the service may take to save a volume, and what the network may take beside that.
READY_TIMEOUT = 600.0
READY_SLACK = 5.0

# The id that follows is the sandbox's: the snapshot has none yet.
_CREATE = "Create snapshot of sandbox"
_LIST = "List snapshots"
# Later tries of a create that took too long would take as long.
_TRANSIENT_CREATE = tuple(one for one in TRANSIENT if one is not SandboxRequestTimeoutError)


async def take(
    call: Call,
    env: Environment,
    request: Message,
    *,
    wait: bool,
    timeout: float,
    is_local: bool,
    budget: float = BUDGET,
) -> str:
    """Have a snapshot taken and give its id; with ``wait`` once it is ready.

    ``request`` has a request id: a repeated create does not make a second snapshot.
    """
    limit = READY_TIMEOUT + READY_SLACK
    sandbox_id = request["sandbox_id"]

    async def attempt(_: int) -> str:
        try:
            made = await call("CreateFileSystemSnapshot", request, limit if wait else timeout)
        except RpcFailure as failure:
            raise to_exception(failure, operation=_CREATE, sandbox_id=sandbox_id) from failure
        snapshot_id: str = made["file_system_snapshot_id"]
        if not snapshot_id:
            raise SandboxSnapshotError(f"{_CREATE} {sandbox_id!r}: the answer has no snapshot id")
        if wait:
            await wait_ready(call, env, snapshot_id, limit, is_local=is_local)
        return snapshot_id

    return await repeated(attempt, env, budget, _TRANSIENT_CREATE)


async def wait_ready(
    call: Call, env: Environment, snapshot_id: str, limit: float, *, is_local: bool
) -> None:
    """Look at a snapshot until it is ready, for ``limit`` seconds at most.

    A daemon on this host, which ``is_local`` says, is asked more often. ``SandboxSnapshotError`` for a snapshot that
    has failed, ``SnapshotWaitTimeoutError`` after that time.
    """

    async def look(timeout: float) -> bool:
        message = await _get(call, snapshot_id, timeout)
        status = messages.status(message)
        if status is FileSystemSnapshotStatus.FAILED:
            why = message["state_reason"] or "the service gave no reason"
            raise SandboxSnapshotError(
                f"Snapshot {snapshot_id!r} failed: {why}", file_system_snapshot_id=snapshot_id
            )
        return status is FileSystemSnapshotStatus.READY

    await until_ready(
        look,
        env,
        limit=limit,
        look_timeout=DEFAULT_POLL_RPC_TIMEOUT_SECONDS,
        pause=(
            poll_intervals(first=POLL_INTERVAL_LOCAL, most=POLL_INTERVAL_LOCAL_MAX)
            if is_local
            else poll_intervals()
        ),
        what=f"Snapshot {snapshot_id!r}",
        late=lambda text: SnapshotWaitTimeoutError(text, file_system_snapshot_id=snapshot_id),
        late_counts=True,
    )


async def _get(call: Call, snapshot_id: str, timeout: float) -> Message:
    request = {"file_system_snapshot_id": snapshot_id}
    try:
        return await call("GetFileSystemSnapshot", request, timeout)
    except RpcFailure as failure:
        raise _about(failure, "Get snapshot", snapshot_id) from failure


def _about(failure: RpcFailure, what: str, snapshot_id: str) -> CWSandboxError:
    return to_exception(failure, operation=f"{what} {snapshot_id!r}", snapshot_id=snapshot_id)


# ---- records ----


async def get(call: Call, env: Environment, snapshot_id: str, timeout: float) -> FileSystemSnapshot:
    """One record."""
    message = await repeated(lambda _: _get(call, snapshot_id, timeout), env)
    return messages.snapshot(message)


async def find(call: Call, env: Environment, timeout: float) -> list[FileSystemSnapshot]:
    """All records; ``timeout`` in seconds is for all pages of one try."""

    async def attempt(_: int) -> list[Message]:
        try:
            return await pages.every(
                call,
                env,
                "ListFileSystemSnapshots",
                {},
                "file_system_snapshots",
                operation=_LIST,
                timeout=timeout,
                fault=SandboxSnapshotError,
            )
        except RpcFailure as failure:
            raise to_exception(failure, operation=_LIST) from failure

    return [messages.snapshot(message) for message in await repeated(attempt, env)]


async def delete(
    call: Call, env: Environment, snapshot_id: str, *, missing_ok: bool, timeout: float
) -> None:
    """Have a snapshot deleted. That a later try finds none means that an earlier one had its effect."""

    async def attempt(number: int) -> None:
        try:
            await call(
                "DeleteFileSystemSnapshot", {"file_system_snapshot_id": snapshot_id}, timeout
            )
        except RpcFailure as failure:
            error = _about(failure, "Delete snapshot", snapshot_id)
            if isinstance(error, SnapshotNotFoundError) and (missing_ok or number > 1):
                return
            raise error from failure

    await repeated(attempt, env)


# ---- the bucket ----


async def bucket_config(
    call: Call, env: Environment, timeout: float
) -> FileSystemSnapshotBucketConfig:
    """Where snapshots are kept."""
    return await _bucket(call, env, "Get", {}, timeout)


async def set_bucket_config(
    call: Call, env: Environment, bucket_name: str, region: str, timeout: float
) -> FileSystemSnapshotBucketConfig:
    """Have snapshots kept in this bucket, an empty name for the service's own."""
    config = {"bucket_name": bucket_name, "region": region}
    request = {"file_system_snapshot_bucket_config": {k: v for k, v in config.items() if v}}
    return await _bucket(call, env, "Update", request, timeout)


async def _bucket(
    call: Call, env: Environment, verb: str, request: Message, timeout: float
) -> FileSystemSnapshotBucketConfig:
    async def attempt(_: int) -> Message:
        method = f"SettingsService/{verb}FileSystemSnapshotBucketConfig"
        try:
            return await call(method, request, timeout)
        except RpcFailure as failure:
            raise to_exception(
                failure, operation=f"{verb} snapshot bucket configuration"
            ) from failure

    return messages.bucket_config(await repeated(attempt, env))
