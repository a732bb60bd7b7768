"""``Sandbox``: the public verbs, each a few lines over the policy code and the native core."""

from __future__ import annotations

import builtins

from cwsandbox._lifecycle.handle import OnStop
from cwsandbox._messages import options
from cwsandbox._messages.command import (
    container_name,
    directory,
    limit,
    variables,
    wants_stdin,
    words_of,
)
from cwsandbox._runtime import cleanup, life, loop
from cwsandbox._sandbox.creation import Creating
from cwsandbox._sandbox.files import SandboxFiles
from cwsandbox._sandbox.logs import SandboxLogs
from cwsandbox._sandbox.origins import SandboxOrigins
from cwsandbox._sandbox.snapshots import SandboxSnapshots
from cwsandbox._sandbox.terminal import SandboxTerminal
from cwsandbox._sandbox.transfer import SandboxTransfer
from cwsandbox._service.connection import connection_for_call
from cwsandbox._types import check as _check
from cwsandbox._types.annotations import on_demand
from cwsandbox._types.enums import DataPlaneMode, SandboxStatus, number
from cwsandbox._types.standard import DEFAULT_GRACEFUL_SHUTDOWN_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from typing import Any, TypeVar

    from cwsandbox._cwsandbox import OperationRef, Process
    from cwsandbox._lifecycle.driver import Driver
    from cwsandbox._service.client import Client
    from cwsandbox._service.connection import Connection
    from cwsandbox._session.session import Session
    from cwsandbox._types.auth import AuthConfig
    from cwsandbox._types.defaults import SandboxDefaults

    _T = TypeVar("_T")


@on_demand
class Sandbox(
    SandboxFiles, SandboxTransfer, SandboxLogs, SandboxTerminal, SandboxSnapshots, SandboxOrigins
):
    """One sandbox: create it, run commands in it, stop it.

    ``Sandbox(...)`` sends nothing; the sandbox is created by ``start()``, by entering it as a context manager, or by
    the first command. ``Sandbox.run(...)`` creates it at once. As a context manager (``with`` and ``async with``) it
    is stopped at the end of the block.

    Methods that return an ``OperationRef`` return at once; ``.result()`` blocks for the outcome, ``await`` awaits it in
    any event loop. All methods may be used from any thread. All times are in seconds.
    """

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
        """Find sandboxes; the operation gives them in the service's order.

        - ``tags``: only those that have all of these.
        - ``status``: only those in this state, such as "running" (``SandboxStatus``).
        - ``runner_ids``: only those on one of these runners.
        - ``volume_ids``: only those with one of these registered volumes.
        - ``show_terminated``: also those that have ended. Without it only active ones are found, unless ``status`` is
          a final one.
        - ``base_url``: the service's address. Default: ``CWSANDBOX_BASE_URL`` of the environment, else the published
          service.
        - ``auth``: credentials: ``AuthStrategy``, ``AuthHeaders`` or an object with ``resolve_auth``. Default: those
          of ``set_auth_mode()``, else the key in ``CWSANDBOX_API_KEY`` of the environment.
        - ``timeout_seconds``: limit of the requests for all pages together. Default: 300.
        - ``poll_retry_budget_seconds``: as for ``Sandbox(...)``, for the sandboxes that are found. Default: 30.
        - ``poll_rpc_timeout_seconds``: likewise. Default: 15.
        - ``data_plane_mode``: likewise: "auto", "gateway" or "direct".

        ``profile_ids`` and ``profile_names`` are no longer supported: use ``runner_ids``. What is found is not
        stopped when the block or the program ends. ``TypeError`` and ``ValueError`` for wrong arguments are raised
        here, everything else by the operation.

        ::

            for sandbox in Sandbox.list(tags=["job-7"]).result():
                sandbox.stop().result()
        """
        options.refuse_removed({"profile_ids": profile_ids, "profile_names": profile_names})
        connection = connection_for_call(
            base_url=base_url,
            auth=auth,
            timeout_seconds=timeout_seconds,
            poll_retry_budget_seconds=poll_retry_budget_seconds,
            poll_rpc_timeout_seconds=poll_rpc_timeout_seconds,
            data_plane_mode=data_plane_mode,
        )
        return cls._find(
            connection,
            tags=tags,
            status=status,
            runner_ids=runner_ids,
            show_terminated=show_terminated,
            volume_ids=volume_ids,
        )

    @classmethod
    def _find(
        cls,
        connection: Connection,
        *,
        tags: Sequence[str] | None,
        status: str | None,
        runner_ids: Sequence[str] | None,
        show_terminated: bool,
        volume_ids: Sequence[str] | None,
        then: Callable[[Sandbox], object] | None = None,
    ) -> OperationRef[builtins.list[Sandbox]]:
        """``then`` is called with each that is found, on the policy loop."""
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
            return [cls._discovered(connection, client, message, then) for message in messages]

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
        """Look up an existing sandbox, even one that has ended. The operation gives the sandbox.

        - ``sandbox_id``: its id, as in ``Sandbox.sandbox_id``.
        - ``base_url``: the service's address. Default: ``CWSANDBOX_BASE_URL`` of the environment, else the published
          service.
        - ``auth``: credentials: ``AuthStrategy``, ``AuthHeaders`` or an object with ``resolve_auth``. Default: those
          of ``set_auth_mode()``, else the key in ``CWSANDBOX_API_KEY`` of the environment.
        - ``timeout_seconds``: limit of the request. Default: 300; ``math.inf``: no limit.
        - ``poll_retry_budget_seconds``: as for ``Sandbox(...)``, for the sandboxes that are found. Default: 30.
        - ``poll_rpc_timeout_seconds``: likewise. Default: 15.
        - ``data_plane_mode``: likewise: "auto", "gateway" or "direct".

        The operation fails with ``SandboxNotFoundError`` if there is none.
        """
        connection = connection_for_call(
            base_url=base_url,
            auth=auth,
            timeout_seconds=timeout_seconds,
            poll_retry_budget_seconds=poll_retry_budget_seconds,
            poll_rpc_timeout_seconds=poll_rpc_timeout_seconds,
            data_plane_mode=data_plane_mode,
        )
        return cls._get(connection, sandbox_id)

    @classmethod
    def _get(
        cls,
        connection: Connection,
        sandbox_id: str,
        then: Callable[[Sandbox], object] | None = None,
    ) -> OperationRef[Sandbox]:
        _check.text(sandbox_id, "sandbox_id")

        async def operation() -> Sandbox:
            from cwsandbox._sandbox import others

            client, message = await others.get(connection, sandbox_id)
            return cls._discovered(connection, client, message, then)

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
        """Kill a sandbox at once. Done when the service has accepted that, not when it is gone.

        - ``sandbox_id``: its id.
        - ``base_url``: the service's address. Default: ``CWSANDBOX_BASE_URL`` of the environment, else the published
          service.
        - ``auth``: credentials: ``AuthStrategy``, ``AuthHeaders`` or an object with ``resolve_auth``. Default: those
          of ``set_auth_mode()``, else the key in ``CWSANDBOX_API_KEY`` of the environment.
        - ``timeout_seconds``: limit of the request. Default: 300; ``math.inf``: no limit.
        - ``missing_ok``: do nothing if there is no such sandbox. Default: ``SandboxNotFoundError``.
        """
        connection = connection_for_call(
            base_url=base_url, auth=auth, timeout_seconds=timeout_seconds
        )
        _check.text(sandbox_id, "sandbox_id")

        async def operation() -> None:
            from cwsandbox._sandbox import others

            await others.delete(connection, sandbox_id, missing_ok)

        return loop.submit(operation)

    @classmethod
    def _discovered(
        cls,
        connection: Connection,
        client: Client,
        message: dict[str, Any],
        then: Callable[[Sandbox], object] | None = None,
    ) -> Sandbox:
        # On the policy loop, where no subclass has a word.
        sandbox = object.__new__(cls)
        sandbox._setup(connection, None)
        sandbox._drive(client)
        sandbox._handle.discover(message)
        if then is not None:
            then(sandbox)
        return sandbox

    # ---- sessions ----

    @classmethod
    def session(
        cls,
        defaults: SandboxDefaults | Mapping[str, Any] | None = None,
        *,
        auth: AuthConfig | None = None,
    ) -> Session:
        """A new ``Session``, whose sandboxes share settings and are stopped together. Nothing is sent.

        - ``defaults``: the settings, as ``SandboxDefaults`` or a mapping of its fields. Default: the standard ones.
        - ``auth``: credentials, instead of those in ``defaults``: ``AuthStrategy``, ``AuthHeaders`` or an object
          with ``resolve_auth``.

        ::

            with Sandbox.session(SandboxDefaults(tags=("job-7",))) as session:
                sandboxes = [session.sandbox() for _ in range(10)]
        """
        from cwsandbox._session.session import Session

        return Session(defaults, auth=auth)

    # ---- its life ----

    def wait(self, timeout: float | None = None) -> Sandbox:
        """Block until the sandbox runs (or has completed), creating it if need be; returns itself.

        The service is asked, also about a sandbox that was seen to run. ``timeout`` is in seconds. Default: the
        request timeout, 300. ``SandboxTimeoutError`` when it is over; ``SandboxFailedError``,
        ``SandboxTerminatedError`` or ``SandboxNotRunningError`` when the sandbox will never run, or not again.
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

        ``timeout`` is in seconds. Default: the request timeout, 300. Fails with ``SandboxFailedError`` when the sandbox
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
        snapshot_on_stop: bool = False,
        graceful_shutdown_seconds: float = DEFAULT_GRACEFUL_SHUTDOWN_SECONDS,
        missing_ok: bool = False,
        wait_for_ready: bool = True,
        request_id: str | None = None,
    ) -> OperationRef[None]:
        """Stop the sandbox and wait for its final state.

        The main process is asked to end and killed after ``graceful_shutdown_seconds`` (default: 10; 0: at once).
        Commands that still run end with ``SandboxNotRunningError``; logs that are read go on to their end. A create
        that is under way is waited for, and one that was not answered is asked about, so that nothing is left behind.
        One that was never started cannot be started any more. With ``missing_ok`` a sandbox that is gone is no error.
        ``SandboxTerminalStateUnavailableError`` when no final state is seen within the grace time and 10 s.

        With ``snapshot_on_stop`` (default: False) all its scratch volumes are saved, and ``file_system_snapshot_id`` is
        set. With ``wait_for_ready`` (default: True) that is waited for, too, 600 s at most for each; then the operation
        fails with ``SnapshotWaitTimeoutError``, and with ``SandboxSnapshotError`` if one cannot be saved; the sandbox
        is stopped all the same. ``SnapshotOnStopConflictError`` when it is too late, as the sandbox is stopped or being
        stopped without a snapshot, or gone. ``request_id`` is a key by which the service knows a repeated request.
        Default: none.
        """
        grace = _check.budget(graceful_shutdown_seconds, "graceful_shutdown_seconds")
        wait = _check.boolean(wait_for_ready, "wait_for_ready")
        key = _check.optional_text(request_id, "request_id")
        snapshot = None
        if _check.boolean(snapshot_on_stop, "snapshot_on_stop"):
            snapshot = OnStop(wait_for_ready=wait, request_id=key)
        elif self._handle.state.is_over and self._handle.log_core is None:
            self._leave_owner()
            return loop.done(None)
        return self._stop(grace, missing_ok, snapshot)

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

        - ``command``: the program and its arguments, as a sequence of str. No shell is involved: for shell text pass
          ``["/bin/sh", "-c", text]``.
        - ``cwd``: an absolute path to start in. Default: the container's. Where it cannot be entered, the command
          ends with a message and exit code 126 (of services other than ``cwsandboxd``: with what ``/bin/sh`` makes of
          that).
        - ``check``: a non-zero exit code raises ``SandboxExecutionError`` from ``result()``.
        - ``timeout_seconds``: limit for the command, counted from when it is sent to a running sandbox. When it is
          over, the command is ended, and ``result()`` raises ``SandboxTimeoutError``. Default: the request timeout,
          300; ``math.inf``: no limit.
        - ``stdin``: whether the process has a ``StreamWriter`` as ``stdin``. Without it the command's input is empty
          and ``process.stdin`` is None.
        - ``container``: the name of the container to start it in. Default: the only or primary one.
        - ``env``: variables for this command, as a dict; they take precedence over the sandbox's own.
        - ``capture_output``: whether the result has the output. Default: True. With False what was read is let go, the
          reader's pace holds the command back, and a line of more than 512 KiB comes in pieces. Who waits for the end
          then waits for readers that exist; what comes for a stream without one is dropped, but for its last 256 KiB.
        - ``max_output_bytes``: keep only the first and the last half of so many bytes of each stream. The result's
          ``stdout_omitted_bytes`` tells how much lay between, and a reader that did not keep up meets
          ``SandboxStreamTruncatedError`` there, once. Default: all is kept.

        Only faults in the arguments are raised here (``TypeError``, ``ValueError``); everything else comes from the
        process, with the output received until then in ``exec_result``. docs/output.md says more about output.

        ::

            process = sandbox.exec(["make", "test"], cwd="/src", timeout_seconds=600)
            for line in process.stdout:
                print(line, end="")
            print(process.result().returncode)
        """
        words = words_of(command)
        timeout = _check.time_limit(timeout_seconds, self._connection.request_timeout)
        kept = None if max_output_bytes is None else limit(max_output_bytes, capture_output)
        # _core_for_operations(), written out: each call here costs 500 instructions for every command.
        core = self._core if self._handle.state.takes_commands else self._refusing_core()
        process = core.exec(  # by position: names would cost as much as the rest of this
            words,
            stdin if stdin is False or stdin is True else wants_stdin(stdin),
            check,
            timeout,
            "" if container is None else container_name(container),
            None if cwd is None else directory(cwd),
            None if env is None else variables(env),
            capture_output,
            kept,
        )
        if not core.is_served:
            self._serve(core)
        return process

    @property
    def exec_stats(self) -> dict[str, int]:
        """How many commands were started here, and how they ended.

        Keys: ``exec_count``, ``exec_completed_ok`` (exit code 0), ``exec_completed_nonzero`` (another one) and
        ``exec_failures`` (without an exit code, or with another one than 0 and ``check=True``).
        """
        refused = (0, 0, 0, 0) if self._refusing is None else self._refusing.stats()
        names = ("exec_count", "exec_completed_ok", "exec_completed_nonzero", "exec_failures")
        return dict(
            zip(names, map(sum, zip(self._core.stats(), refused, strict=True)), strict=True)
        )

    # ---- context managers ----

    def __enter__(self) -> Sandbox:
        """Create the sandbox if it is not; does not wait for it to run."""
        if self.sandbox_id is None:
            with Creating(self, begins_block=True) as creating:
                creating.start().result()
        else:
            cleanup.hold(self)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: Any
    ) -> None:
        """Stop the sandbox, unless it is gone. A failure to stop is raised, or only logged if the block raised."""
        try:
            stop = self._begin_end_of_block()
            if stop is not None and not life.is_hurried():
                stop.result()
        except Exception as error:
            if exc_val is None:
                raise
            self._log_failed_stop(error)

    async def __aenter__(self) -> Sandbox:
        """As ``__enter__``, without blocking the event loop."""
        if self.sandbox_id is None:
            with Creating(self, begins_block=True) as creating:
                await creating.start()
        else:
            cleanup.hold(self)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: Any
    ) -> None:
        """As ``__exit__``, without blocking the event loop."""
        try:
            stop = self._begin_end_of_block()
            if stop is not None and not life.is_hurried():
                await stop
        except Exception as error:
            if exc_val is None:
                raise
            self._log_failed_stop(error)

    def _begin_end_of_block(self) -> OperationRef[None] | None:
        stop = self.stop(missing_ok=True) if self._is_to_be_stopped() else None
        cleanup.release(self)
        return stop

    def _is_to_be_stopped(self) -> bool:
        # After fork() the sandbox is still the parent's: the child leaves its block without stopping it.
        own = self._generation == life.generation()
        return own and self.sandbox_id is not None and not self._handle.state.is_over

    def _log_failed_stop(self, error: Exception) -> None:
        from logging import getLogger

        getLogger("cwsandbox").warning("could not stop sandbox %s: %s", self.sandbox_id, error)


def _block(operation: OperationRef[_T]) -> _T:
    """Wait for an operation that nobody else has."""
    try:
        return operation.result()
    except BaseException:
        operation._cancel()
        raise
