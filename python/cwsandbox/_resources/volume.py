"""``Volume``: storage that is registered with the service and outlives sandboxes."""

from __future__ import annotations

import builtins
import uuid
from typing import TYPE_CHECKING

from cwsandbox._lifecycle import request as requests
from cwsandbox._messages import volumes as messages
from cwsandbox._service.connection import connection_for_call
from cwsandbox._types import check
from cwsandbox._types.annotations import on_demand
from cwsandbox._types.registered import VolumeLocality, VolumeState
from cwsandbox._types.standard import DEFAULT_POLL_RPC_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from cwsandbox._cwsandbox import OperationRef
    from cwsandbox._runtime.environment import Call, Environment
    from cwsandbox._service.connection import Connection
    from cwsandbox._types.auth import AuthConfig
    from cwsandbox._types.registered import PvcVolumeSource


@on_demand
class Volume:
    """A volume that is registered with the service: sandboxes mount it by its id, and what is in it outlives them.

    ``Volume.create()``, ``Volume.get()`` and ``Volume.list()`` give them. ``update()``, ``validate()``, ``delete()``
    and ``wait_until_ready()`` ask the service and set the attributes to what it answers. They go to the service, with
    the credentials and the time limit, that the object was made with; what is given to a call is for that call only.

    ::

        claim = PvcVolumeSource(runner_id="r-1", namespace="team", claim_name="datasets")
        volume = Volume.create("datasets", pvc=claim).result()
        volume.wait_until_ready().result()
        mount = RegisteredVolumeOptions(name="data", volume_id=volume.volume_id, mount_path="/data")
        with Sandbox.run(volumes=[mount]) as sandbox:
            print(sandbox.exec(["ls", "/data"]).result().stdout)
    """

    volume_id: str
    pvc: PvcVolumeSource | None
    read_only: bool
    description: str
    state: VolumeState
    state_reason: str
    locality: VolumeLocality
    access_modes: tuple[str, ...]
    capacity: str
    attached_sandbox_count: int
    created_at: datetime | None
    updated_at: datetime | None
    last_validated_at: datetime | None

    def __init__(
        self,
        *,
        volume_id: str,
        pvc: PvcVolumeSource | None = None,
        read_only: bool = False,
        description: str = "",
        state: VolumeState = VolumeState.UNSPECIFIED,
        state_reason: str = "",
        locality: VolumeLocality = VolumeLocality.UNSPECIFIED,
        access_modes: tuple[str, ...] = (),
        capacity: str = "",
        attached_sandbox_count: int = 0,
        created_at: datetime | None = None,
        updated_at: datetime | None = None,
        last_validated_at: datetime | None = None,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> None:
        """A handle on a volume. Sends nothing; ``Volume.get()`` asks the service.

        - ``volume_id``: its id.
        - ``pvc``: the claim behind it. Default: not known.
        - ``read_only``: whether nobody can write to it. Default: False.
        - ``description``: a text for people. Default: none.
        - ``state``: where it is in its life. Default: not known.
        - ``state_reason``: the service's explanation of that. Default: none.
        - ``locality``: whether it can be reached from one cluster only. Default: not known.
        - ``access_modes``: those of its claim. Default: none known.
        - ``capacity``: its size, as a quantity such as "10Gi". Default: not known.
        - ``attached_sandbox_count``: how many sandboxes have it. Default: 0.
        - ``created_at``: when it was registered, in UTC. Default: not known.
        - ``updated_at``: when the record changed last. Default: not known.
        - ``last_validated_at``: when the service looked at the claim last. Default: not known.
        - ``base_url``: the service's address, for the methods. Default: ``CWSANDBOX_BASE_URL`` of the environment,
          else the published service.
        - ``timeout_seconds``: limit of each of their requests. Default: 300.
        - ``auth``: credentials: ``AuthStrategy``, ``AuthHeaders`` or an object with ``resolve_auth``. Default: those
          of ``set_auth_mode()``, else the key in ``CWSANDBOX_API_KEY`` of the environment.
        """
        self.volume_id = volume_id
        self.pvc = pvc
        self.read_only = read_only
        self.description = description
        self.state = state
        self.state_reason = state_reason
        self.locality = locality
        self.access_modes = access_modes
        self.capacity = capacity
        self.attached_sandbox_count = attached_sandbox_count
        self.created_at = created_at
        self.updated_at = updated_at
        self.last_validated_at = last_validated_at
        self._base_url = base_url
        self._timeout_seconds = timeout_seconds
        self._auth = auth

    def __repr__(self) -> str:
        return f"Volume(volume_id={self.volume_id!r}, state={self.state})"

    # ---- those that there are ----

    @classmethod
    def create(
        cls,
        volume_id: str,
        *,
        pvc: PvcVolumeSource,
        read_only: bool = False,
        description: str = "",
        request_id: str | None = None,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> OperationRef[Volume]:
        """Register a volume. The operation gives it while the service still looks at its claim.

        - ``volume_id``: the id to register it by.
        - ``pvc``: the claim behind it.
        - ``read_only``: whether nobody can write to it. Default: False.
        - ``description``: a text for people. Default: none.
        - ``request_id``: a key by which the service knows a repeated request. Default: a new one.
        - ``base_url``: the service's address, as for ``Volume()``.
        - ``timeout_seconds``: limit of one request. Default: 300; ``math.inf``: no limit. One that fails in a way that
          may pass is repeated for 30 s.
        - ``auth``: credentials, as for ``Volume()``.
        """
        where = _Where(base_url, timeout_seconds, auth)
        key = check.optional_text(request_id, "request_id") or str(uuid.uuid4())
        request = messages.create_request(volume_id, pvc, read_only, description, key)
        return cls._asked("Create", request, volume_id, where)

    @classmethod
    def get(
        cls,
        volume_id: str,
        *,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> OperationRef[Volume]:
        """Look a volume up. The operation fails with ``VolumeNotFoundError`` if there is none.

        - ``volume_id``: its id.
        - ``base_url``: the service's address, as for ``Volume()``.
        - ``timeout_seconds``: limit of one request, as for ``create()``.
        - ``auth``: credentials, as for ``Volume()``.
        """
        where = _Where(base_url, timeout_seconds, auth)
        request = {"volume_id": check.text(volume_id, "volume_id")}
        return cls._asked("Get", request, volume_id, where)

    @classmethod
    def list(
        cls,
        *,
        states: Sequence[VolumeState | str] | None = None,
        runner_ids: Sequence[str] | None = None,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> OperationRef[builtins.list[Volume]]:
        """Find volumes. The operation gives them in the service's order.

        - ``states``: only those in one of these states, such as "ready" (``VolumeState``). Default: in any.
        - ``runner_ids``: only those on one of these runners. Default: on any.
        - ``base_url``: the service's address, as for ``Volume()``.
        - ``timeout_seconds``: limit of the requests for all pages together. Default: 300; ``math.inf``: no limit.
          What fails in a way that may pass is repeated for 30 s, from the first page.
        - ``auth``: credentials, as for ``Volume()``.
        """
        where = _Where(base_url, timeout_seconds, auth)
        request = messages.list_request(states, runner_ids)

        async def operation(call: Call, env: Environment, timeout: float) -> builtins.list[Volume]:
            from cwsandbox._lifecycle import volumes

            found = await volumes.find(call, env, request, timeout)
            return [cls._made(message, where, "") for message in found]

        return requests.submit(where.connection, operation)

    # ---- one of them ----

    def update(
        self,
        *,
        description: str,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> OperationRef[Volume]:
        """Change the description. The operation gives the object itself.

        - ``description``: the new one.
        - ``base_url``: another service for this call. Default: the object's.
        - ``timeout_seconds``: another limit. Default: the object's.
        - ``auth``: other credentials. Default: the object's.
        """
        where = self._where(base_url, timeout_seconds, auth)
        request = messages.update_request(self.volume_id, description)
        return self._refreshed("Update", request, where)

    def validate(
        self,
        *,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> OperationRef[Volume]:
        """Have the service look at the claim again. The operation gives the object itself.

        - ``base_url``: another service for this call. Default: the object's.
        - ``timeout_seconds``: another limit. Default: the object's.
        - ``auth``: other credentials. Default: the object's.
        """
        where = self._where(base_url, timeout_seconds, auth)
        return self._refreshed("Validate", {"volume_id": self.volume_id}, where)

    def delete(
        self,
        *,
        allow_missing: bool = False,
        force: bool = False,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> OperationRef[Volume]:
        """Take the registration back; the claim, and what is in it, stay. The operation gives the object itself.

        - ``allow_missing``: do nothing if there is no such volume. Default: ``VolumeNotFoundError``.
        - ``force``: also while sandboxes have it. Default: ``VolumeInUseError``.
        - ``base_url``: another service for this call. Default: the object's.
        - ``timeout_seconds``: another limit. Default: the object's.
        - ``auth``: other credentials. Default: the object's.
        """
        where = self._where(base_url, timeout_seconds, auth)
        request: dict[str, Any] = {"volume_id": self.volume_id}
        for name, value in {"allow_missing": allow_missing, "force": force}.items():
            if check.boolean(value, name):
                request[name] = value

        async def operation(call: Call, env: Environment, timeout: float) -> Volume:
            from cwsandbox._lifecycle import volumes

            message = await volumes.delete(call, env, request, timeout)
            if message is not None:
                self._see(message)
            return self

        return requests.submit(where.connection, operation)

    def wait_until_ready(
        self,
        timeout: float = 60.0,
        *,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> OperationRef[Volume]:
        """Wait until sandboxes can have the volume. The operation gives the object itself.

        - ``timeout``: for how many seconds. Default: 60; then ``VolumeWaitTimeoutError``.
        - ``base_url``: another service for this call. Default: the object's.
        - ``timeout_seconds``: limit of each look. Default: 15.
        - ``auth``: other credentials. Default: the object's.

        ``VolumeError`` when the service has found that it cannot be used, or it is being deleted;
        ``SandboxUnavailableError`` when the service could not be reached for 30 s or until ``timeout`` was over.
        """
        limit = check.timeout(timeout, "timeout")
        each = DEFAULT_POLL_RPC_TIMEOUT_SECONDS if timeout_seconds is None else timeout_seconds
        where = self._where(base_url, each, auth)
        volume_id = self.volume_id

        async def operation(call: Call, env: Environment, timeout: float) -> Volume:
            from cwsandbox._lifecycle import volumes

            await volumes.wait_ready(
                call, env, volume_id, limit=limit, timeout=timeout, seen=self._see
            )
            return self

        return requests.submit(where.connection, operation)

    # ---- how the service is asked ----

    def _where(
        self, base_url: str | None, timeout_seconds: float | None, auth: AuthConfig | None
    ) -> _Where:
        return _Where(
            self._base_url if base_url is None else base_url,
            self._timeout_seconds if timeout_seconds is None else timeout_seconds,
            self._auth if auth is None else auth,
        )

    @classmethod
    def _asked(
        cls, verb: str, request: dict[str, Any], volume_id: str, where: _Where
    ) -> OperationRef[Volume]:
        async def operation(call: Call, env: Environment, timeout: float) -> Volume:
            from cwsandbox._lifecycle import volumes

            message = await volumes.ask(call, env, verb, request, volume_id, timeout)
            return cls._made(message, where, volume_id)

        return requests.submit(where.connection, operation)

    def _refreshed(self, verb: str, request: dict[str, Any], where: _Where) -> OperationRef[Volume]:
        async def operation(call: Call, env: Environment, timeout: float) -> Volume:
            from cwsandbox._lifecycle import volumes

            self._see(await volumes.ask(call, env, verb, request, request["volume_id"], timeout))
            return self

        return requests.submit(where.connection, operation)

    @classmethod
    def _made(cls, message: Mapping[str, Any], where: _Where, volume_id: str) -> Volume:
        told = {"volume_id": volume_id, **messages.fields(message)}
        return cls(
            **told,
            base_url=where.base_url,
            timeout_seconds=where.timeout_seconds,
            auth=where.auth,
        )

    def _see(self, message: Mapping[str, Any]) -> None:
        for name, value in messages.fields(message).items():
            setattr(self, name, value)


class _Where:
    """The service that is asked, as it was given, and checked."""

    connection: Connection

    def __init__(
        self, base_url: str | None, timeout_seconds: float | None, auth: AuthConfig | None
    ) -> None:
        self.base_url, self.timeout_seconds, self.auth = base_url, timeout_seconds, auth
        self.connection = connection_for_call(
            base_url=base_url, auth=auth, timeout_seconds=timeout_seconds
        )
