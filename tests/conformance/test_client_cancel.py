"""Verbs given up at each of their calls: by a task that is cancelled, by a program that forgets, by one of the threads.

Each case is a verb and the call that the service holds back meanwhile. Nothing is left of it in the client then, and
the same verb works afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from conformance import protos
from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import OperationRef, PvcVolumeSource, Sandbox, Session, Volume, _cwsandbox
from cwsandbox._runtime import cleanup, loop
from integration.env import eventually

ID = "one"
CLAIM = PvcVolumeSource(runner_id="r", namespace="n", claim_name="c")
SCRATCH = [{"name": "a", "mount_path": "/a"}]


class HoldingPeer(GrpcPeer):
    """Serves everything; the first call of one method is not answered before `go()`."""

    def __init__(self) -> None:
        self.held: str | None = None
        self.has_come = threading.Event()
        super().__init__()
        self.going = self.event()

    def hold(self, method: str | None) -> None:
        self.has_come.clear()
        self.going = self.event()
        self.held = method

    def go(self) -> None:
        self.held = None
        self.set(self.going)

    async def _pass(self, method: str) -> None:
        if method != self.held:
            return
        self.held = None
        self.has_come.set()
        await self.going.wait()

    def _recorded(
        self, name: str, behaviour: Callable[[Any, Any], Awaitable[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        async def run(request: Any, context: Any) -> Any:
            await self._pass(name)
            return await self.overrides.get(name, behaviour)(request, context)

        return run

    async def _stream_exec(self, requests: AsyncIterator[Any], context: Any) -> None:
        await self._pass("StreamExec")
        await super()._stream_exec(requests, context)

    async def _stream_logs(self, request: Any, context: Any) -> None:
        await self._pass("StreamLogs")
        await super()._stream_logs(request, context)


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[HoldingPeer]:
    made = HoldingPeer()
    monkeypatch.setenv("CWSANDBOX_BASE_URL", made.base_url)
    serve(made)
    yield made
    made.close()


def serve(peer: HoldingPeer) -> None:
    pb, vb = peer.pb, protos.messages("volume")
    volume = vb.Volume(volume_id=ID, status={"state": vb.VOLUME_STATE_READY})
    snapshot = pb.FileSystemSnapshot(
        file_system_snapshot_id=ID, state=pb.SNAPSHOT_STATE_READY, source_sandbox_id="sb-1"
    )

    def gives(message: Any) -> Callable[[Any, Any], Awaitable[Any]]:
        async def give(request: Any, context: Any) -> Any:
            return message

        return give

    async def create(request: Any, context: Any) -> Any:
        return await peer._create(pb.CreateSandboxRequest(), context)

    async def delete(request: Any, context: Any) -> Any:
        reply = await peer._delete(request, context)
        reply.file_system_snapshot_ids.extend(ID for _ in request.snapshot_volumes)
        return reply

    async def log(request: Any, context: Any) -> None:
        await context.write(pb.LogEntry(data=b"line\n"))

    @peer.command("python3")
    async def python(call: Call) -> None:
        await call.ready()
        peer.files[call.argv[4]] = b'{"ok": true, "python": "3.12.1"}\n[7]'
        await call.exit(0)

    peer.logs = [log]
    peer.overrides |= {
        "DeleteSandbox": delete,
        "CreateSandboxFromTemplate": create,
        "CreateFileSystemSnapshot": gives(snapshot),
        "GetFileSystemSnapshot": gives(snapshot),
        "ListFileSystemSnapshots": gives(
            pb.ListFileSystemSnapshotsResponse(file_system_snapshots=[snapshot])
        ),
        "ListVolumes": gives(vb.ListVolumesResponse(volumes=[volume])),
        **{f"{verb}Volume": gives(volume) for verb in ("Create", "Get", "Update", "Validate")},
        "DeleteVolume": gives(volume),
    }


# ---- the verbs ----


def seven() -> Any:
    return [7]


async def remote() -> None:
    async with Session() as session:
        assert await session.function()(seven).remote() == [7]


async def snapshot() -> None:
    async with Sandbox(volumes=SCRATCH) as sandbox:
        assert await sandbox.snapshot() == ID


async def snapshot_on_stop() -> None:
    async with Sandbox(volumes=SCRATCH) as sandbox:
        await sandbox.stop(snapshot_on_stop=True)


async def from_a_template() -> None:
    async with Sandbox(template_id="t-1") as sandbox:
        assert [line async for line in sandbox.stream_logs()] == ["line\n"]


async def volumes() -> None:
    volume = await Volume.create(ID, pvc=CLAIM)
    await volume.wait_until_ready()
    assert [one.volume_id for one in await Volume.list()] == [ID]
    await volume.update(description="other")
    await volume.validate()
    await volume.delete()


async def records() -> None:
    assert (await Sandbox.get_snapshot(ID)).file_system_snapshot_id == ID
    assert len(await Sandbox.list_snapshots()) == 1


CASES: dict[Callable[[], Any], tuple[str, ...]] = {
    remote: ("CreateSandbox", "GetSandbox", "WriteFile", "StreamExec", "ReadFile", "DeleteSandbox"),
    snapshot: ("CreateFileSystemSnapshot", "GetFileSystemSnapshot", "DeleteSandbox"),
    snapshot_on_stop: ("CreateSandbox", "DeleteSandbox", "GetFileSystemSnapshot"),
    from_a_template: ("CreateSandboxFromTemplate", "StreamLogs", "DeleteSandbox"),
    volumes: (
        *("CreateVolume", "GetVolume", "ListVolumes"),
        *("UpdateVolume", "ValidateVolume", "DeleteVolume"),
    ),
    records: ("GetFileSystemSnapshot", "ListFileSystemSnapshots"),
}
EACH = [
    pytest.param(verb, method, id=f"{verb.__name__}-{method}")
    for verb, methods in CASES.items()
    for method in methods
]


def goes_on(verb: Callable[[], Any], method: str) -> bool:
    """Whether the call is carried to its end all the same: what is made has to be stopped, and what stops goes on."""
    return method.startswith(("CreateSandbox", "DeleteSandbox")) or verb is snapshot_on_stop


def at_work() -> tuple[list[str], int]:
    """What the client does at the moment: the coroutines of its own loop, and how many operations there are."""
    gc.collect()
    tasks = asyncio.all_tasks(loop.policy().loop)
    names = [task.get_coro().__qualname__ for task in tasks if not task.done()]  # type: ignore[union-attr]
    # Stops that the end of the program waits for are kept a little longer than they last.
    kept = sum(one._done() for one in cleanup._unclaimed)
    return sorted(names), _cwsandbox.stats()["operations"] - kept


def until_nothing_is_left(before: tuple[list[str], int]) -> None:
    with contextlib.suppress(AssertionError):
        eventually(lambda: at_work() == before, "all is over")
    assert at_work() == before


@pytest.mark.parametrize(("verb", "method"), EACH)
async def test_a_task_is_cancelled(peer: HoldingPeer, verb: Callable[[], Any], method: str) -> None:
    await verb()
    before = at_work()
    peer.hold(method)
    task = asyncio.create_task(verb())
    assert await asyncio.to_thread(peer.has_come.wait, 20)
    task.cancel()
    await asyncio.wait([task], timeout=0)
    if goes_on(verb, method):
        peer.go()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    await asyncio.to_thread(until_nothing_is_left, before)
    peer.go()
    # What was made is not left behind.
    assert len(set(peer.deleted)) == next(peer._ids) - 1
    await verb()


# ---- operations ----

Start = Callable[[Sandbox, Session], OperationRef[Any]]


def _function(sandbox: Sandbox, session: Session) -> OperationRef[Any]:
    return session.function()(seven).remote()


OPERATIONS: dict[str, tuple[Start, tuple[str, ...]]] = {
    "function": (_function, CASES[remote]),
    "snapshot": (
        lambda sandbox, _: sandbox.snapshot(),
        ("CreateFileSystemSnapshot", "GetFileSystemSnapshot"),
    ),
    "stop": (lambda sandbox, _: sandbox.stop(snapshot_on_stop=True), ("DeleteSandbox",)),
    "create volume": (lambda *_: Volume.create(ID, pvc=CLAIM), ("CreateVolume",)),
    "wait for volume": (lambda *_: Volume(volume_id=ID).wait_until_ready(), ("GetVolume",)),
    "list volumes": (lambda *_: Volume.list(), ("ListVolumes",)),
    "list snapshots": (lambda *_: Sandbox.list_snapshots(), ("ListFileSystemSnapshots",)),
}
EACH_OPERATION = [
    pytest.param(start, method, id=f"{name}-{method}")
    for name, (start, methods) in OPERATIONS.items()
    for method in methods
]


@pytest.mark.parametrize(("start", "method"), EACH_OPERATION)
def test_an_operation_is_dropped(peer: HoldingPeer, start: Start, method: str) -> None:
    with Sandbox.run(volumes=SCRATCH) as sandbox, Session() as session:
        sandbox.wait()
        start(Sandbox.run(volumes=SCRATCH).wait(), session).result()
        before = at_work()
        peer.hold(method)
        operation = start(sandbox, session)
        assert peer.has_come.wait(20)
        del operation
        gc.collect()
        peer.go()
        until_nothing_is_left(before)


@pytest.mark.parametrize(("start", "method"), EACH_OPERATION)
def test_threads_wait_and_one_gives_up(peer: HoldingPeer, start: Start, method: str) -> None:
    with Sandbox.run(volumes=SCRATCH) as sandbox, Session() as session:
        sandbox.wait()
        expected = start(Sandbox.run(volumes=SCRATCH).wait(), session).result()
        before = at_work()
        peer.hold(method)
        operation = start(sandbox, session)
        assert peer.has_come.wait(20)
        with ThreadPoolExecutor(4) as pool:
            others = [pool.submit(operation.result) for _ in range(4)]
            with pytest.raises(TimeoutError):
                operation.result(0.01)
            peer.go()
            results = [other.result(20) for other in others]
        # Volumes are compared by what they name.
        assert {repr(result) for result in results} == {repr(expected)}
        del operation, others, results
        until_nothing_is_left(before)
