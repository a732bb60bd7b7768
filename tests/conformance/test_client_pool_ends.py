"""A pool that is closed, at whatever stage those are that wait for its sandboxes: they are told at once, and why."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest

import cwsandbox
from conformance.grpc_peer import GrpcPeer
from cwsandbox import Job, Limits, SandboxError, SandboxPool
from cwsandbox._batch.pool import Lease
from integration.env.program import python_program
from integration.env.wait import eventually


class Stage:
    """A pool whose second borrower comes as far as ``has_come`` says, and no further before ``release()``."""

    def __init__(self, pool: SandboxPool, has_come: Callable[[], bool]) -> None:
        self.pool = pool
        self.has_come = has_come
        self.release: Callable[[], object] = lambda: None
        # Of the only sandbox that there is before.
        self.first: Lease | None = None
        self.borrowers = 1

    def lend_first(self) -> Stage:
        self.first = self.pool.acquire(timeout=20)
        self.first.__enter__()
        return self


def for_a_place(peer: GrpcPeer) -> Stage:
    pool = SandboxPool(limits=Limits(alive=1))
    return Stage(pool, lambda: len(pool._shelf._waiting) == 1).lend_first()


def for_the_rate(peer: GrpcPeer) -> Stage:
    pool = SandboxPool(limits=Limits(per_second=0.001))
    return Stage(pool, lambda: pool.alive_count == 2).lend_first()


def for_the_end_of_a_pause(peer: GrpcPeer) -> Stage:
    pool = SandboxPool(create_retry_budget_seconds=0)

    async def full(request: Any, context: Any) -> Any:
        await peer.fail(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "FULL", retry_after=1000)

    peer.overrides["CreateSandbox"] = full
    with pytest.raises(SandboxError, match="resource exhausted"), pool.acquire(timeout=20):
        pass
    del peer.overrides["CreateSandbox"]
    eventually(lambda: pool.alive_count == 0, "the refused one is gone")
    return Stage(pool, lambda: pool.alive_count == 1)


def for_its_create(peer: GrpcPeer) -> Stage:
    begun, go = threading.Event(), peer.event()

    async def create(request: Any, context: Any) -> Any:
        begun.set()
        await go.wait()
        return await peer._create(request, context)

    peer.overrides["CreateSandbox"] = create
    stage = Stage(SandboxPool(limits=Limits(starting=1)), begun.is_set)
    stage.release = lambda: peer.set(go)
    return stage


def for_another_ones_start(peer: GrpcPeer) -> Stage:
    stage = for_its_create(peer)
    stage.borrowers = 2
    begun, pool = stage.has_come, stage.pool
    stage.has_come = lambda: begun() and pool.alive_count == 2
    return stage


def until_it_runs(peer: GrpcPeer) -> Stage:
    looks = threading.Event()

    async def get(request: Any, context: Any) -> Any:
        if request.sandbox_id in peer.deleted:
            return await peer._get(request, context)
        looks.set()
        return peer._sandbox(request.sandbox_id, peer.pb.STATE_CREATING)

    peer.overrides["GetSandbox"] = get
    return Stage(SandboxPool(), looks.is_set)


def for_its_setup(peer: GrpcPeer) -> Stage:
    begun, go = threading.Event(), threading.Event()

    def prepare(sandbox: cwsandbox.Sandbox) -> None:
        begun.set()
        go.wait(30)

    stage = Stage(SandboxPool(setup=prepare), begun.is_set)
    stage.release = go.set
    return stage


def for_a_look(peer: GrpcPeer) -> Stage:
    """Of one that has been idle for long."""
    pool = SandboxPool(max_uses=None)
    with pool.acquire(timeout=20):
        pass
    pool._shelf.idle[0].idle_since -= 3600
    begun, go = threading.Event(), peer.event()

    async def get(request: Any, context: Any) -> Any:
        if not peer.deleted:
            begun.set()
            await go.wait()
        return await peer._get(request, context)

    peer.overrides["GetSandbox"] = get
    stage = Stage(pool, begun.is_set)
    stage.release = lambda: peer.set(go)
    return stage


def for_the_end_of_another_one(peer: GrpcPeer) -> Stage:
    """Which has the place, and was made for something else."""
    pool = SandboxPool(max_uses=None, limits=Limits(alive=1))
    with pool.acquire(timeout=20, tags=["other"]):
        pass
    begun, go = threading.Event(), peer.event()

    async def delete(request: Any, context: Any) -> Any:
        begun.set()
        await go.wait()
        return await peer._delete(request, context)

    peer.overrides["DeleteSandbox"] = delete
    stage = Stage(pool, begun.is_set)
    stage.release = lambda: peer.set(go)
    return stage


STAGES = [
    for_a_place,
    for_the_rate,
    for_the_end_of_a_pause,
    for_its_create,
    for_another_ones_start,
    until_it_runs,
    for_its_setup,
    for_a_look,
    for_the_end_of_another_one,
]


class Borrower:
    """Waits for a sandbox on a thread of its own, blocking or in an event loop there."""

    def __init__(self, pool: SandboxPool, is_asynchronous: bool) -> None:
        self.failure: BaseException | None = None
        self._pool = pool
        work = self._await if is_asynchronous else self._block
        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def _block(self) -> None:
        try:
            with self._pool.acquire():
                pass
        except BaseException as failure:
            self.failure = failure

    def _await(self) -> None:
        async def borrow() -> None:
            async with self._pool.acquire():
                pass

        try:
            asyncio.run(borrow())
        except BaseException as failure:
            self.failure = failure

    def told(self) -> str:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return f"{type(self.failure).__name__}: {self.failure}"


@pytest.mark.parametrize("is_asynchronous", [False, True], ids=["thread", "loop"])
@pytest.mark.parametrize("at", STAGES)
def test_who_waits_is_told_at_once(
    grpc_peer: GrpcPeer, at: Callable[[GrpcPeer], Stage], is_asynchronous: bool
) -> None:
    stage = at(grpc_peer)
    pool = stage.pool
    waiting = [Borrower(pool, is_asynchronous) for _ in range(stage.borrowers)]
    eventually(stage.has_come, "they wait")
    closing = pool.close()
    # Before what it waits for can have come.
    assert {one.told() for one in waiting} == {"SandboxError: the pool is closed"}
    stage.release()
    closing.result(20)
    if stage.first is not None:
        stage.first.__exit__(None)
    made = [f"sb-{n}" for n in range(1, len(grpc_peer.created) + 1)]
    eventually(lambda: sorted(grpc_peer.deleted) == made, "all that was made has ended")
    eventually(lambda: (pool.alive_count, pool.idle_count) == (0, 0), "there are none")
    with pytest.raises(SandboxError, match="the pool is closed"), pool.acquire():
        pass


@pytest.mark.parametrize("at", STAGES)
def test_a_batch_over_it_ends_with_that_and_without_verdicts(
    grpc_peer: GrpcPeer, at: Callable[[GrpcPeer], Stage], tmp_path: Any
) -> None:
    stage = at(grpc_peer)
    pool = stage.pool
    jobs = [Job(str(n), ["true"]) for n in range(stage.borrowers)]
    failures: list[BaseException] = []
    seen: list[object] = []

    def run() -> None:
        try:
            store = tmp_path / "run.db"
            seen.extend(cwsandbox.batch(jobs, pool=pool, store=store))
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    eventually(stage.has_come, "they wait")
    closing = pool.close()
    thread.join(20)
    assert not thread.is_alive()
    stage.release()
    closing.result(20)
    assert [f"{type(one).__name__}: {one}" for one in failures] == [
        "SandboxError: the pool of the batch was closed"
    ]
    assert seen == []


PROGRAM = """
import signal, sys, threading
from cwsandbox import Limits, SandboxError, SandboxPool

pool = SandboxPool(limits=Limits(**eval(sys.argv[1])))
first = pool.acquire()
first.__enter__()

def borrow():
    try:
        with pool.acquire():
            pass
    except SandboxError as error:
        print(error, flush=True)

threading.Thread(target=borrow).start()  # which the end of the interpreter waits for
while not (pool._shelf._waiting or pool.alive_count == 2):
    threading.Event().wait(0.01)
print("waits", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("limits", ["{'alive': 1}", "{'per_second': 0.001}"])
def test_a_signal_that_ends_the_program_tells_other_threads(
    grpc_peer: GrpcPeer, limits: str, number: signal.Signals
) -> None:
    with python_program(PROGRAM, limits) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "waits\n"
        running.send_signal(number)
        out, err = running.communicate(timeout=40)
    assert out == "the pool is closed\n", err
