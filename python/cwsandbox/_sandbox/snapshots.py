"""The public verbs for snapshots."""

from __future__ import annotations

import builtins

from cwsandbox._lifecycle import request
from cwsandbox._sandbox.creation import SandboxCreation
from cwsandbox._sandbox.naming import part_of_sandbox
from cwsandbox._service.connection import connection_for_call
from cwsandbox._types import check
from cwsandbox._types.annotations import on_demand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cwsandbox._cwsandbox import OperationRef
    from cwsandbox._runtime.environment import Call, Environment
    from cwsandbox._types.auth import AuthConfig
    from cwsandbox._types.snapshot import (
        FileSystemSnapshot,
        FileSystemSnapshotBucketConfig,
        FileSystemSnapshotStatus,
    )


@part_of_sandbox
@on_demand
class SandboxSnapshots(SandboxCreation):
    """Saved copies of scratch volumes."""

    def snapshot(
        self,
        *,
        wait_for_ready: bool = True,
        request_id: str | None = None,
        retry_budget_seconds: float | None = None,
    ) -> OperationRef[str]:
        """Save the sandbox's scratch volume, creating the sandbox if need be. The operation gives the snapshot's id.

        ``ScratchVolumeOptions`` and ``FileSystemSnapshotOptions`` take the id, for a sandbox whose volume begins with
        what was saved. The sandbox goes on running.

        - ``wait_for_ready``: whether the operation is done only when the snapshot can be restored, which may take 605
          s. Then it fails with ``SnapshotWaitTimeoutError``, and with ``SandboxSnapshotError`` if the snapshot
          failed. Default: True.
        - ``request_id``: a key by which the service knows a repeated request, and answers it with the same snapshot.
          Default: a new one.
        - ``retry_budget_seconds``: how long to repeat a request that fails in a way that may pass. Default: 30. A
          service that is lost while the snapshot is waited for has 30 s before that.

        A sandbox with several scratch volumes has ``SandboxSnapshotError``: ``stop(snapshot_on_stop=True)`` saves
        them all. Other failures are ``SandboxTerminatedError`` and ``SandboxNotRunningError`` for one that does not
        run, and what the service answers, such as ``SnapshotQuotaExceededError``.

        ::

            saved = sandbox.snapshot().result()
            with Sandbox.run(file_system_snapshot={"mount_path": "/data", "file_system_snapshot_id": saved}) as copy:
                print(copy.exec(["ls", "/data"]).result().stdout)
        """
        wait = check.boolean(wait_for_ready, "wait_for_ready")
        key = check.optional_text(request_id, "request_id")
        budget = None
        if retry_budget_seconds is not None:
            budget = check.budget(retry_budget_seconds, "retry_budget_seconds")
        return self._submit(lambda driver: driver.snapshot(key, wait, budget))

    @classmethod
    def get_snapshot(
        cls,
        file_system_snapshot_id: str,
        *,
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
    ) -> OperationRef[FileSystemSnapshot]:
        """Look a snapshot up. The operation gives its record.

        - ``file_system_snapshot_id``: its id.
        - ``base_url``: the service's address. Default: ``CWSANDBOX_BASE_URL`` of the environment, else the published
          service.
        - ``auth``: credentials: ``AuthStrategy``, ``AuthHeaders`` or an object with ``resolve_auth``. Default: those
          of ``set_auth_mode()``, else the key in ``CWSANDBOX_API_KEY`` of the environment.
        - ``timeout_seconds``: limit of one request. Default: 300; ``math.inf``: no limit. One that fails in a way that
          may pass is repeated for 30 s.

        The operation fails with ``SnapshotNotFoundError`` if there is none.
        """
        connection = connection_for_call(
            base_url=base_url, auth=auth, timeout_seconds=timeout_seconds
        )
        check.text(file_system_snapshot_id, "file_system_snapshot_id")

        async def operation(call: Call, env: Environment, timeout: float) -> FileSystemSnapshot:
            from cwsandbox._lifecycle import snapshot

            return await snapshot.get(call, env, file_system_snapshot_id, timeout)

        return request.submit(connection, operation)

    @classmethod
    def list_snapshots(
        cls,
        *,
        source_sandbox_id: str | None = None,
        status: FileSystemSnapshotStatus | str | None = None,
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
    ) -> OperationRef[builtins.list[FileSystemSnapshot]]:
        """Find snapshots. The operation gives their records, in the service's order.

        - ``source_sandbox_id``: only those of this sandbox. Default: of all.
        - ``status``: only those in this state, such as "ready" (``FileSystemSnapshotStatus``). Default: in any.
        - ``base_url``: the service's address, as for ``get_snapshot()``.
        - ``auth``: credentials, as for ``get_snapshot()``.
        - ``timeout_seconds``: limit of the requests for all pages together. Default: 300; ``math.inf``: no limit.
          What fails in a way that may pass is repeated for 30 s, from the first page.
        """
        connection = connection_for_call(
            base_url=base_url, auth=auth, timeout_seconds=timeout_seconds
        )
        source = check.optional_text(source_sandbox_id, "source_sandbox_id")
        wanted = None
        if status is not None:
            from cwsandbox._types.snapshot import FileSystemSnapshotStatus

            wanted = check.choice(status, FileSystemSnapshotStatus, "status")

        async def operation(
            call: Call, env: Environment, timeout: float
        ) -> builtins.list[FileSystemSnapshot]:
            from cwsandbox._lifecycle import snapshot

            found = await snapshot.find(call, env, timeout)
            return [
                one
                for one in found
                if source in (None, one.source_sandbox_id) and wanted in (None, one.status)
            ]

        return request.submit(connection, operation)

    @classmethod
    def delete_snapshot(
        cls,
        file_system_snapshot_id: str,
        *,
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
        missing_ok: bool = False,
    ) -> OperationRef[None]:
        """Delete a snapshot. Sandboxes that were filled from it keep what they have.

        - ``file_system_snapshot_id``: its id.
        - ``base_url``: the service's address, as for ``get_snapshot()``.
        - ``auth``: credentials, as for ``get_snapshot()``.
        - ``timeout_seconds``: limit of one request, as for ``get_snapshot()``.
        - ``missing_ok``: do nothing if there is no such snapshot. Default: ``SnapshotNotFoundError``.
        """
        connection = connection_for_call(
            base_url=base_url, auth=auth, timeout_seconds=timeout_seconds
        )
        check.text(file_system_snapshot_id, "file_system_snapshot_id")
        check.boolean(missing_ok, "missing_ok")

        async def operation(call: Call, env: Environment, timeout: float) -> None:
            from cwsandbox._lifecycle import snapshot

            await snapshot.delete(
                call, env, file_system_snapshot_id, missing_ok=missing_ok, timeout=timeout
            )

        return request.submit(connection, operation)

    @classmethod
    def get_snapshot_bucket_config(
        cls,
        *,
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
    ) -> OperationRef[FileSystemSnapshotBucketConfig]:
        """Ask where the organization's snapshots are kept.

        - ``base_url``: the service's address, as for ``get_snapshot()``.
        - ``auth``: credentials, as for ``get_snapshot()``.
        - ``timeout_seconds``: limit of one request, as for ``get_snapshot()``.
        """
        connection = connection_for_call(
            base_url=base_url, auth=auth, timeout_seconds=timeout_seconds
        )

        async def operation(
            call: Call, env: Environment, timeout: float
        ) -> FileSystemSnapshotBucketConfig:
            from cwsandbox._lifecycle import snapshot

            return await snapshot.bucket_config(call, env, timeout)

        return request.submit(connection, operation)

    @classmethod
    def set_snapshot_bucket_config(
        cls,
        *,
        bucket_name: str,
        region: str = "",
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
    ) -> OperationRef[FileSystemSnapshotBucketConfig]:
        """Have the organization's new snapshots kept in a bucket of its own. The operation gives the new settings.

        - ``bucket_name``: the bucket; ``""`` for the service's own again.
        - ``region``: its region. Default: the service finds out.
        - ``base_url``: the service's address, as for ``get_snapshot()``.
        - ``auth``: credentials, as for ``get_snapshot()``.
        - ``timeout_seconds``: limit of one request, as for ``get_snapshot()``.
        """
        connection = connection_for_call(
            base_url=base_url, auth=auth, timeout_seconds=timeout_seconds
        )
        for name, value in {"bucket_name": bucket_name, "region": region}.items():
            if not isinstance(value, str):
                raise TypeError(f"{name} must be a str, got {check.shown(value)}")

        async def operation(
            call: Call, env: Environment, timeout: float
        ) -> FileSystemSnapshotBucketConfig:
            from cwsandbox._lifecycle import snapshot

            return await snapshot.set_bucket_config(call, env, bucket_name, region, timeout)

        return request.submit(connection, operation)
