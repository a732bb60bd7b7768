"""``Session``: sandboxes that share settings and are stopped together."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from contextlib import ExitStack
from typing import ParamSpec, TypeVar

from cwsandbox._messages import options
from cwsandbox._runtime import cleanup, life, loop, signals, tracing
from cwsandbox._service.connection import connection as connection_of
from cwsandbox._session import reporter
from cwsandbox._session.metrics import Metrics
from cwsandbox._types import check
from cwsandbox._types.annotations import on_demand
from cwsandbox._types.defaults import SandboxDefaults
from cwsandbox._types.settings import settings
from cwsandbox._types.single import Single
from cwsandbox.exceptions import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cwsandbox._cwsandbox import OperationRef
    from cwsandbox._sandbox.sandbox import Sandbox
    from cwsandbox._session.function import RemoteFunction
    from cwsandbox._types.auth import AuthConfig
    from cwsandbox._types.container import Container, SecurityContext
    from cwsandbox._types.enums import DataPlaneMode, PlacementMode, PlacementSpillover
    from cwsandbox._types.network import NetworkOptions
    from cwsandbox._types.resources import ResourceOptions
    from cwsandbox._types.secret import ImagePullCredentials, ObjectStorageAccess, Secret
    from cwsandbox._types.serialization import Serialization
    from cwsandbox._types.service import Service
    from cwsandbox._types.volume import (
        FileSystemSnapshotOptions,
        RegisteredVolumeOptions,
        ScratchVolumeOptions,
    )

P = ParamSpec("P")
R = TypeVar("R")


@on_demand
class Session(Single):
    """Sandboxes that share settings and are stopped together.

    As a context manager (``with`` and ``async with``) it is closed at the end of the block: its sandboxes are stopped,
    all at once. Those of a session that is not closed are stopped at the end of the program, and when SIGINT or SIGTERM
    ends it (see ``disable_signal_handlers``). All methods may be used from any thread.

    ::

        with Session(SandboxDefaults(container_image="python:3.12", tags=("job-7",))) as session:
            sandboxes = [session.sandbox() for _ in range(10)]
            processes = [sandbox.exec(["python", "--version"]) for sandbox in sandboxes]
            for result in cwsandbox.results(processes):
                print(result.stdout)
    """

    _instead = "it has sandboxes to stop; make another one"

    def __init__(
        self,
        defaults: SandboxDefaults | Mapping[str, Any] | None = None,
        report_to: builtins.list[str] | None = None,
        *,
        auth: AuthConfig | None = None,
    ) -> None:
        """Make a session. Nothing is sent.

        - ``defaults``: the settings of its sandboxes, as ``SandboxDefaults`` or a mapping of its fields, as for
          ``SandboxDefaults.from_dict``. Default: the standard ones.
        - ``report_to``: where its metrics go: ``["wandb"]`` or None, the default: the run of Weights & Biases that the
          program has begun, if any; ``[]``: nothing is counted.
        - ``auth``: credentials, instead of those in ``defaults``: ``AuthStrategy``, ``AuthHeaders`` or an object
          with ``resolve_auth``.
        """
        if defaults is None or isinstance(defaults, Mapping):
            defaults = SandboxDefaults.from_dict(defaults)
        elif not isinstance(defaults, SandboxDefaults):
            raise TypeError(
                f"defaults must be SandboxDefaults or a mapping of its fields, got {check.shown(defaults)}"
            )
        self._defaults = defaults if auth is None else defaults.with_overrides(auth=auth)
        self._metrics = Metrics() if reporter.is_wanted(report_to) else None
        # By identity: two handles on one sandbox are two.
        self._sandboxes: dict[int, Sandbox] = {}
        self._closed = False
        # Called when the program ends, or a signal ends it.
        self._when_ending: Callable[[], object] | None = None
        # What ends with its block.
        self._block = ExitStack()
        cleanup.know(self)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<Session sandboxes={len(self._sandboxes)} status={state}>"

    @property
    def sandbox_count(self) -> int:
        """How many sandboxes it would stop now. One that was stopped is no longer among them."""
        return len(self._sandboxes)

    # ---- its sandboxes ----

    def sandbox(
        self,
        *,
        command: str | None = None,
        args: builtins.list[str] | None = None,
        container_image: str | None = None,
        tags: builtins.list[str] | None = None,
        runner_ids: builtins.list[str] | None = None,
        resources: ResourceOptions | dict[str, Any] | None = None,
        mounted_files: builtins.list[dict[str, Any]] | None = None,
        network: NetworkOptions | dict[str, Any] | None = None,
        services: builtins.list[Service] | tuple[Service, ...] | None = None,
        volumes: Sequence[ScratchVolumeOptions | RegisteredVolumeOptions | dict[str, Any]]
        | None = None,
        file_system_snapshot: FileSystemSnapshotOptions | dict[str, Any] | None = None,
        placement_mode: PlacementMode | str | None = None,
        placement_spillover: PlacementSpillover | str | None = None,
        template_id: str | None = None,
        image_pull_credentials: ImagePullCredentials | dict[str, Any] | None = None,
        runtime_class: str | None = None,
        security_context: SecurityContext | dict[str, Any] | None = None,
        working_dir: str | None = None,
        object_storage_access: ObjectStorageAccess | dict[str, Any] | None = None,
        environment_variables: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        secrets: Sequence[Secret | dict[str, Any]] | None = None,
        request_timeout_seconds: float | None = None,
        data_plane_mode: DataPlaneMode | str | None = None,
        auth: AuthConfig | None = None,
        containers: Sequence[Container | Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Sandbox:
        """Describe a sandbox of this session. Nothing is sent: its first command creates it, or ``start()``.

        Everything is optional. What is not given, or None, comes from the session's defaults.

        Its container:

        - ``command``: the program whose end ends the sandbox. Alone it still gets the default ``args``, which belong
          to the default command: give ``args=[]`` for none. Default: a shell that waits to be stopped.
        - ``args``: the arguments of ``command``.
        - ``container_image``: the image to run, "python:3.11" by default.
        - ``environment_variables``: variables of the main process and of all commands, as a dict; added to those of
          the defaults.
        - ``working_dir``: the directory that the main process starts in. Default: the image's.
        - ``mounted_files``: files that are there before the main process starts: dicts with ``mount_path`` and
          ``file_content`` (bytes, or a str that is sent as UTF-8), and on ``cwsandboxd`` ``file_mode`` (such as 0o755;
          default 0o444); or a mapping from path to content.
        - ``resources``: CPU, memory and GPU, as ``{"cpu": "500m", "memory": "1Gi"}`` or ``ResourceOptions``. Default:
          the service's.
        - ``secrets``: ``Secret`` or dicts of its fields: put into environment variables; added to those of the
          defaults. Two that differ for one variable are a ``ValueError``.
        - ``image_pull_credentials``: ``ImagePullCredentials`` or a dict, for an image in a private registry.
        - ``security_context``: ``SecurityContext`` or a dict: user, group and rights of the processes.
        - ``containers``: several containers instead of one, as ``Container`` or dicts of its fields. None of the
          options above can stand beside it: they are set in each container. Exactly one of several is ``primary``.
        - ``template_id``: the id of a template of the service, instead of what describes the container.

        The sandbox:

        - ``tags``: labels by which ``list()`` finds it; added to those of the defaults.
        - ``annotations``: texts by name that the service keeps with it; added to those of the defaults.
        - ``network``: ``NetworkOptions`` or a dict: where it may connect to, and who may connect to it. Default: the
          service's rules.
        - ``services``: ``Service`` or dicts: ports it listens on, and who may reach them. Default: none.
        - ``volumes``: ``ScratchVolumeOptions``, ``RegisteredVolumeOptions`` or dicts. Default: none.
        - ``file_system_snapshot``: ``FileSystemSnapshotOptions`` or a dict: one more scratch volume, filled from a
          snapshot.
        - ``object_storage_access``: ``ObjectStorageAccess`` or a dict: credentials for buckets that its containers
          are given.
        - ``runner_ids``: the only runners it may run on; ``[]`` for any, where the defaults name some.
        - ``placement_mode``: "serverless" or "cks": the kind of runner. Default: the service's choice.
        - ``placement_spillover``: whether a create that finds no room may try the other kind: "strict" (no, the
          default), "cks_then_serverless" or "serverless_then_cks".
        - ``runtime_class``: the name of the runtime that isolates it. Default: the service's.

        The service:

        - ``auth``: credentials, instead of the session's: ``AuthStrategy``, ``AuthHeaders`` or an object with
          ``resolve_auth``.
        - ``request_timeout_seconds``: limit in seconds of each call to the service, and of commands and waits that are
          given none. Default: 300; ``math.inf``: no limit.
        - ``data_plane_mode``: how commands reach the sandbox, as for ``Sandbox``.

        ``kwargs`` is for names that there are not, which are a ``TypeError``. The address, the other times and
        ``max_lifetime_seconds`` can be set in the defaults only. ``TypeError`` and ``ValueError`` for wrong values are
        raised here, too; ``SandboxError`` when the session is closed.
        """
        self._check_open("create a sandbox")
        _refuse_unknown("Session.sandbox()", kwargs, options.SESSION)
        given = options.pick(options.SESSION, locals())
        sandbox = self._new_sandbox(given)
        self._take(sandbox)
        if self._closed:
            # It was closed meanwhile, and may not have seen this one.
            sandbox.stop()
            self._check_open("create a sandbox")
        return sandbox

    def function(
        self,
        *,
        container_image: str | None = None,
        temp_dir: str | None = None,
        runner_ids: builtins.list[str] | None = None,
        resources: ResourceOptions | dict[str, Any] | None = None,
        mounted_files: Sequence[dict[str, Any]] | None = None,
        network: NetworkOptions | dict[str, Any] | None = None,
        services: Sequence[Service] | None = None,
        volumes: Sequence[ScratchVolumeOptions | RegisteredVolumeOptions | dict[str, Any]]
        | None = None,
        file_system_snapshot: FileSystemSnapshotOptions | dict[str, Any] | None = None,
        placement_mode: PlacementMode | str | None = None,
        placement_spillover: PlacementSpillover | str | None = None,
        runtime_class: str | None = None,
        security_context: SecurityContext | dict[str, Any] | None = None,
        working_dir: str | None = None,
        object_storage_access: ObjectStorageAccess | dict[str, Any] | None = None,
        environment_variables: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        request_timeout_seconds: float | None = None,
        data_plane_mode: DataPlaneMode | str | None = None,
        serialization: Serialization | str | None = None,
        **kwargs: Any,
    ) -> Callable[[Callable[P, R]], RemoteFunction[P, R]]:
        """A decorator that makes a ``RemoteFunction``: each call runs in a sandbox of its own.

        - ``temp_dir``: the directory in the sandbox for arguments and results. Default: that of the defaults, "/tmp".
        - ``serialization``: how arguments and results travel: "json", the default, or "pickle" for values that JSON
          does not have. With "pickle" the sandbox can run any code in this process: use it only where you trust what
          runs there.
        - ``request_timeout_seconds``: limit in seconds of each call to the service and of the function's run. Default:
          that of the defaults, 300.

        The others are as for ``sandbox()``: ``container_image``, ``runner_ids``, ``resources``, ``mounted_files``,
        ``network``, ``services``, ``volumes``, ``file_system_snapshot``, ``placement_mode``,
        ``placement_spillover``, ``runtime_class``, ``security_context``, ``working_dir``,
        ``object_storage_access``, ``environment_variables``, ``annotations`` and ``data_plane_mode``. Faults in them
        are raised by the operation of a call. Such a sandbox has one container, whatever the defaults say.

        ``kwargs`` is for names that there are not: a ``TypeError`` where the decorator is applied.

        ::

            @session.function(container_image="python:3.12", resources={"cpu": "2"})
            def primes(below: int) -> list[int]:
                return [n for n in range(2, below) if all(n % d for d in range(2, n))]

            print(primes.remote(100).result())
        """
        given = locals()
        for name in ("self", "temp_dir", "serialization", "kwargs"):
            del given[name]
        for name in ("runner_ids", "mounted_files", "services", "volumes"):
            if isinstance(given[name], tuple):
                given[name] = [*given[name]]
        if network is not None:
            from cwsandbox._types.coerce import instance
            from cwsandbox._types.network import NetworkOptions

            given["network"] = instance(network, NetworkOptions, "network")

        def decorate(function: Callable[P, R]) -> RemoteFunction[P, R]:
            from cwsandbox._session.function import RemoteFunction

            known = (*given, "temp_dir", "serialization")
            _refuse_unknown("Session.function()", kwargs, known)
            return RemoteFunction(
                function,
                session=self,
                temp_dir=temp_dir or self._defaults.temp_dir,
                serialization=serialization or "json",
                **given,
            )

        return decorate

    def adopt(self, sandbox: Sandbox) -> None:
        """Have ``sandbox``, which exists already, stopped with this session, and count what it runs from now on.

        One that belongs to another session leaves that. ``SandboxError`` when the session is closed, ``ValueError``
        for a sandbox that was not created yet.
        """
        self._check_open("adopt a sandbox")
        from cwsandbox._sandbox.sandbox import Sandbox

        if not isinstance(sandbox, Sandbox):
            raise TypeError(f"adopt() takes a Sandbox, got {check.shown(sandbox)}")
        if sandbox.sandbox_id is None:
            raise ValueError("a sandbox without sandbox_id cannot be adopted: start it first")
        # Refuses one from before a fork.
        sandbox._driving()
        self._own(sandbox)
        if self._metrics is not None:
            self._metrics.watch(sandbox)

    def list(
        self,
        *,
        tags: builtins.list[str] | None = None,
        status: str | None = None,
        profile_ids: builtins.list[str] | None = None,
        profile_names: builtins.list[str] | None = None,
        runner_ids: builtins.list[str] | None = None,
        show_terminated: bool = False,
        adopt: bool = False,
        volume_ids: builtins.list[str] | tuple[str, ...] | None = None,
    ) -> OperationRef[builtins.list[Sandbox]]:
        """Find sandboxes with the session's tags; the operation gives them in the service's order.

        - ``tags``: only those that have these, too.
        - ``status``: only those in this state, such as "running" (``SandboxStatus``).
        - ``runner_ids``: only those on one of these runners. Default: those of the defaults; ``[]``: on any.
        - ``show_terminated``: also those that have ended. Without it only active ones are found, unless ``status`` is
          a final one.
        - ``adopt``: have them stopped with this session. ``SandboxError`` when it is closed.
        - ``volume_ids``: only those with one of these registered volumes.

        ``profile_ids`` and ``profile_names`` are no longer supported: use ``runner_ids``. The service, credentials and
        times are those of the session's defaults. ``TypeError`` and ``ValueError`` for wrong arguments are raised here,
        everything else by the operation.
        """
        options.refuse_removed({"profile_ids": profile_ids, "profile_names": profile_names})
        from cwsandbox._sandbox.sandbox import Sandbox

        pins = settings({"runner_ids": runner_ids}, self._defaults)("runner_ids")
        return Sandbox._find(
            self._connection(),
            tags=self._defaults.merge_tags(tags) or None,
            status=status,
            runner_ids=pins,
            show_terminated=show_terminated,
            volume_ids=volume_ids,
            then=self._adopting() if adopt else None,
        )

    def from_id(self, sandbox_id: str, *, adopt: bool = True) -> OperationRef[Sandbox]:
        """Look up an existing sandbox. The operation gives it.

        - ``sandbox_id``: its id, as in ``Sandbox.sandbox_id``.
        - ``adopt``: have it stopped with this session, which is the default. ``SandboxError`` when it is closed.

        The service, credentials and times are those of the session's defaults. The operation fails with
        ``SandboxNotFoundError`` if there is none.
        """
        from cwsandbox._sandbox.sandbox import Sandbox

        then = self._adopting() if adopt else None
        return Sandbox._get(self._connection(), sandbox_id, then)

    def _connection(self) -> Any:
        return connection_of({}, self._defaults)

    def _adopting(self) -> Any:
        self._check_open("adopt a sandbox")
        # Here, since that is the main thread's business, and sandboxes are found on another.
        signals.install()
        return self.adopt

    def _check_open(self, what: str) -> None:
        if self._closed:
            raise SandboxError(f"cannot {what}: the session is closed")

    # ---- what it owns ----

    def _new_sandbox(self, given: Mapping[str, Any], **overrides: Any) -> Sandbox:
        """A sandbox made of these options and the defaults, not owned yet. The session may be closed.

        ``overrides`` are fields that the defaults have other values in.
        """
        from cwsandbox._sandbox.sandbox import Sandbox

        return Sandbox(**given, defaults=self._defaults.with_overrides(**overrides))

    def _take(self, sandbox: Sandbox) -> None:
        """Own a new one, and count it."""
        self._own(sandbox)
        if self._metrics is not None:
            self._metrics.created(sandbox)

    def _own(self, sandbox: Sandbox) -> None:
        before, sandbox._owner = sandbox._owner, self
        if before is not None and before is not self:
            before._let_go(sandbox)
        self._sandboxes[id(sandbox)] = sandbox
        signals.install()
        cleanup.add(self)

    def _let_go(self, sandbox: Sandbox) -> None:
        if self._metrics is not None:
            self._metrics.leave(sandbox)
        self._sandboxes.pop(id(sandbox), None)
        if not self._sandboxes:
            cleanup.remove(self)
            if self._sandboxes:
                # Another thread has made one at this moment.
                cleanup.add(self)

    def _close_down(self) -> None:
        self._closed = True
        if self._when_ending is not None:
            self._when_ending()

    def _begin_stops(self) -> builtins.list[OperationRef[Any]]:
        # One that was never begun has nothing to be stopped.
        begun = [one for one in list(self._sandboxes.values()) if one._driver is not None]
        return [sandbox.stop(missing_ok=True) for sandbox in begun]

    def _finish_end(self) -> None:
        self._flush()

    def _forget_all(self) -> None:
        self._sandboxes.clear()
        if self._metrics is not None:
            self._metrics = Metrics()

    # ---- its end ----

    def close(self) -> OperationRef[None]:
        """Stop its sandboxes, all at once; done when they have ended.

        Metrics that were not logged yet are logged then. One that is gone already is no failure. The operation fails
        with ``SandboxError`` if some could not be stopped; its cause is an ``ExceptionGroup`` of the reasons. These
        stay in the session, and closing it again tries again. Closing one that is closed does nothing more.
        """
        self._closed = True
        sandboxes = list(self._sandboxes.values())
        if not sandboxes and (self._metrics is None or self._metrics.now().is_empty):
            return loop.done(None)
        stops = [sandbox.stop(missing_ok=True) for sandbox in sandboxes]
        return loop.submit(lambda: self._finish(stops), finish_at_exit=True)

    async def _finish(self, stops: builtins.list[OperationRef[None]]) -> None:
        from contextlib import suppress
        from logging import getLogger

        from cwsandbox._runtime.threads import Call

        failures = []
        for stop in stops:
            try:
                await stop
            except Exception as error:
                failures.append(error)
        if reporter.active_run() is not None:
            # At the end of the interpreter there is no thread to be had; they are logged there in any case.
            with suppress(RuntimeError):
                await Call(self._flush).result(None)
        if failures:
            log = getLogger("cwsandbox")
            for failure in failures:
                log.warning("a sandbox of a session could not be stopped: %s", failure)
            raise SandboxError(
                f"Failed to stop {len(failures)} sandbox(es) of a session: {failures[0]}"
            ) from ExceptionGroup("the failures to stop", failures)

    def __enter__(self) -> Session:
        """Nothing is sent; gives the session."""
        self._block.enter_context(tracing.span("session"))
        return self

    def __exit__(self, *args: Any) -> None:
        """Close it and wait for that. A failure to stop is raised, with the block's own exception as its context."""
        with self._block:
            self._exit(*args)

    def _exit(self, *args: Any) -> None:
        closing = self.close()
        if life.is_hurried():
            return
        try:
            closing.result()
        except Exception:
            # Nothing takes the place of what ends a program or a task.
            if args[0] is None or issubclass(args[0], Exception):
                raise

    async def __aenter__(self) -> Session:
        """Nothing is sent; gives the session."""
        self._block.enter_context(tracing.span("session"))
        return self

    async def __aexit__(self, *args: Any) -> None:
        """As ``__exit__``, without blocking the event loop."""
        with self._block:
            await self._aexit(*args)

    async def _aexit(self, *args: Any) -> None:
        closing = self.close()
        if life.is_hurried():
            return
        try:
            await closing
        except Exception:
            # Nothing takes the place of what ends a program or a task.
            if args[0] is None or issubclass(args[0], Exception):
                raise

    # ---- metrics ----

    def log_metrics(self, step: int | None = None, *, reset: bool = True) -> bool:
        """Log the metrics to the program's run of Weights & Biases. False when there is none, or that failed.

        - ``step``: the run's step that they belong to. Default: none is named.
        - ``reset``: count from 0 again once they are logged, which is the default.

        Nothing is logged where there is nothing yet.
        """
        run = reporter.active_run()
        if self._metrics is None or run is None:
            return False
        period = self._metrics.take() if reset else self._metrics.now()
        if period.is_empty:
            return False
        is_logged = reporter.send(run, period.values(per_sandbox=True), step)
        if reset and not is_logged:
            self._metrics.give_back(period)
        return is_logged

    def get_metrics(self) -> dict[str, Any]:
        """What was counted since it was last logged: names with "cwsandbox/" in front, and numbers.

        The sandboxes made, the commands by how they ended, and times from the create to the start, in seconds; with a
        run of Weights & Biases also how many commands a sandbox ran. Empty with ``report_to=[]``.
        """
        if self._metrics is None:
            return {}
        return self._metrics.now().values(per_sandbox=reporter.active_run() is not None)

    def _flush(self) -> None:
        self.log_metrics()


def _refuse_unknown(method: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    options.refuse_unknown(method, given, known, vars(SandboxDefaults)["__dataclass_fields__"])
