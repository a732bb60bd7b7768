"""How a sandbox comes to be: described, created, and driven from then on."""

from __future__ import annotations

import warnings

from cwsandbox._lifecycle import lifecycle
from cwsandbox._lifecycle.handle import Handle, OnStop
from cwsandbox._lifecycle.lifecycle import Phase
from cwsandbox._messages import config, options
from cwsandbox._runtime import cleanup, life, loop, tracing
from cwsandbox._sandbox.naming import part_of_sandbox
from cwsandbox._sandbox.properties import SandboxProperties
from cwsandbox._service.connection import connection as connection_of
from cwsandbox._types.annotations import on_demand
from cwsandbox._types.enums import DataPlaneMode
from cwsandbox._types.single import Single

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from typing import Any, Self, TypeVar

    from cwsandbox._cwsandbox import OperationRef, SandboxCore
    from cwsandbox._lifecycle.data_plane import DataPlane
    from cwsandbox._lifecycle.driver import Driver
    from cwsandbox._messages.config import Workload
    from cwsandbox._runtime.cleanup import Owner
    from cwsandbox._runtime.environment import Environment
    from cwsandbox._service.client import Client
    from cwsandbox._service.connection import Connection
    from cwsandbox._types.auth import AuthConfig
    from cwsandbox._types.container import Container, SecurityContext
    from cwsandbox._types.defaults import SandboxDefaults
    from cwsandbox._types.enums import PlacementMode, PlacementSpillover
    from cwsandbox._types.network import NetworkOptions
    from cwsandbox._types.resources import ResourceOptions
    from cwsandbox._types.secret import ImagePullCredentials, ObjectStorageAccess, Secret
    from cwsandbox._types.service import Service
    from cwsandbox._types.volume import (
        FileSystemSnapshotOptions,
        RegisteredVolumeOptions,
        ScratchVolumeOptions,
    )

    _T = TypeVar("_T")


@part_of_sandbox
@on_demand
class SandboxCreation(SandboxProperties, Single):
    """What every ``Sandbox`` begins with."""

    _instead = "it is one handle on one sandbox; Sandbox.from_id() makes another"

    def __init__(
        self,
        *,
        command: str | None = None,
        args: list[str] | None = None,
        defaults: SandboxDefaults | None = None,
        auth: AuthConfig | None = None,
        container_image: str | None = None,
        tags: list[str] | None = None,
        base_url: str | None = None,
        request_timeout_seconds: float | None = None,
        create_retry_budget_seconds: float | None = None,
        poll_retry_budget_seconds: float | None = None,
        poll_rpc_timeout_seconds: float | None = None,
        max_lifetime_seconds: float | None = None,
        profile_ids: list[str] | None = None,
        profile_names: list[str] | None = None,
        runner_ids: list[str] | None = None,
        resources: ResourceOptions | dict[str, Any] | None = None,
        mounted_files: list[dict[str, Any]] | None = None,
        s3_mount: dict[str, Any] | None = None,
        ports: list[dict[str, Any]] | None = None,
        network: NetworkOptions | dict[str, Any] | None = None,
        file_system_snapshot: FileSystemSnapshotOptions | dict[str, Any] | None = None,
        max_timeout_seconds: int | None = None,
        placement_mode: PlacementMode | str | None = None,
        placement_spillover: PlacementSpillover | str | None = None,
        services: list[Service] | tuple[Service, ...] | None = None,
        volumes: Sequence[ScratchVolumeOptions | RegisteredVolumeOptions | dict[str, Any]]
        | None = None,
        template_id: str | None = None,
        image_pull_credentials: ImagePullCredentials | dict[str, Any] | None = None,
        runtime_class: str | None = None,
        security_context: SecurityContext | dict[str, Any] | None = None,
        working_dir: str | None = None,
        object_storage_access: ObjectStorageAccess | dict[str, Any] | None = None,
        environment_variables: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        secrets: Sequence[Secret | dict[str, Any]] | None = None,
        data_plane_mode: DataPlaneMode | str | None = None,
        containers: Sequence[Container | Mapping[str, Any]] | None = None,
    ) -> None:
        """Describe a sandbox, and check the description. Nothing is sent.

        Everything is optional. What is not given, or None, comes from ``defaults``, a ``SandboxDefaults``; times are
        in seconds. ``TypeError`` and ``ValueError`` name the argument, what it must be and what was given.

        Its container:

        - ``command``: the program whose end ends the sandbox. Alone it still gets the default ``args``, which belong
          to the default command: give ``args=[]`` for none. Default: a shell that waits to be stopped.
        - ``args``: the arguments of ``command``.
        - ``container_image``: the image to run, "python:3.11" by default.
        - ``environment_variables``: variables of the main process and of all commands, as a dict; added to those of
          ``defaults``.
        - ``working_dir``: the directory that the main process starts in. Default: the image's.
        - ``mounted_files``: files that are there before the main process starts: dicts with ``mount_path`` and
          ``file_content`` (bytes, or a str that is sent as UTF-8), and on ``cwsandboxd`` ``file_mode`` (such as 0o755;
          default 0o444); or a mapping from path to content.
        - ``resources``: CPU, memory and GPU, as ``{"cpu": "500m", "memory": "1Gi"}`` or ``ResourceOptions``. Default:
          the service's.
        - ``secrets``: ``Secret`` or dicts of its fields: put into environment variables; added to those of
          ``defaults``. Two that differ for one variable are a ``ValueError``.
        - ``image_pull_credentials``: ``ImagePullCredentials`` or a dict, for an image in a private registry.
        - ``security_context``: ``SecurityContext`` or a dict: user, group and rights of the processes.
        - ``containers``: several containers instead of one, as ``Container`` or dicts of its fields. None of the
          options above can stand beside it: they are set in each container. Exactly one of several is ``primary``.
        - ``template_id``: a template of the service, by its id or name, to begin with. Only what is given beside it
          replaces what the template has, as for ``run_from_template()``; of ``defaults`` the tags are added.

        The sandbox:

        - ``tags``: labels by which ``Sandbox.list()`` finds it; added to those of ``defaults``.
        - ``annotations``: texts by name that the service keeps with it; added to those of ``defaults``.
        - ``max_lifetime_seconds``: when it has existed for so long, the service ends it. Default: the service's
          limit.
        - ``network``: ``NetworkOptions`` or a dict: where it may connect to, and who may connect to it. Default: the
          service's rules.
        - ``services``: ``Service`` or dicts: ports it listens on, and who may reach them. Default: none.
        - ``volumes``: ``ScratchVolumeOptions``, ``RegisteredVolumeOptions`` or dicts. Default: none.
        - ``file_system_snapshot``: ``FileSystemSnapshotOptions`` or a dict: one more scratch volume, filled from a
          snapshot.
        - ``object_storage_access``: ``ObjectStorageAccess`` or a dict: credentials for buckets that its containers
          are given.
        - ``runner_ids``: the only runners it may run on; ``[]`` for any, where ``defaults`` name some.
        - ``placement_mode``: "serverless" or "cks": the kind of runner. Default: the service's choice.
        - ``placement_spillover``: whether a create that finds no room may try the other kind: "strict" (no, the
          default), "cks_then_serverless" or "serverless_then_cks".
        - ``runtime_class``: the name of the runtime that isolates it. Default: the service's.

        The service, and patience with it:

        - ``base_url``: the service's address. Default: ``CWSANDBOX_BASE_URL`` of the environment, then that of
          ``defaults``; "local" is a daemon on this host, started when needed.
        - ``auth``: credentials: ``AuthStrategy``, ``AuthHeaders`` or an object with ``resolve_auth``. Default: those
          of ``set_auth_mode()``, else the key in ``CWSANDBOX_API_KEY`` of the environment.
        - ``request_timeout_seconds``: limit of each call to the service, and of commands and waits that are given
          none. Default: 300; ``math.inf``: no limit.
        - ``create_retry_budget_seconds``: how long to repeat a create that found no room. Default: 0, not at all.
        - ``poll_retry_budget_seconds``: how long to repeat status requests that fail. Default: 30.
        - ``poll_rpc_timeout_seconds``: limit of one status request. Default: 15.
        - ``data_plane_mode``: how commands, logs and files reach the sandbox: through the service ("gateway"),
          straight to its own endpoint or not at all ("direct"), or through the service and straight as soon as there
          is a connection ("auto", the default).

        No longer supported, a ``TypeError``: ``profile_ids`` and ``profile_names`` (use ``runner_ids``), ``ports``
        (``services``), ``s3_mount`` (``object_storage_access``), ``max_timeout_seconds``
        (``request_timeout_seconds``).

        ::

            sandbox = Sandbox(container_image="python:3.12", resources={"cpu": "1", "memory": "2Gi"}, tags=["job-7"])
            with sandbox:
                print(sandbox.exec(["python", "--version"]).result().stdout)
        """
        given = options.pick(options.SANDBOX, locals())
        defaults = config.checked_defaults(defaults)
        options.refuse_removed(given)
        self._setup(connection_of(given, defaults), config.workload(given, defaults))
        from cwsandbox._runtime import signals

        signals.install()

    def _setup(self, connection: Connection, workload: Workload | None) -> None:
        from cwsandbox._service.native import SandboxCore

        self._connection = connection
        self._workload = workload
        self._core = SandboxCore()
        self._refusing: SandboxCore | None = None
        self._driver: Driver | None = None
        self._generation = life.generation()
        self._handle = Handle(self._core)
        # The session that stops it.
        self._owner: Owner | None = None

    @classmethod
    def run(
        cls,
        *args: str,
        container_image: str | None = None,
        defaults: SandboxDefaults | None = None,
        auth: AuthConfig | None = None,
        request_timeout_seconds: float | None = None,
        create_retry_budget_seconds: float | None = None,
        poll_retry_budget_seconds: float | None = None,
        poll_rpc_timeout_seconds: float | None = None,
        max_lifetime_seconds: float | None = None,
        tags: list[str] | None = None,
        profile_ids: list[str] | None = None,
        profile_names: list[str] | None = None,
        runner_ids: list[str] | None = None,
        resources: ResourceOptions | dict[str, Any] | None = None,
        mounted_files: list[dict[str, Any]] | None = None,
        s3_mount: dict[str, Any] | None = None,
        ports: list[dict[str, Any]] | None = None,
        network: NetworkOptions | dict[str, Any] | None = None,
        file_system_snapshot: FileSystemSnapshotOptions | dict[str, Any] | None = None,
        max_timeout_seconds: int | None = None,
        placement_mode: PlacementMode | str | None = None,
        placement_spillover: PlacementSpillover | str | None = None,
        services: list[Service] | tuple[Service, ...] | None = None,
        volumes: Sequence[ScratchVolumeOptions | RegisteredVolumeOptions | dict[str, Any]]
        | None = None,
        template_id: str | None = None,
        image_pull_credentials: ImagePullCredentials | dict[str, Any] | None = None,
        runtime_class: str | None = None,
        security_context: SecurityContext | dict[str, Any] | None = None,
        working_dir: str | None = None,
        object_storage_access: ObjectStorageAccess | dict[str, Any] | None = None,
        environment_variables: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        secrets: Sequence[Secret | dict[str, Any]] | None = None,
        data_plane_mode: DataPlaneMode | str | None = None,
        containers: Sequence[Container | Mapping[str, Any]] | None = None,
    ) -> Self:
        """Create a sandbox and return once the service has accepted it; it may not run yet.

        The first of ``args`` is the main process's command, the others are its arguments; with exactly one, the
        default arguments are used, as for ``Sandbox(command=...)``. Without any, the sandbox waits for commands until
        it is stopped.

        Blocks, also inside an event loop: ``async with Sandbox(...)`` does not. Raises ``TypeError`` and
        ``ValueError`` for wrong arguments, and what the create fails with, such as ``SandboxUnavailableError`` or
        ``CWSandboxAuthenticationError``.

        Everything else is optional. What is not given, or None, comes from ``defaults``, a ``SandboxDefaults``; times
        are in seconds. The service's address is that of ``defaults``, unless the environment's ``CWSANDBOX_BASE_URL``
        names another.

        Its container:

        - ``container_image``: the image to run, "python:3.11" by default.
        - ``environment_variables``: variables of the main process and of all commands, as a dict; added to those of
          ``defaults``.
        - ``working_dir``: the directory that the main process starts in. Default: the image's.
        - ``mounted_files``: files that are there before the main process starts: dicts with ``mount_path`` and
          ``file_content`` (bytes, or a str that is sent as UTF-8), and on ``cwsandboxd`` ``file_mode`` (such as 0o755;
          default 0o444); or a mapping from path to content.
        - ``resources``: CPU, memory and GPU, as ``{"cpu": "500m", "memory": "1Gi"}`` or ``ResourceOptions``. Default:
          the service's.
        - ``secrets``: ``Secret`` or dicts of its fields: put into environment variables; added to those of
          ``defaults``. Two that differ for one variable are a ``ValueError``.
        - ``image_pull_credentials``: ``ImagePullCredentials`` or a dict, for an image in a private registry.
        - ``security_context``: ``SecurityContext`` or a dict: user, group and rights of the processes.
        - ``containers``: several containers instead of one, as ``Container`` or dicts of its fields. None of the
          options above can stand beside it: they are set in each container. Exactly one of several is ``primary``.
        - ``template_id``: a template of the service, by its id or name, to begin with. Only what is given beside it
          replaces what the template has, as for ``run_from_template()``; of ``defaults`` the tags are added.

        The sandbox:

        - ``tags``: labels by which ``Sandbox.list()`` finds it; added to those of ``defaults``.
        - ``annotations``: texts by name that the service keeps with it; added to those of ``defaults``.
        - ``max_lifetime_seconds``: when it has existed for so long, the service ends it. Default: the service's
          limit.
        - ``network``: ``NetworkOptions`` or a dict: where it may connect to, and who may connect to it. Default: the
          service's rules.
        - ``services``: ``Service`` or dicts: ports it listens on, and who may reach them. Default: none.
        - ``volumes``: ``ScratchVolumeOptions``, ``RegisteredVolumeOptions`` or dicts. Default: none.
        - ``file_system_snapshot``: ``FileSystemSnapshotOptions`` or a dict: one more scratch volume, filled from a
          snapshot.
        - ``object_storage_access``: ``ObjectStorageAccess`` or a dict: credentials for buckets that its containers
          are given.
        - ``runner_ids``: the only runners it may run on; ``[]`` for any, where ``defaults`` name some.
        - ``placement_mode``: "serverless" or "cks": the kind of runner. Default: the service's choice.
        - ``placement_spillover``: whether a create that finds no room may try the other kind: "strict" (no, the
          default), "cks_then_serverless" or "serverless_then_cks".
        - ``runtime_class``: the name of the runtime that isolates it. Default: the service's.

        The service, and patience with it:

        - ``auth``: credentials: ``AuthStrategy``, ``AuthHeaders`` or an object with ``resolve_auth``. Default: those
          of ``set_auth_mode()``, else the key in ``CWSANDBOX_API_KEY`` of the environment.
        - ``request_timeout_seconds``: limit of each call to the service, and of commands and waits that are given
          none. Default: 300; ``math.inf``: no limit.
        - ``create_retry_budget_seconds``: how long to repeat a create that found no room. Default: 0, not at all.
        - ``poll_retry_budget_seconds``: how long to repeat status requests that fail. Default: 30.
        - ``poll_rpc_timeout_seconds``: limit of one status request. Default: 15.
        - ``data_plane_mode``: how commands, logs and files reach the sandbox: through the service ("gateway"),
          straight to its own endpoint or not at all ("direct"), or through the service and straight as soon as there
          is a connection ("auto", the default).

        No longer supported, a ``TypeError``: ``profile_ids`` and ``profile_names`` (use ``runner_ids``), ``ports``
        (``services``), ``s3_mount`` (``object_storage_access``), ``max_timeout_seconds``
        (``request_timeout_seconds``).

        ::

            with Sandbox.run(container_image="python:3.12", max_lifetime_seconds=3600) as sandbox:
                print(sandbox.exec(["python", "--version"]).result().stdout)
        """
        given = options.pick(options.RUN, locals())
        command, rest = (args[0], list(args[1:])) if args else (None, [])
        sandbox = cls(command=command, args=rest or None, defaults=defaults, **given)
        with Creating(sandbox) as creating:
            creating.start().result()
        return sandbox

    def start(self) -> OperationRef[None]:
        """Have the sandbox created, if it is not. Done when the service has accepted it.

        Cancelling the operation does not take the create back; ``stop()`` does.
        """
        return self._submit(lambda driver: driver.start())

    def _abandon(self) -> None:
        """Stop it in the background, since nobody else will."""
        cleanup.finish(self._stop(0.0, True))

    def _stop(
        self, grace: float, missing_ok: bool, snapshot: OnStop | None = None
    ) -> OperationRef[None]:
        async def operation(driver: Driver) -> None:
            try:
                await driver.stop(grace, missing_ok, snapshot)
            finally:
                # A snapshot may have failed while the stop did not.
                if self._handle.state.is_over:
                    self._leave_owner()

        return self._submit(operation, finish_at_exit=True)

    def _leave_owner(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            owner._let_go(self)

    # ---- the rest ----

    def __repr__(self) -> str:
        status = self._handle.state.status
        word = self._handle.state.phase.value if status is None else status.value
        return f"<Sandbox id={self.sandbox_id} status={word}>"

    def __del__(self) -> None:
        handle: Handle | None = getattr(self, "_handle", None)
        if handle is None or self._generation != life.generation():
            return
        if self._workload is None:
            return  # it was found: nothing says that who looks is the one to stop it
        if handle.state.phase in (Phase.STARTING, Phase.RUNNING, Phase.STOPPING):
            warnings.warn(
                f"Sandbox {handle.sandbox_id} was not stopped: call `sandbox.stop().result()`, "
                "or use it in a `with` block",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )

    def _driving(self) -> Driver:
        """The driver, made at the first operation. ``RuntimeError`` when that was in a process we were forked from."""
        if self._driver is None:
            loop.check()
            from cwsandbox._service.client import Client

            self._generation = life.generation()
            return self._drive(Client(self._connection))
        if self._generation != life.generation():
            raise RuntimeError(f"{self!r} was made before fork: it belongs to the parent process")
        return self._driver

    def _drive(self, client: Client) -> Driver:
        from cwsandbox._lifecycle.driver import Driver
        from cwsandbox._runtime import environment

        env = environment.real()
        core, handle = self._core, self._handle

        plane = self._data_plane(client, env)

        def open_core(opened: SandboxCore) -> None:
            assert handle.sandbox_id is not None
            if plane is not None and not opened.is_open:
                # What waits there is sent when it is opened.
                plane.adopt(opened, handle.sandbox_id)
            opened.open(client.opened, handle.sandbox_id)

        def on_running() -> None:
            if handle.startup_seconds is None and handle.asked_at is not None:
                handle.startup_seconds = env.clock() - handle.asked_at
                if tracing.tracer is not None:
                    tracing.tracer.running(handle.startup_seconds)
            # A core that must wait for another way than the gateway's is opened when there is one.
            if not core.is_closed and (plane is None or not plane.is_strict):
                open_core(core)

        with life.lock():
            if self._driver is None:
                handle.now = env.now
                handle.plane = plane
                handle.on_running = on_running
                handle.open_core = open_core
                self._driver = Driver(
                    handle, self._connection, self._workload, client.call, env, client.knows
                )
            return self._driver

    def _data_plane(self, client: Client, env: Environment) -> DataPlane | None:
        """The direct one, unless all goes by the gateway. A daemon on this host is as direct as can be."""
        mode = self._connection.data_plane_mode
        if mode is DataPlaneMode.GATEWAY:
            return None
        if mode is DataPlaneMode.AUTO and self._connection.is_local:
            return None
        from cwsandbox._lifecycle import data_plane

        shares = data_plane.shares(env)
        return data_plane.DataPlane(self._handle.cores, self._connection, client.call, env, shares)

    def _core_for_operations(self) -> SandboxCore:
        """Where operations begin. Once the sandbox has stopped, they are refused there at once."""
        return self._core if self._handle.state.takes_commands else self._refusing_core()

    def _serve(self, core: SandboxCore) -> None:
        """Bring the sandbox to run, if what has begun in ``core`` waits for that."""
        if not core.is_served:
            driver = self._driving()
            loop.policy().call(driver.serve_commands)

    def _refusing_core(self) -> SandboxCore:
        # The sandbox was seen to stop by itself. Commands that run in it may still end well: its own core stays open.
        if self._core.is_closed:
            return self._core
        with life.lock():
            if self._refusing is None:
                self._refusing = type(self._core)()
                self._refusing.close(lifecycle.stopped_error(self.sandbox_id))
            return self._refusing

    def _submit(
        self, make: Callable[[Driver], Coroutine[Any, Any, _T]], *, finish_at_exit: bool = False
    ) -> OperationRef[_T]:
        driver = self._driving()
        return loop.submit(lambda: make(driver), finish_at_exit=finish_at_exit)


class Creating:
    """The block in which a sandbox is created. If an exception leaves it, nobody has a handle to stop the sandbox with.

    So the sandbox is stopped here, unless it is certain that there is none: the service has refused to create it. The
    exception says little about that: the create goes on whatever a signal handler raises, and one that was not answered
    may have made a sandbox.
    """

    def __init__(self, sandbox: SandboxCreation, *, begins_block: bool = False) -> None:
        self._sandbox = sandbox
        self._begins_block = begins_block
        self._operation: OperationRef[None] | None = None

    def start(self) -> OperationRef[None]:
        """``RuntimeError`` at the end of the program: who is still there then will not end a block any more."""
        if cleanup.is_exiting():
            raise RuntimeError(life.ENDING)
        self._operation = self._sandbox.start()
        return self._operation

    def __enter__(self) -> Creating:
        cleanup.hold(self._sandbox)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: object, exc_tb: object
    ) -> None:
        if exc_type is not None or not self._begins_block:
            cleanup.release(self._sandbox)
        if exc_type is None or self._was_refused(exc_type):
            return
        # An exception from a signal handler may have cut the import of asyncio short, which then fails for good.
        if not loop.has_begun():
            return
        try:
            self._sandbox._abandon()
        except RuntimeError:
            # No operation can begin here, so the create has not begun either.
            return

    def _was_refused(self, exc_type: type[BaseException]) -> bool:
        # An operation that was cancelled is done as well, while its create goes on.
        driver = self._sandbox._driver
        return (
            issubclass(exc_type, Exception)
            and self._operation is not None
            and self._operation._done()
            and self._sandbox.sandbox_id is None
            and not (driver is not None and driver.is_in_doubt)
        )
