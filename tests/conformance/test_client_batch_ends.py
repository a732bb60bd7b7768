"""How a batch against a scripted service ends before all jobs have run, and what is left of it then: nothing."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest

import cwsandbox
from conformance.batch_commands import count_runs, run
from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import (
    Job,
    Limits,
    Retry,
    SandboxError,
    SandboxPool,
    Verdict,
)
from integration.env.program import python_program
from integration.env.wait import eventually

FAST = Retry(backoff=0.0)


@pytest.fixture
def runs(grpc_peer: GrpcPeer) -> Counter[str]:
    return count_runs(grpc_peer)


async def test_asynchronous_jobs_and_their_fault(
    grpc_peer: GrpcPeer, runs: Counter[str], tmp_path: Path
) -> None:
    async def jobs() -> Any:
        for n in range(20):
            yield Job(str(n), ["ok", str(n)])
        yield Job("7", ["ok", "again"])

    seen: list[str] = []
    running = cwsandbox.batch(jobs(), store=tmp_path / "run.db", concurrency=4)
    with pytest.raises(ValueError, match="two jobs have the key '7'"):
        async for outcome in running:
            seen.append(outcome.job.key)
    # What ran had nothing to do with it.
    assert sorted(seen, key=int) == [str(n) for n in range(20)]
    assert len(grpc_peer.created) == len(grpc_peer.deleted)


@pytest.mark.parametrize("given", [None, "a", ["true"]])
def test_what_is_no_job_is_named_and_ends_it(
    grpc_peer: GrpcPeer, runs: Counter[str], given: Any
) -> None:
    seen = []
    with pytest.raises(TypeError, match="jobs must give Job, got "):
        for outcome in cwsandbox.batch([Job("a", ["ok", "a"]), given, Job("b", ["ok", "b"])]):
            seen.append(outcome.job.key)
    assert seen == ["a"]


def test_tries_are_counted_on_where_a_run_was_given_up_between_them(
    grpc_peer: GrpcPeer, runs: Counter[str], tmp_path: Path
) -> None:
    lost = grpc_peer.event()

    @grpc_peer.command("lost")
    async def lose(call: Call) -> None:
        runs["a"] += 1
        lost.set()
        await call.context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    store = tmp_path / "run.db"
    running = cwsandbox.batch(
        [Job("a", ["lost"])], store=store, retry=Retry(backoff=60.0, max_backoff=60.0)
    )
    threading.Thread(target=lambda: (grpc_peer.wait(lost), running.finish())).start()
    assert list(running) == []  # it has no verdict yet
    assert runs["a"] == 1
    outcome = run(Job("a", ["lost"]), store=store, retry=Retry(times=0))["a"]
    assert outcome.attempts == 2


@pytest.mark.parametrize("way", ["break", "with", "cancel"])
def test_giving_up_stops_all_and_keeps_what_is_done(
    grpc_peer: GrpcPeer, runs: Counter[str], tmp_path: Path, way: str
) -> None:
    @grpc_peer.command("wait")
    async def wait(call: Call) -> None:
        await call.ready()
        await asyncio.sleep(60)

    jobs = [Job("a", ["ok", "a"]), *(Job(str(n), ["wait"]) for n in range(3))]
    store = tmp_path / "run.db"
    if way == "break":
        for _ in cwsandbox.batch(jobs, store=store):
            break
    elif way == "with":
        with cwsandbox.batch(jobs, store=store) as running:
            iteration = iter(running)
            next(iteration)
    else:
        running = cwsandbox.batch(jobs, store=store)
        seen = []
        for outcome in running:
            seen.append(outcome.job.key)
            running.cancel()
        assert seen == ["a"]
    assert sorted(grpc_peer.deleted) == [f"sb-{n + 1}" for n in range(len(grpc_peer.created))]
    found = run(Job("a", ["ok", "a"]), store=store)
    assert (found["a"].is_stored, runs["a"]) == (True, 1)


def test_finishing_lets_what_runs_end(
    grpc_peer: GrpcPeer, runs: Counter[str], tmp_path: Path
) -> None:
    release = grpc_peer.event()

    @grpc_peer.command("held")
    async def held(call: Call) -> None:
        runs["held"] += 1
        await call.ready()
        await release.wait()
        await call.exit(0)

    jobs = [Job("first", ["ok", "first"]), Job("held", ["held"])]
    jobs += [Job(str(n), ["held"]) for n in range(50)]
    running = cwsandbox.batch(jobs, concurrency=2, store=tmp_path / "run.db")
    seen = []
    for outcome in running:
        seen.append(outcome.job.key)
        eventually(lambda: runs["held"], "another one runs")
        running.finish()
        grpc_peer.set(release)
    assert seen[0] == "first"
    assert 2 <= len(seen) <= 3  # one more may have begun when the first had ended
    assert running.summary().verdicts == {Verdict.OK: len(seen)}


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("waits_for", ["a place", "the rate", "a create", "another try"])
def test_finishing_begins_none_that_still_waits(
    grpc_peer: GrpcPeer, runs: Counter[str], tmp_path: Path, waits_for: str, asynchronous: bool
) -> None:
    """One runs, and others were taken that have no sandbox yet, for whatever reason."""
    release, lost = grpc_peer.event(), grpc_peer.event()

    @grpc_peer.command("held")
    async def held(call: Call) -> None:
        runs["held"] += 1
        await call.ready()
        await release.wait()
        await call.exit(0)

    @grpc_peer.command("lost")
    async def lose(call: Call) -> None:
        runs[call.argv[1]] += 1
        if runs["1"] == runs["2"] == 1:
            lost.set()
        await call.context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    async def create(request: Any, context: Any) -> Any:
        if waits_for == "a create" and grpc_peer.created:
            lost.set()
            await release.wait()
        return await grpc_peer._create(request, context)

    grpc_peer.overrides["CreateSandbox"] = create
    others = ["lost"] if waits_for == "another try" else ["ok"]
    jobs = [Job("0", ["held"]), *(Job(str(n), [*others, str(n)]) for n in range(1, 20))]
    limits = {"a place": Limits(alive=1), "the rate": Limits(per_second=0.001)}
    running = cwsandbox.batch(
        jobs,
        concurrency=3,
        store=tmp_path / "run.db",
        limits=limits.get(waits_for),
        retry=Retry(backoff=600.0, max_backoff=600.0),
    )
    seen: list[str] = []

    def iterate() -> None:
        seen.extend(outcome.job.key for outcome in running)

    async def iterate_asynchronously() -> None:
        async for outcome in running:
            seen.append(outcome.job.key)

    def run_it() -> None:
        asyncio.run(iterate_asynchronously()) if asynchronous else iterate()

    thread = threading.Thread(target=run_it, daemon=True)
    thread.start()
    eventually(lambda: runs["held"] and running.running == 3, "one runs, and two wait")
    if waits_for in ("a create", "another try"):
        grpc_peer.wait(lost)
    running.finish()
    eventually(lambda: running.running == 1, "only one runs")
    grpc_peer.set(release)
    thread.join(20)
    assert not thread.is_alive()
    assert seen == ["0"]
    assert runs["held"] == 1
    assert set(runs) <= ({"held", "1", "2"} if waits_for == "another try" else {"held"})
    eventually(lambda: len(grpc_peer.deleted) == len(grpc_peer.created), "all have ended")


class OwnEnd(BaseException):
    """Neither an Exception nor one that asyncio knows."""


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (OSError("the source is gone"), "OSError: the source is gone"),
        (asyncio.CancelledError(), "RuntimeError: jobs raised CancelledError()"),
        (OwnEnd("x"), "OwnEnd: x"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_the_jobs_raise_is_raised_when_those_before_have_run(
    grpc_peer: GrpcPeer,
    runs: Counter[str],
    tmp_path: Path,
    failure: BaseException,
    told: str,
    asynchronous: bool,
) -> None:
    """With one that waits for another try, and some that wait for a sandbox."""

    @grpc_peer.command("lost-once")
    async def lost_once(call: Call) -> None:
        runs["lost"] += 1
        if runs["lost"] == 1:
            await call.context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        await call.ready()
        await call.exit(0)

    def jobs() -> Any:
        yield Job("lost", ["lost-once"])
        for n in range(5):
            yield Job(str(n), ["ok", str(n)])
        raise failure

    class Asynchronous:
        def __init__(self) -> None:
            self._jobs = jobs()

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            try:
                return next(self._jobs)
            except StopIteration:
                raise StopAsyncIteration from None

    seen: list[str] = []
    settings: dict[str, Any] = {"retry": Retry(backoff=0.05), "limits": Limits(alive=2)}
    settings.update(store=tmp_path / "run.db", concurrency=8)

    async def iterate() -> None:
        async for outcome in cwsandbox.batch(Asynchronous(), **settings):
            seen.append(outcome.job.key)

    caught: BaseException | None = None
    try:
        if asynchronous:
            asyncio.run(iterate())
        else:
            for outcome in cwsandbox.batch(jobs(), **settings):
                seen.append(outcome.job.key)
    except BaseException as error:
        caught = error
    assert f"{type(caught).__name__}: {caught}" == told
    assert sorted(seen) == ["0", "1", "2", "3", "4", "lost"]
    assert len(grpc_peer.deleted) == len(grpc_peer.created)


async def test_cancelling_the_task_that_iterates_leaves_nothing(
    grpc_peer: GrpcPeer, runs: Counter[str]
) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    @grpc_peer.command("wait")
    async def wait(call: Call) -> None:
        await call.ready()
        loop.call_soon_threadsafe(begun.set)
        await asyncio.sleep(60)

    async def iterate() -> None:
        async for _ in cwsandbox.batch([Job(str(n), ["wait"]) for n in range(8)], concurrency=4):
            pass

    task = asyncio.create_task(iterate())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert len(grpc_peer.deleted) == len(grpc_peer.created)


@pytest.mark.parametrize("steps", range(0, 60, 3))
async def test_cancelled_at_any_moment_it_leaves_nothing(
    grpc_peer: GrpcPeer, runs: Counter[str], tmp_path: Path, steps: int
) -> None:
    jobs = [Job(str(n), ["ok", str(n)], files={"/x": b"x"}) for n in range(12)]
    store = tmp_path / "run.db"

    async def iterate() -> None:
        async with cwsandbox.batch(jobs, store=store, concurrency=3) as running:
            async for _ in running:
                await asyncio.sleep(0)

    task = asyncio.create_task(iterate())
    for _ in range(steps):
        await asyncio.sleep(0.0005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(grpc_peer.deleted) == len(grpc_peer.created)
    before = Counter(runs)
    found = [outcome async for outcome in cwsandbox.batch(jobs, store=store)]
    assert len(found) == 12
    for outcome in found:
        assert outcome.verdict is Verdict.OK
        if outcome.is_stored:
            assert runs[outcome.job.key] == before[outcome.job.key]


@pytest.mark.parametrize("code", [137, 143])
def test_what_the_end_of_its_pool_has_killed_has_no_verdict(
    grpc_peer: GrpcPeer, runs: Counter[str], tmp_path: Path, code: int
) -> None:
    """A service may tell the exit code of a command that ends with its sandbox."""
    works, over = grpc_peer.event(), grpc_peer.event()

    @grpc_peer.command("wait")
    async def wait(call: Call) -> None:
        works.set()
        await call.ready()
        await over.wait()
        await call.exit(code)

    async def delete(request: Any, context: Any) -> Any:
        over.set()
        await told.wait()
        return await grpc_peer._delete(request, context)

    told = grpc_peer.event()
    grpc_peer.overrides["DeleteSandbox"] = delete
    pool = SandboxPool()
    running = cwsandbox.batch([Job("a", ["wait"])], pool=pool, store=tmp_path / "run.db")
    closing: list[Any] = []
    threading.Thread(
        target=lambda: (grpc_peer.wait(works), closing.append(pool.close())), daemon=True
    ).start()
    with pytest.raises(SandboxError, match="the pool of the batch was closed"):
        list(running)
    grpc_peer.set(told)
    closing[0].result(20)
    assert run(Job("a", ["ok", "a"]), store=tmp_path / "run.db")["a"].attempts == 1


PROGRAM = """
import asyncio, sys
import cwsandbox
from cwsandbox import Job

jobs = [Job(str(n), ["wait"]) for n in range(4)]

async def iterate():
    async for _ in cwsandbox.batch(jobs, concurrency=2, store=sys.argv[2]):
        pass

if sys.argv[1] == "async for":
    asyncio.run(iterate())
else:
    list(cwsandbox.batch(jobs, concurrency=2, store=sys.argv[2]))
"""


@pytest.mark.parametrize("way", ["for", "async for"])
def test_a_second_interrupt_waits_for_no_service(
    grpc_peer: GrpcPeer, tmp_path: Path, way: str
) -> None:
    works, hangs = grpc_peer.event(), grpc_peer.event()

    @grpc_peer.command("wait")
    async def wait(call: Call) -> None:
        works.set()
        await asyncio.sleep(3600)

    async def hang(request: Any, context: Any) -> None:
        hangs.set()
        await asyncio.sleep(3600)

    grpc_peer.overrides["DeleteSandbox"] = hang
    with python_program(PROGRAM, way, tmp_path / "run.db") as running:
        grpc_peer.wait(works)
        running.send_signal(signal.SIGINT)
        grpc_peer.wait(hangs)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=20)
    assert running.returncode in (130, -signal.SIGINT), err
