"""The life of one sandbox, driven: creating, waiting, stopping. On the policy loop only.

Waiters share the work: one create, one poll for running and one for the end at a time, whoever asks. A waiter that
gives up leaves it to the others.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Any

from cwsandbox._lifecycle import delete, lifecycle, refusals, snapshot_stop, transient
from cwsandbox._lifecycle import snapshot as snapshots
from cwsandbox._lifecycle.create import Creator
from cwsandbox._lifecycle.lifecycle import Phase, Source
from cwsandbox._lifecycle.poll import NOT_FOUND_REASON, Watcher
from cwsandbox._lifecycle.shared import Shared
from cwsandbox._runtime import tracing
from cwsandbox._service.errors import says_not_running, to_exception
from cwsandbox._service.rpc import RpcFailure
from cwsandbox.exceptions import (
    CWSandboxError,
    SandboxNotFoundError,
    SandboxNotRunningError,
    SandboxSnapshotError,
    SandboxTerminalStateUnavailableError,
    SandboxTimeoutError,
    SandboxUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cwsandbox._cwsandbox import SandboxCore
    from cwsandbox._lifecycle.data_plane import DataPlane
    from cwsandbox._lifecycle.handle import Handle, OnStop
    from cwsandbox._messages.config import Workload
    from cwsandbox._runtime.environment import Call, Environment, Knows
    from cwsandbox._service.connection import Connection
    from cwsandbox._types.enums import SandboxStatus

    Message = dict[str, Any]

# Beyond the grace time: for the delete call, and then for the final state to be seen.
STOP_SLACK = 10.0
_ENDING = (Phase.STOPPING, Phase.TERMINAL, Phase.CANCELLED)


class Driver:
    """Drives the sandbox of ``handle``. ``workload`` is None for one that exists already.

    ``knows`` tells whether the service has said that it knows an extension of the messages.
    """

    def __init__(
        self,
        handle: Handle,
        connection: Connection,
        workload: Workload | None,
        call: Call,
        env: Environment,
        knows: Knows,
    ) -> None:
        if tracing.tracer is not None:
            tracing.tracer.add(handle)
        self._handle = handle
        self._connection = connection
        self._call = call
        self._env = env
        self._creator = (
            None if workload is None else Creator(workload, connection, call, env, knows)
        )
        self._watcher = Watcher(handle, connection, call, env)
        self._creating = Shared(self._create)
        self._recovering = Shared(self._recover_token)
        self._running = Shared(lambda: self._watcher.until(lifecycle.has_started))
        self._confirming = Shared(self._watcher.confirm)
        self._ending = Shared(lambda: self._watcher.until(lambda state: state.is_over))
        self._serving = Shared(self._serve_commands)
        self._opening_logs = Shared(self._serve_logs)
        self._stopping: Shared | None = None
        # Whether that stop saves the scratch volumes.
        self._saving = False

    # ---- creating ----

    async def start(self) -> None:
        """Have the sandbox created, unless it is. A create that is under way is never broken off: it may succeed."""
        if self._handle.state.phase is Phase.CANCELLED:
            raise lifecycle.stopped_error(None)
        if self._handle.sandbox_id is None:
            await self._creating.join()
        if self._wants_token():
            await self._recovering.join()

    @property
    def is_in_doubt(self) -> bool:
        """Whether the service may have a sandbox that only ``stop()`` would find."""
        return (
            self._handle.sandbox_id is None
            and self._creator is not None
            and self._creator.is_in_doubt
        )

    async def _create(self) -> None:
        assert self._creator is not None
        self._handle.asked_at = self._env.clock()
        with tracing.span("create", self._handle):
            message = await self._creator.create()
            self._handle.accept(message, self._env.clock())

    def _wants_token(self) -> bool:
        creator, message = self._creator, self._handle.echo.message
        known = (
            self._handle.echo.share_token is not None
            or self._handle.state.phase is not Phase.STARTING
        )
        return (
            creator is not None
            and message is not None
            and not known
            and creator.lacks_token(dict(message))
        )

    async def _recover_token(self) -> None:
        assert self._creator is not None
        assert self._handle.sandbox_id is not None
        message = await self._creator.recover_token(self._handle.sandbox_id)
        if message is not None:
            self._handle.see(message, Source.QUERY)

    # ---- waiting ----

    async def wait_running(self, timeout: float | None) -> None:
        """Wait until it runs or did run; ``timeout`` in seconds (None: the request timeout) covers the create too."""
        with tracing.span("wait", self._handle):
            await self._wait_running(timeout)

    async def _wait_running(self, timeout: float | None) -> None:
        limit = self._connection.request_timeout if timeout is None else timeout
        before = self._handle.state
        was_told_to_stop = before.stop_owned
        try:
            async with asyncio.timeout(limit) as time:
                await self._until_running()
        except TimeoutError:
            if not time.expired():
                raise
            if not lifecycle.has_started(self._handle.state):
                raise self._late("become ready", limit) from None
            if self._handle.state is before:
                # It ran once, and nobody could be asked whether it still does.
                raise self._late("show that it still runs", limit) from None
        state, sandbox_id = self._handle.state, self._handle.sandbox_id
        if state.stop_owned and not was_told_to_stop:
            raise lifecycle.stopped_error(sandbox_id)
        failure = lifecycle.startup_failure(state, sandbox_id)
        if failure is not None:
            raise failure

    async def _until_running(self) -> None:
        if self._handle.state.phase is Phase.CANCELLED:
            return
        if self._handle.state.phase is Phase.RUNNING:
            # It ran when last seen; it may have ended since.
            await self._confirming.join(abandon=True)
        await self.start()
        while self._running.runs or not lifecycle.has_started(self._handle.state):
            await self._running.join(abandon=True)

    async def wait_complete(self, timeout: float | None, raise_on_termination: bool) -> None:
        """Wait for the end; ``timeout`` as for ``wait_running``."""
        with tracing.span("wait_until_complete", self._handle):
            await self._wait_complete(timeout, raise_on_termination)

    async def _wait_complete(self, timeout: float | None, raise_on_termination: bool) -> None:
        limit = self._connection.request_timeout if timeout is None else timeout
        if not await self._is_over_within(limit):
            raise self._late("complete", limit)
        failure = lifecycle.completion_failure(
            self._handle.state, self._handle.sandbox_id, raise_on_termination
        )
        if failure is not None:
            raise failure

    async def _is_over_within(self, limit: float) -> bool:
        """Wait for the end, for so many seconds at most."""
        try:
            async with asyncio.timeout(limit) as time:
                await self._until_over()
        except TimeoutError:
            if not time.expired():
                raise
        return self._handle.state.is_over

    async def _until_over(self) -> None:
        if self._handle.state.phase is Phase.CANCELLED:
            return
        await self.start()
        while self._ending.runs or not self._handle.state.is_over:
            await self._ending.join(abandon=True)

    async def get_status(self) -> SandboxStatus:
        """Ask once. A final state is not asked for again."""
        state = self._handle.state
        if state.phase is Phase.CANCELLED:
            raise SandboxNotRunningError("Sandbox was cancelled before starting")
        if self._handle.sandbox_id is None:
            raise SandboxNotRunningError("Sandbox has not been started")
        if state.is_over:
            self._handle.state = state.changed(confirmed_at=self._env.now())
        else:
            await self._watcher.once()
        status = self._handle.state.status
        assert status is not None
        return status

    # ---- commands that came before the sandbox ran ----

    def serve_commands(self) -> None:
        """Bring the sandbox to run for commands that wait for it, or fail them. One that runs may want a better way."""
        if not self._improve(self._handle.core):
            self._note_use()
            self._serving.begin()

    def _note_use(self) -> None:
        if self._handle.plane is not None:
            self._handle.plane.note_use()

    def _improve(self, core: SandboxCore | None) -> bool:
        """Have a better way made for operations of a core that has one already. False if it has none."""
        plane = self._handle.plane
        if core is None or not core.is_open or (plane is not None and not plane.is_up):
            return False
        if plane is not None:
            plane.begin(core)
        return True

    async def _serve_commands(self) -> None:
        core = self._handle.core
        try:
            await self.bring_up()
        except asyncio.CancelledError:
            raise
        except BaseException as failure:
            # Also one that ends a thread: whoever waits for a command is the one to have it.
            self._fail_commands(failure)
            return
        if not core.is_open:
            self._fail_commands(lifecycle.stopped_error(self._handle.sandbox_id))

    def _fail_commands(self, failure: BaseException) -> None:
        core, is_over = self._handle.core, not self._handle.state.takes_commands
        if is_over and self._stopping is not None and self._stopping.runs:
            # The end has been seen before the stop was answered.
            failure = lifecycle.stopped_error(self._handle.sandbox_id)
        if says_not_running(failure):
            # That is why their endpoint has refused them.
            core.evict_refused(failure)
        elif is_over:
            core.evict_refused(SandboxNotRunningError(str(failure)))
        core.fail(failure)

    async def bring_up(self) -> None:
        """Wait until it runs, and until commands can go the way that they must."""
        handle = self._handle
        if self._improve(handle.core):
            return
        await self.wait_running(None)
        if handle.plane is None or handle.core.is_closed:
            return
        if handle.plane.is_strict and handle.state.phase is Phase.RUNNING:
            await self._require_direct(handle.plane)
            if handle.state.takes_commands and not handle.core.is_closed:
                self._open(handle.core, self.serve_commands)

    async def _require_direct(self, plane: DataPlane) -> None:
        """Have a direct way made. Without one, and without a failure, the sandbox is ending."""
        assert self._handle.sandbox_id is not None
        try:
            await plane.require(self._handle.sandbox_id)
        except SandboxUnavailableError:
            # The end of a sandbox closes this way, too.
            with suppress(CWSandboxError):
                await self._watcher.once()
            if self._handle.state.takes_commands:
                raise
            failure = lifecycle.startup_failure(self._handle.state, self._handle.sandbox_id)
            if failure is not None:
                raise failure from None

    def _open(self, core: SandboxCore, serve: Callable[[], None]) -> None:
        """``serve`` is called when operations of ``core`` can go no other way than one that refuses them."""
        handle = self._handle
        if handle.plane is not None and handle.plane.is_strict:
            refusals.serve()
            core.on_refused = serve
        assert handle.open_core is not None
        handle.open_core(core)

    # ---- logs ----

    def serve_logs(self) -> None:
        """Have logs that wait sent, or fail them. Whether the sandbox still runs is not asked: its log outlives it."""
        if not self._improve(self._handle.log_core):
            self._note_use()
            self._opening_logs.begin()

    async def _serve_logs(self) -> None:
        handle = self._handle
        try:
            if handle.sandbox_id is None or not lifecycle.has_started(handle.state):
                await self.wait_running(None)
        except asyncio.CancelledError:
            raise
        except BaseException as failure:
            # One with an exit code did run, and has a log.
            if handle.state.returncode is None:
                self._fail_logs(failure)
                return
        try:
            if handle.plane is not None and handle.plane.is_strict:
                assert handle.sandbox_id is not None
                await handle.plane.require(handle.sandbox_id)
        except CWSandboxError as failure:
            self._fail_logs(failure)
            return
        if handle.log_core is not None:
            self._open(handle.log_core, self.serve_logs)

    def _fail_logs(self, failure: BaseException) -> None:
        core = self._handle.log_core
        if core is None:
            return
        if says_not_running(failure):
            core.evict_refused(failure)
        core.fail(failure)

    # ---- snapshots ----

    async def snapshot(self, request_id: str | None, wait: bool, budget: float | None) -> str:
        """Save the scratch volume of the running sandbox; the snapshot's id, with ``wait`` when it is ready."""
        with tracing.span("snapshot", self._handle):
            return await self._snapshot(request_id, wait, budget)

    async def _snapshot(self, request_id: str | None, wait: bool, budget: float | None) -> str:
        self._only_scratch_volume()
        await self.wait_running(None)
        handle = self._handle
        if handle.state.phase is not Phase.RUNNING:
            raise lifecycle.stopped_error(handle.sandbox_id)
        request = {"sandbox_id": handle.sandbox_id, "request_id": request_id or uuid.uuid4().hex}
        name = self._only_scratch_volume()
        if name is not None:
            request["scratch_volume_name"] = name
        return await snapshots.take(
            self._call,
            self._env,
            request,
            wait=wait,
            timeout=self._connection.request_timeout,
            is_local=self._connection.is_local,
            budget=transient.BUDGET if budget is None else budget,
        )

    def _scratch_volumes(self) -> tuple[str, ...]:
        """Their names: as the service has them, before its first answer as they were asked for."""
        known = self._handle.echo.scratch_volumes
        if known is not None:
            return known
        return () if self._creator is None else self._creator.scratch_volumes()

    def _only_scratch_volume(self) -> str | None:
        """The name of the only one; None if none is known."""
        names = self._scratch_volumes()
        if len(names) > 1:
            raise SandboxSnapshotError(
                f"{self._name()} has multiple scratch volumes ({', '.join(names)}): "
                "stop(snapshot_on_stop=True) saves them all"
            )
        return names[0] if names else None

    # ---- stopping ----

    async def stop(self, grace: float, missing_ok: bool, snapshot: OnStop | None = None) -> None:
        """Have the sandbox stopped and wait for its final state. Those who come second join the first.

        With ``snapshot`` its scratch volumes are saved; only then can those join who want that, too.
        """
        with tracing.span("stop", self._handle):
            await self._join_stop(grace, missing_ok, snapshot)

    async def _join_stop(self, grace: float, missing_ok: bool, snapshot: OnStop | None) -> None:
        if self._stopping is None or not self._stopping.runs:
            self._saving = snapshot is not None
            self._stopping = Shared(lambda: self._stop(grace, missing_ok, snapshot))
        elif snapshot is not None and not self._saving:
            raise snapshot_stop.conflict(
                self._handle.sandbox_id, "has a plain stop already in progress"
            )
        try:
            await self._stopping.join()
        except (SandboxNotFoundError, SandboxTerminalStateUnavailableError) as error:
            is_gone = isinstance(error, SandboxNotFoundError) or isinstance(
                error.__cause__, SandboxNotFoundError
            )
            if not (missing_ok and is_gone):
                raise
            if snapshot is not None and isinstance(error, SandboxNotFoundError):
                raise snapshot_stop.conflict(self._handle.sandbox_id, "was not found") from error
            self._over()

    async def _stop(self, grace: float, missing_ok: bool, snapshot: OnStop | None) -> None:
        if self._creating.task is not None:
            # Broken off, it could leave a sandbox behind that nobody knows of.
            await asyncio.wait([self._creating.task])
        if self.is_in_doubt:
            await self._find_created()
        handle = self._handle
        if snapshot is not None:
            snapshot_stop.refuse_late(handle)
        if handle.sandbox_id is None and not handle.state.is_over:
            handle.state = lifecycle.cancelled(handle.state)
            handle.core.close(lifecycle.stopped_error(None))
        failure = None
        seconds = ceil(grace)
        try:
            if handle.sandbox_id is not None and not handle.state.is_over:
                if handle.state.phase is not Phase.STOPPING:
                    await self._delete(handle.sandbox_id, seconds, missing_ok, snapshot)
                self._close_core()
            if handle.sandbox_id is not None and snapshot is not None:
                failure = await snapshot_stop.await_saved(
                    self._call,
                    self._env,
                    handle,
                    self._scratch_volumes(),
                    wait=snapshot.wait_for_ready,
                    is_local=self._connection.is_local,
                )
            if not handle.state.is_over:
                await self._await_end(seconds, snapshot)
        finally:
            if handle.state.phase in _ENDING:
                self._close_logs()
        if failure is not None:
            raise failure

    async def _find_created(self) -> None:
        assert self._creator is not None
        message = await self._creator.find()
        if message is not None:
            self._handle.accept(message, self._env.clock())

    async def _delete(
        self, sandbox_id: str, seconds: int, missing_ok: bool, snapshot: OnStop | None
    ) -> None:
        handle = self._handle
        if snapshot is not None:
            reply: Message | None = await snapshot_stop.delete(
                self._call, sandbox_id, self._scratch_volumes(), snapshot, seconds, missing_ok
            )
            assert reply is not None
            handle.snapshot_ids = tuple(reply["file_system_snapshot_ids"])
        else:
            reply = await self._delete_plainly(sandbox_id, seconds, missing_ok)
            if reply is None or (missing_ok and "sandbox" not in reply):
                self._over()
                return
        handle.state = lifecycle.stopping(handle.state, self._env.now())
        self._recovering.cancel()
        self._running.cancel()
        if "sandbox" in reply:
            handle.see(reply["sandbox"], Source.QUERY)

    async def _delete_plainly(
        self, sandbox_id: str, seconds: int, missing_ok: bool
    ) -> Message | None:
        """The answer, None if the sandbox is gone and may be."""
        try:
            return await delete.delete(
                self._call,
                self._env,
                sandbox_id,
                grace=seconds,
                allow_missing=missing_ok,
                timeout=seconds + STOP_SLACK,
            )
        except RpcFailure as failure:
            if missing_ok and failure.is_not_found(NOT_FOUND_REASON):
                return None
            raise to_exception(
                failure, operation="Stop sandbox", sandbox_id=sandbox_id
            ) from failure

    def _over(self) -> None:
        self._handle.state = lifecycle.gone(self._handle.state, self._env.now())
        self._recovering.cancel()
        self._running.cancel()
        self._close_core()
        self._close_logs()

    def _close_core(self) -> None:
        if self._handle.plane is not None:
            self._handle.plane.close()
        self._handle.core.close(lifecycle.stopped_error(self._handle.sandbox_id))

    def _close_logs(self) -> None:
        """Those that are read end with what the service still sends. One that is asked for later is another."""
        core, self._handle.log_core = self._handle.log_core, None
        if core is not None:
            core.close(lifecycle.stopped_error(self._handle.sandbox_id))

    async def _await_end(self, seconds: int, snapshot: OnStop | None) -> None:
        limit = seconds + STOP_SLACK
        if snapshot is not None and not self._handle.snapshots_are_ready:
            limit = snapshot_stop.ARCHIVE_TIMEOUT + seconds + snapshot_stop.SLACK
        if not await self._is_over_within(limit):
            raise SandboxTerminalStateUnavailableError(
                f"{self._name()} was told to stop, but its final state was not seen within {limit:g}s"
            )

    def _late(self, what: str, limit: float) -> SandboxTimeoutError:
        error = SandboxTimeoutError(f"{self._name()} did not {what} within {limit:g}s")
        error.timeout = limit
        return error

    def _name(self) -> str:
        return f"Sandbox {self._handle.sandbox_id!r}" if self._handle.sandbox_id else "Sandbox"
