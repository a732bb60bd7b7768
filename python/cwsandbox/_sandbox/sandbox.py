"""``Sandbox``: the public verbs, each a few lines over the policy code and the native core."""

from __future__ import annotations

import builtins
import warnings

from cwsandbox._lifecycle import lifecycle
from cwsandbox._lifecycle.handle import Handle
from cwsandbox._lifecycle.lifecycle import Phase
from cwsandbox._messages import config, options
from cwsandbox._messages.command import container_name, directory, limit, variables, words_of
from cwsandbox._runtime import life, loop
from cwsandbox._sandbox.properties import SandboxProperties
from cwsandbox._service.connection import connection as connection_of
from cwsandbox._types import check as _check
from cwsandbox._types.annotations import on_demand
from cwsandbox._types.enums import DataPlaneMode, SandboxStatus, number
from cwsandbox._types.standard import DEFAULT_GRACEFUL_SHUTDOWN_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
    from typing import Any, NoReturn, TypeVar

    from cwsandbox._cwsandbox import OperationRef, Process, SandboxCore
    from cwsandbox._lifecycle.driver import Driver
    from cwsandbox._messages.config import Workload
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


@on_demand
class Sandbox(SandboxProperties):
    """One sandbox: create it, run commands in it, stop it.

    ``Sandbox(...)`` sends nothing; the sandbox is created by ``start()``, by entering it as a context manager, or by
    the first command. ``Sandbox.run(...)`` creates it at once. As a context manager (``with`` and ``async with``) it
    is stopped at the end of the block.

    Methods that return an ``OperationRef`` return at once; ``.result()`` blocks for the outcome, ``await`` awaits it in
    any event loop. All methods may be used from any thread. All times are in seconds.
    """

    def __init__(
        self,
        *,
        command: str | None = None,
        args: builtins.list[str] | None = None,
        defaults: SandboxDefaults | None = None,
        auth: AuthConfig | None = None,
        container_image: str | None = None,
        tags: builtins.list[str] | None = None,
        base_url: str | None = None,
        request_timeout_seconds: float | None = None,
        create_retry_budget_seconds: float | None = None,
        poll_retry_budget_seconds: float | None = None,
        poll_rpc_timeout_seconds: float | None = None,
        max_lifetime_seconds: float | None = None,
        profile_ids: builtins.list[str] | None = None,
        profile_names: builtins.list[str] | None = None,
        runner_ids: builtins.list[str] | None = None,
        resources: ResourceOptions | dict[str, Any] | None = None,
        mounted_files: builtins.list[dict[str, Any]] | None = None,
        s3_mount: dict[str, Any] | None = None,
        ports: builtins.list[dict[str, Any]] | None = None,
        network: NetworkOptions | dict[str, Any] | None = None,
        file_system_snapshot: FileSystemSnapshotOptions | dict[str, Any] | None = None,
        max_timeout_seconds: int | None = None,
        placement_mode: PlacementMode | str | None = None,
        placement_spillover: PlacementSpillover | str | None = None,
        services: builtins.list[Service] | tuple[Service, ...] | None = None,
        volumes: builtins.list[ScratchVolumeOptions | RegisteredVolumeOptions | dict[str, Any]]
        | tuple[ScratchVolumeOptions | RegisteredVolumeOptions | dict[str, Any], ...]
        | None = None,
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
        """Describe a sandbox; what is not given comes from ``defaults``.

        ``command`` and ``args`` are the main process, whose end ends the sandbox. ``command`` alone still gets the
        default ``args``, which keep the default command alive; give ``args=[]`` for none. ``profile_ids``,
        ``profile_names``, ``s3_mount``, ``ports`` and ``max_timeout_seconds`` are gone and must not be given.
        """
        given = options.pick(options.SANDBOX, locals())
        defaults = config.checked_defaults(defaults)
        options.refuse_removed(given)
        self._setup(connection_of(given, defaults), config.workload(given, defaults))

    def _setup(self, connection: Connection, workload: Workload | None) -> None:
        from cwsandbox._service.native import SandboxCore

        self._connection = connection
        self._workload = workload
        self._core = SandboxCore()
        self._refusing: SandboxCore | None = None
        self._driver: Driver | None = None
        self._generation = life.generation()
        self._handle = Handle(self._core)

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
        tags: builtins.list[str] | None = None,
        profile_ids: builtins.list[str] | None = None,
        profile_names: builtins.list[str] | None = None,
        runner_ids: builtins.list[str] | None = None,
        resources: ResourceOptions | dict[str, Any] | None = None,
        mounted_files: builtins.list[dict[str, Any]] | None = None,
        s3_mount: dict[str, Any] | None = None,
        ports: builtins.list[dict[str, Any]] | None = None,
        network: NetworkOptions | dict[str, Any] | None = None,
        file_system_snapshot: FileSystemSnapshotOptions | dict[str, Any] | None = None,
        max_timeout_seconds: int | None = None,
        placement_mode: PlacementMode | str | None = None,
        placement_spillover: PlacementSpillover | str | None = None,
        services: builtins.list[Service] | tuple[Service, ...] | None = None,
        volumes: builtins.list[ScratchVolumeOptions | RegisteredVolumeOptions | dict[str, Any]]
        | tuple[ScratchVolumeOptions | RegisteredVolumeOptions | dict[str, Any], ...]
        | None = None,
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
    ) -> Sandbox:
        """Create a sandbox and return once the service has accepted it; it may not run yet.

        The first positional argument is the command, the others its arguments; with exactly one, the default
        arguments are used, as for the constructor. Blocks, also inside an event loop: ``async with Sandbox(...)``
        does not.
        """
        given = options.pick(options.RUN, locals())
        command, rest = (args[0], list(args[1:])) if args else (None, [])
        sandbox = cls(command=command, args=rest or None, defaults=defaults, **given)
        with _Unless(sandbox._abandon):
            sandbox.start().result()
        return sandbox

    # ---- finding sandboxes ----

    @classmethod
    def list(
        cls,
        *,
        tags: builtins.list[str] | None = None,
        status: str | None = None,
        profile_ids: builtins.list[str] | None = None,
        profile_names: builtins.list[str] | None = None,
        runner_ids: builtins.list[str] | None = None,
        show_terminated: bool = False,
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
        poll_retry_budget_seconds: float | None = None,
        poll_rpc_timeout_seconds: float | None = None,
        data_plane_mode: DataPlaneMode | str = DataPlaneMode.AUTO,
        volume_ids: builtins.list[str] | tuple[str, ...] | None = None,
    ) -> OperationRef[builtins.list[Sandbox]]:
        """The sandboxes that have all ``tags``, are in ``status``, and are on one of ``runner_ids``.

        Only active ones, unless ``show_terminated`` or a final ``status`` asks for others. ``timeout_seconds`` is for
        all pages together.
        """
        connection = _class_connection(
            base_url=base_url,
            auth=auth,
            timeout_seconds=timeout_seconds,
            poll_retry_budget_seconds=poll_retry_budget_seconds,
            poll_rpc_timeout_seconds=poll_rpc_timeout_seconds,
            data_plane_mode=data_plane_mode,
            profile_ids=profile_ids,
            profile_names=profile_names,
        )
        filters: dict[str, Any] = {}
        named = {"tags": tags, "runner_ids": runner_ids, "volume_ids": volume_ids}
        for name, values in named.items():
            if values is not None:
                filters[name] = builtins.list(_check.strings(values, name))
        if status is not None:
            filters["state"] = number(_check.choice(status, SandboxStatus, "status"))
        if show_terminated:
            filters["show_terminated"] = True

        async def operation() -> builtins.list[Sandbox]:
            from cwsandbox._sandbox import others

            client, messages = await others.find(connection, filters)
            return [cls._discovered(connection, client, message) for message in messages]

        return loop.submit(operation)

    @classmethod
    def from_id(
        cls,
        sandbox_id: str,
        *,
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
        poll_retry_budget_seconds: float | None = None,
        poll_rpc_timeout_seconds: float | None = None,
        data_plane_mode: DataPlaneMode | str = DataPlaneMode.AUTO,
    ) -> OperationRef[Sandbox]:
        """The sandbox with this id, also one that has ended. ``SandboxNotFoundError`` if there is none."""
        connection = _class_connection(
            base_url=base_url,
            auth=auth,
            timeout_seconds=timeout_seconds,
            poll_retry_budget_seconds=poll_retry_budget_seconds,
            poll_rpc_timeout_seconds=poll_rpc_timeout_seconds,
            data_plane_mode=data_plane_mode,
        )
        _check.text(sandbox_id, "sandbox_id")

        async def operation() -> Sandbox:
            from cwsandbox._sandbox import others

            client, message = await others.get(connection, sandbox_id)
            return cls._discovered(connection, client, message)

        return loop.submit(operation)

    @classmethod
    def delete(
        cls,
        sandbox_id: str,
        *,
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
        missing_ok: bool = False,
    ) -> OperationRef[None]:
        """Kill the sandbox with this id at once. Done when the service has accepted that, not when it is gone."""
        connection = _class_connection(
            base_url=base_url, auth=auth, timeout_seconds=timeout_seconds
        )
        _check.text(sandbox_id, "sandbox_id")

        async def operation() -> None:
            from cwsandbox._sandbox import others

            await others.delete(connection, sandbox_id, missing_ok)

        return loop.submit(operation)

    @classmethod
    def _discovered(
        cls, connection: Connection, client: Client, message: dict[str, Any]
    ) -> Sandbox:
        # On the policy loop, where no subclass has a word.
        sandbox = object.__new__(cls)
        sandbox._setup(connection, None)
        sandbox._drive(client)
        sandbox._handle.discover(message)
        return sandbox

    # ---- its life ----

    def start(self) -> OperationRef[None]:
        """Have the sandbox created, if it is not. Done when the service has accepted it.

        Cancelling the operation does not take the create back; ``stop()`` does.
        """
        return self._submit(lambda driver: driver.start())

    def wait(self, timeout: float | None = None) -> Sandbox:
        """Block until the sandbox runs (or has completed), creating it if need be; returns itself.

        The service is asked, also about a sandbox that was seen to run. ``timeout`` None is the request timeout,
        300 s by default. ``SandboxTimeoutError`` when it is over; ``SandboxFailedError``, ``SandboxTerminatedError``
        or ``SandboxNotRunningError`` when the sandbox will never run, or not again.
        """
        limit = None if timeout is None else _check.patience(timeout, "timeout")
        _block(self._submit(lambda driver: driver.wait_running(limit)))
        return self

    def __await__(self) -> Generator[Any, None, Sandbox]:
        """As ``wait()``, without blocking the event loop."""
        return self._running().__await__()

    def _running(self) -> OperationRef[Sandbox]:
        """An operation that is done when the sandbox runs."""

        async def operation(driver: Driver) -> Sandbox:
            await driver.wait_running(None)
            return self

        return self._submit(operation)

    def wait_until_complete(
        self, timeout: float | None = None, *, raise_on_termination: bool = True
    ) -> OperationRef[Sandbox]:
        """Wait until the sandbox has ended, creating it if need be; the operation gives the sandbox itself.

        ``timeout`` None is the request timeout, 300 s by default. Fails with ``SandboxFailedError`` when the sandbox
        failed, and with ``SandboxTerminatedError`` when it was stopped, unless ``raise_on_termination`` is false.
        """
        limit = None if timeout is None else _check.patience(timeout, "timeout")

        async def operation(driver: Driver) -> Sandbox:
            await driver.wait_complete(limit, raise_on_termination)
            return self

        return self._submit(operation)

    def get_status(self) -> SandboxStatus:
        """Ask the server for the status now. Blocks; one try, of ``poll_rpc_timeout_seconds``."""
        return _block(self._submit(lambda driver: driver.get_status()))

    def stop(
        self,
        *,
        graceful_shutdown_seconds: float = DEFAULT_GRACEFUL_SHUTDOWN_SECONDS,
        missing_ok: bool = False,
    ) -> OperationRef[None]:
        """Stop the sandbox and wait for its final state.

        The main process is asked to end and killed after ``graceful_shutdown_seconds`` (0: at once). Commands that
        still run end with ``SandboxNotRunningError``. A create that is under way is waited for, so that nothing is left
        behind. One that was never started cannot be started any more. With ``missing_ok`` it is no error that the
        sandbox is gone. ``SandboxTerminalStateUnavailableError`` when no final state is seen within the grace time
        and 10 s.
        """
        grace = _check.budget(graceful_shutdown_seconds, "graceful_shutdown_seconds")
        if self._handle.state.is_over:
            return loop.done(None)
        return self._submit(lambda driver: driver.stop(grace, missing_ok), finish_at_exit=True)

    # ---- commands ----

    def exec(
        self,
        command: Sequence[str],
        *,
        cwd: str | None = None,
        check: bool = False,
        timeout_seconds: float | None = None,
        stdin: bool = False,
        container: str | None = None,
        env: Mapping[str, str] | None = None,
        capture_output: bool = True,
        max_output_bytes: int | None = None,
    ) -> Process:
        """Start a command in the sandbox and return at once, creating the sandbox if need be.

        ``cwd`` is an absolute path to start in; where it cannot be entered, the command ends with a message and exit
        code 126 (of services other than ``cwsandboxd``: with what ``/bin/sh`` makes of that). With ``check`` a
        non-zero exit code raises ``SandboxExecutionError`` from ``result()``. ``timeout_seconds`` counts from when the
        command is sent to a running sandbox; None is the request timeout, 300 s by default, ``math.inf`` no limit;
        ``SandboxTimeoutError`` when it is over. ``stdin`` gives the process a writer. ``container`` names one of
        several containers. ``env`` are variables for this command; they take precedence over the sandbox's own.

        Output is kept for the result, all of it. With ``max_output_bytes`` only the first and the last half of so many
        bytes are, for each of the two streams: the result's ``stdout_omitted_bytes`` tells how much lay between, and a
        reader that did not keep up meets ``SandboxStreamTruncatedError`` there, once. With ``capture_output=False`` the
        result has none: what was read is let go, the reader's pace holds the command back, and a line of more than
        512 KiB comes in pieces. Who waits for the end then waits for readers that exist; what comes for a stream
        without one is dropped, but for its last 256 KiB. docs/output.md says more.

        Only faults in the arguments are raised here; all else comes from the process, with the output received
        until then in ``exec_result``.
        """
        words = words_of(command)
        timeout: float | None = self._connection.request_timeout
        if timeout_seconds is not None:
            timeout = _check.timeout(timeout_seconds, "timeout_seconds")
        kept = None if max_output_bytes is None else limit(max_output_bytes, capture_output)
        core = self._core if self._handle.state.takes_commands else self._refusing_core()
        process = core.exec(  # by position: names would cost as much as the rest of this
            words,
            stdin,
            check,
            None if timeout == float("inf") else timeout,
            container_name(container),
            None if cwd is None else directory(cwd),
            None if env is None else variables(env),
            capture_output,
            kept,
        )
        if not core.is_open and not core.is_closed:
            driver = self._driving()
            loop.policy().call(driver.serve_commands)
        return process

    @property
    def exec_stats(self) -> dict[str, int]:
        """Commands started, and how they ended: with code 0, with another code, or without one."""
        refused = (0, 0, 0, 0) if self._refusing is None else self._refusing.stats()
        names = ("exec_count", "exec_completed_ok", "exec_completed_nonzero", "exec_failures")
        return dict(
            zip(names, map(sum, zip(self._core.stats(), refused, strict=True)), strict=True)
        )

    def _refusing_core(self) -> SandboxCore:
        # The sandbox was seen to stop by itself. Commands that run in it may still end well: its own core stays open.
        if self._core.is_closed:
            return self._core
        with life.lock():
            if self._refusing is None:
                self._refusing = type(self._core)()
                self._refusing.close(lifecycle.stopped_error(self.sandbox_id))
            return self._refusing

    # ---- context managers ----

    def __enter__(self) -> Sandbox:
        """Create the sandbox if it is not; does not wait for it to run."""
        if self.sandbox_id is None:
            with _Unless(self._abandon):
                self.start().result()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: Any
    ) -> None:
        """Stop the sandbox, unless it is gone. A failure to stop is raised, or only logged if the block raised."""
        if not self._is_to_be_stopped():
            return
        try:
            self.stop(missing_ok=True).result()
        except Exception as error:
            if exc_val is None:
                raise
            self._log_failed_stop(error)

    async def __aenter__(self) -> Sandbox:
        """As ``__enter__``, without blocking the event loop."""
        if self.sandbox_id is None:
            with _Unless(self._abandon):
                await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: Any
    ) -> None:
        """As ``__exit__``, without blocking the event loop."""
        if not self._is_to_be_stopped():
            return
        try:
            await self.stop(missing_ok=True)
        except Exception as error:
            if exc_val is None:
                raise
            self._log_failed_stop(error)

    def _is_to_be_stopped(self) -> bool:
        # After fork() the sandbox is still the parent's: the child leaves its block without stopping it.
        own = self._generation == life.generation()
        return own and self.sandbox_id is not None and not self._handle.state.is_over

    def _log_failed_stop(self, error: Exception) -> None:
        from logging import getLogger

        getLogger("cwsandbox").warning("could not stop sandbox %s: %s", self.sandbox_id, error)

    def _abandon(self) -> None:
        """Stop it in the background, since nobody else will."""
        self._submit(lambda driver: driver.stop(0.0, True), finish_at_exit=True)

    # ---- the rest ----

    def __repr__(self) -> str:
        status = self._handle.state.status
        word = self._handle.state.phase.value if status is None else status.value
        return f"<Sandbox id={self.sandbox_id} status={word}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            f"{self!r} cannot be copied or pickled: it is one handle on one sandbox; "
            "Sandbox.from_id() makes another"
        )

    def __del__(self) -> None:
        handle: Handle | None = getattr(self, "_handle", None)
        if handle is None or self._generation != life.generation():
            return
        if handle.state.phase in (Phase.STARTING, Phase.RUNNING, Phase.STOPPING):
            warnings.warn(
                f"Sandbox {handle.sandbox_id} was not stopped",
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

        def on_running() -> None:
            if not core.is_closed:
                assert handle.sandbox_id is not None
                core.open(client.opened, handle.sandbox_id)

        with life.lock():
            if self._driver is None:
                handle.now = env.now
                handle.on_running = on_running
                self._driver = Driver(handle, self._connection, self._workload, client.call, env)
            return self._driver

    def _submit(
        self, make: Callable[[Driver], Coroutine[Any, Any, _T]], *, finish_at_exit: bool = False
    ) -> OperationRef[_T]:
        driver = self._driving()
        return loop.submit(lambda: make(driver), finish_at_exit=finish_at_exit)


class _Unless:
    """Does something when its block is left by an exception."""

    def __init__(self, rescue: Callable[[], object]) -> None:
        self._rescue = rescue

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: object, exc_tb: object
    ) -> None:
        if exc_type is not None and not issubclass(exc_type, Exception):
            self._rescue()


def _block(operation: OperationRef[_T]) -> _T:
    """Wait for an operation that nobody else has."""
    try:
        return operation.result()
    except BaseException:
        operation._cancel()
        raise


def _class_connection(*, timeout_seconds: float | None, **given: Any) -> Connection:
    """The connection for a call that is not about one object; ``timeout_seconds`` becomes the request timeout."""
    options.refuse_removed(given)
    if timeout_seconds is not None:
        given["request_timeout_seconds"] = _check.timeout(timeout_seconds, "timeout_seconds")
    return connection_of(given, None)
