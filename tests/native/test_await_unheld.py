"""Tasks that nobody refers to: what they wait for keeps them, as a timer would, and no longer than that."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from conformance.grpc_peer import Call, GrpcPeer
from native.conftest import Run
from native.tasks import pause, wait

JOBS = 20
PATIENCE = 20


class Gate:
    """Commands wait here, on the peer's loop, until the test lets them through."""

    def __init__(self, peer: GrpcPeer) -> None:
        self._loop = peer._thread.loop
        self._open = asyncio.Event()

        @peer.command("gated")
        async def gated(call: Call) -> None:
            await call.out(b"first\n")
            await self._open.wait()
            await call.out(b"second\n")
            await call.exit(0)

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)


@pytest.fixture
def gate(peer: GrpcPeer) -> Iterator[Gate]:
    made = Gate(peer)
    yield made
    made.open()


@pytest.fixture(autouse=True)
def collecting_often() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(50, 1, 1)
    yield
    gc.set_threshold(*before)


Start = Callable[[], Any]


async def awaits(start: Start) -> None:
    await start()


async def reads(start: Start) -> None:
    assert [line async for line in start().stdout] == ["first\n", "second\n"]


async def waits_for(start: Start) -> None:
    await asyncio.wait_for(start(), PATIENCE)


async def gathers(start: Start) -> None:
    await asyncio.gather(start(), start())


async def sets_a_future(start: Start) -> None:
    future = asyncio.get_running_loop().create_future()

    async def setter() -> None:
        await start()
        future.set_result(None)

    asyncio.create_task(setter())  # noqa: RUF006
    await future


async def is_called_back(start: Start) -> None:
    future = asyncio.get_running_loop().create_future()
    asyncio.ensure_future(start()).add_done_callback(lambda _: future.set_result(None))
    await future


@pytest.mark.parametrize(
    "job",
    [awaits, reads, waits_for, gathers, sets_a_future, is_called_back],
    ids=lambda f: f.__name__,
)
def test_is_kept_until_it_is_woken(sandbox: Any, gate: Gate, run: Run, job: Any) -> None:
    async def main() -> None:
        finished = 0
        all_finished = asyncio.Event()

        async def one() -> None:
            nonlocal finished
            await job(lambda: sandbox.exec(["gated"]))
            finished += 1
            if finished == JOBS:
                all_finished.set()

        for _ in range(JOBS):
            asyncio.create_task(one())  # noqa: RUF006
        await pause()
        gc.collect()
        gate.open()
        async with asyncio.timeout(PATIENCE):
            await all_finished.wait()

    run(main())


def test_eager_one_is_kept(core: ModuleType, run: Run) -> None:
    if sys.version_info < (3, 12):
        pytest.skip("eager tasks came with 3.12")

    async def main() -> None:
        promise = core.Promise()
        finished = asyncio.Event()

        async def one() -> None:
            await promise
            finished.set()

        asyncio.eager_task_factory(asyncio.get_running_loop(), one())
        gc.collect()
        threading.Timer(0.01, promise.set_result, [None]).start()
        async with asyncio.timeout(PATIENCE):
            await finished.wait()

    run(main())


# ---- and no longer ---------------------------------------------------------------------------------------------------


class Witness:
    """Is gone when the frame that has it is."""


def task_with_witness(
    loop: asyncio.AbstractEventLoop, promise: Any
) -> tuple[asyncio.Task[Any], weakref.ref[Witness]]:
    witness = Witness()

    async def hold(held: Witness) -> None:
        await wait(promise)

    task = loop.create_task(hold(witness))
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    return task, weakref.ref(witness)


def test_cancelled_one_is_let_go_of_at_once(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()
        task, gone = task_with_witness(asyncio.get_running_loop(), promise)
        await pause()
        task.cancel()
        await asyncio.wait([task])
        gc.disable()
        try:
            del task
            await pause()
            assert gone() is None
        finally:
            gc.enable()

    run(main())


def test_posted_and_given_up_one_is_let_go_of(core: ModuleType, run: Run) -> None:
    async def main() -> None:
        promise = core.Promise()
        task, gone = task_with_witness(asyncio.get_running_loop(), promise)
        await pause()
        promise.set_result(1)
        task.cancel()
        await asyncio.wait([task])
        del task
        await pause()
        gc.collect()
        assert gone() is None

    run(main())


LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> LoopFactory:
    import uvloop

    return uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop


@pytest.mark.parametrize("posted", [False, True])
def test_nothing_is_left_of_a_closed_loop(
    core: ModuleType, new_loop: LoopFactory, posted: bool
) -> None:
    """Even if the loop object itself lives on."""
    promise = core.Promise()
    loop = new_loop()
    task, gone = task_with_witness(loop, promise)
    loop.run_until_complete(pause())
    assert core.stats()["mailboxes"] == 1
    if posted:
        promise.set_result(1)
    loop.close()
    del task
    gc.collect()
    assert gone() is None
    assert core.stats()["mailboxes"] == 0
    assert loop.is_closed()


def test_nothing_is_left_of_a_loop_that_is_gone(core: ModuleType) -> None:
    """A loop nobody refers to is garbage with all that waits in it, also where it was never closed."""
    promise = core.Promise()
    loop = asyncio.new_event_loop()
    task, gone = task_with_witness(loop, promise)
    loop_gone = weakref.ref(loop)
    loop.run_until_complete(pause())
    del task
    gc.collect()
    assert gone() is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del loop
        gc.collect()
    assert (gone(), loop_gone()) == (None, None)
    assert core.stats()["mailboxes"] == 0
    assert promise.set_result(1)


def test_many_loops_at_once_have_a_mailbox_each(core: ModuleType, new_loop: LoopFactory) -> None:
    loops = [new_loop() for _ in range(10)]
    promises = [core.Promise() for _ in loops]
    tasks = [loop.create_task(wait(p)) for loop, p in zip(loops, promises, strict=True)]
    for _ in range(2):
        for loop in loops:
            loop.run_until_complete(pause())
    assert core.stats()["mailboxes"] == len(loops)
    for n, promise in enumerate(promises):
        promise.set_result(n)
    for n, (loop, task) in enumerate(zip(loops, tasks, strict=True)):
        assert loop.run_until_complete(task) == n
        loop.close()
    assert core.stats()["mailboxes"] == 0
