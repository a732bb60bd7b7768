"""Batches against a scripted service: which jobs are tried again, how often, and what is said of them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest

import cwsandbox
from conformance.batch_commands import count_runs, run
from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import (
    BatchError,
    CWSandboxAuthenticationError,
    Job,
    Limits,
    Retry,
    SandboxPool,
    Verdict,
)
from cwsandbox._batch.channel import WAITING_MAX
from cwsandbox._batch.store import Store
from integration.env.wait import eventually

FAST = Retry(backoff=0.0)


@pytest.fixture
def runs(grpc_peer: GrpcPeer) -> Counter[str]:
    return count_runs(grpc_peer)


def test_a_lost_command_is_run_again_in_another_sandbox(
    grpc_peer: GrpcPeer, runs: Counter[str]
) -> None:
    @grpc_peer.command("lost-twice")
    async def lost_twice(call: Call) -> None:
        runs["a"] += 1
        await call.ready()
        await call.out(b"half")
        if runs["a"] < 3:
            await call.context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        await call.exit(0)

    found = run(Job("a", ["lost-twice"]), Job("b", ["no", "b"]), retry=FAST)
    assert (found["a"].verdict, found["a"].attempts) == (Verdict.OK, 3)
    assert (found["b"].verdict, found["b"].attempts) == (Verdict.FAILED, 1)
    assert runs == {"a": 3, "b": 1}
    assert len(grpc_peer.created) == 4
    assert len(grpc_peer.deleted) == 4


def test_what_stays_lost_says_so_and_keeps_its_output(
    grpc_peer: GrpcPeer, runs: Counter[str], tmp_path: Path
) -> None:
    @grpc_peer.command("lost")
    async def lost(call: Call) -> None:
        runs["a"] += 1
        await call.ready()
        await call.out(b"half")
        await call.context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    for attempts in (3, 6):  # the next run tries again, and counts on
        outcome = run(Job("a", ["lost"]), retry=FAST, store=tmp_path / "run.db")["a"]
        assert outcome.verdict is Verdict.SANDBOX_LOST
        assert outcome.is_infra
        assert outcome.attempts == attempts == runs["a"]
        assert outcome.error is not None
        assert "gone" in outcome.error
        assert outcome.result is not None
        assert (outcome.result.stdout, outcome.result.returncode) == ("half", -1)
    kept = run(Job("a", ["lost"]), retry=FAST, store=tmp_path / "run.db", rerun="missing")["a"]
    assert (kept.is_stored, kept.verdict, runs["a"]) == (True, Verdict.SANDBOX_LOST, 6)


def test_which_are_run_again(grpc_peer: GrpcPeer, runs: Counter[str], tmp_path: Path) -> None:
    jobs = [Job("good", ["ok", "good"]), Job("bad", ["no", "bad"])]
    store = tmp_path / "run.db"
    run(*jobs, store=store)
    for rerun, expected in (
        ("missing", (1, 1)),
        ("infra", (1, 1)),
        ("failed", (1, 2)),
        ("all", (2, 3)),
    ):
        found = run(*jobs, store=store, rerun=rerun)
        assert (runs["good"], runs["bad"]) == expected, rerun
        assert found["good"].verdict is Verdict.OK
        assert found["bad"].verdict is Verdict.FAILED
        assert found["good"].result is not None
        assert found["good"].result.stdout == "good"


def test_no_sandbox(grpc_peer: GrpcPeer, runs: Counter[str]) -> None:
    asked = itertools.count(1)

    async def create(request: Any, context: Any) -> Any:
        if next(asked) <= 2:
            await grpc_peer.fail(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "FULL")
        return await grpc_peer._create(request, context)

    grpc_peer.overrides["CreateSandbox"] = create
    outcome = run(Job("a", ["ok", "a"]), retry=FAST)["a"]
    assert (outcome.verdict, outcome.attempts, runs["a"]) == (Verdict.OK, 3, 1)
    outcome = run(Job("b", ["ok", "b"]), retry=Retry(times=0))["b"]
    assert outcome.verdict is Verdict.OK

    async def never(request: Any, context: Any) -> Any:
        await grpc_peer.fail(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "FULL")

    grpc_peer.overrides["CreateSandbox"] = never
    outcome = run(Job("c", ["ok", "c"]), retry=FAST)["c"]
    assert (outcome.verdict, outcome.attempts) == (Verdict.NOT_STARTED, 3)
    assert (outcome.result, runs["c"]) == (None, 0)


def test_wrong_credentials_end_it_and_are_no_verdict(
    grpc_peer: GrpcPeer, runs: Counter[str], tmp_path: Path
) -> None:
    async def create(request: Any, context: Any) -> Any:
        await grpc_peer.fail(context, grpc.StatusCode.UNAUTHENTICATED)

    jobs = [Job(str(n), ["ok", str(n)]) for n in range(40)]
    grpc_peer.overrides["CreateSandbox"] = create
    with pytest.raises(CWSandboxAuthenticationError):
        run(*jobs, store=tmp_path / "run.db")
    del grpc_peer.overrides["CreateSandbox"]
    found = run(*jobs, store=tmp_path / "run.db")
    assert {outcome.verdict for outcome in found.values()} == {Verdict.OK}
    assert set(runs.values()) == {1}


def test_a_refused_option_is_the_jobs_own_and_not_tried_again(grpc_peer: GrpcPeer) -> None:
    async def create(request: Any, context: Any) -> Any:
        await grpc_peer.fail(context, grpc.StatusCode.INVALID_ARGUMENT, message="no such image")

    grpc_peer.overrides["CreateSandbox"] = create
    outcome = run(Job("a", ["ok"], image="nope"), retry=FAST)["a"]
    assert (outcome.verdict, outcome.attempts) == (Verdict.INVALID, 1)
    assert outcome.error is not None
    assert "no such image" in outcome.error


def test_a_missing_local_file(grpc_peer: GrpcPeer, tmp_path: Path, runs: Counter[str]) -> None:
    outcome = run(Job("a", ["ok", "a"], files={"/x": tmp_path / "none"}), retry=FAST)["a"]
    assert (outcome.verdict, outcome.attempts, runs["a"]) == (Verdict.INVALID, 1, 0)
    assert outcome.error is not None
    assert "none" in outcome.error


def test_one_job_does_not_end_the_others(
    grpc_peer: GrpcPeer, runs: Counter[str], tmp_path: Path
) -> None:
    """Whatever its file is called, and whatever is raised for it."""

    def prepare(sandbox: cwsandbox.Sandbox) -> None:
        if sandbox.tags == ("odd",):
            raise ValueError("what no file can have: \ud800")

    jobs = [
        Job("nul", ["ok", "nul"], files={"/x": Path("a\0b")}),
        Job("folder", ["ok", "folder"], files={"/x": tmp_path}),
        Job("setup", ["ok", "setup"], sandbox={"tags": ["odd"]}),
        Job("options", ["ok", "options"], sandbox={"tags": 5}),
        Job("good", ["ok", "good"]),
    ]
    with SandboxPool(setup=prepare) as pool:
        for _ in range(2):  # as they come, and from the store
            found = run(*jobs, pool=pool, store=tmp_path / "run.db", retry=FAST)
            verdicts = {key: outcome.verdict.value for key, outcome in found.items()}
            odd = dict.fromkeys(("nul", "folder", "setup", "options"), "invalid")
            assert verdicts == {**odd, "good": "ok"}
            assert found["setup"].error == r"ValueError: what no file can have: \ud800"
            assert runs == {"good": 1}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (b"low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 0\n", Verdict.OUT_OF_MEMORY),
        (b"low 0\nhigh 0\nmax 9\noom 1\noom_kill 0\n", Verdict.FAILED),
        (b"\xff\xffoom_kill x\n", Verdict.FAILED),
        (None, Verdict.FAILED),
    ],
)
def test_the_containers_own_count_tells_of_memory(
    grpc_peer: GrpcPeer, runs: Counter[str], events: bytes | None, expected: Verdict
) -> None:
    if events is not None:
        grpc_peer.files["/sys/fs/cgroup/memory.events"] = events
    found = run(Job("a", ["no", "a"]), Job("b", ["ok", "b"]), concurrency=1)
    assert found["a"].verdict is expected
    assert found["b"].verdict is Verdict.OK
    assert found["a"].result is not None
    assert found["a"].result.returncode == 1


def test_limits_on_what_is_alive_and_what_starts(grpc_peer: GrpcPeer, runs: Counter[str]) -> None:
    alive: set[str] = set()
    most = starting = starting_most = 0
    full = grpc_peer.event()

    @grpc_peer.command("hold")
    async def hold(call: Call) -> None:
        runs[call.argv[1]] += 1
        await full.wait()
        await call.ready()
        await call.exit(0)

    async def create(request: Any, context: Any) -> Any:
        nonlocal most, starting, starting_most
        starting += 1
        starting_most = max(starting_most, starting)
        await asyncio.sleep(0.01)
        starting -= 1
        made = await grpc_peer._create(request, context)
        alive.add(made.sandbox_id)
        most = max(most, len(alive))
        if len(alive) == 5:
            full.set()
        return made

    async def delete(request: Any, context: Any) -> Any:
        alive.discard(request.sandbox_id)
        return await grpc_peer._delete(request, context)

    grpc_peer.overrides.update(CreateSandbox=create, DeleteSandbox=delete)
    jobs = [Job(str(n), ["hold", str(n)]) for n in range(30)]
    run(*jobs, concurrency=12, limits=Limits(alive=5, starting=2))
    assert len(runs) == 30
    assert (most, starting_most) == (5, 2)
    assert not alive


def test_jobs_share_sandboxes_only_with_their_like(grpc_peer: GrpcPeer, runs: Counter[str]) -> None:
    jobs = [Job(str(n), ["ok", str(n)], image=f"image-{n % 3}") for n in range(30)]
    found = run(*jobs, concurrency=1, jobs_per_sandbox=5, limits=Limits(alive=3))
    images = {f"sb-{n}": str(request) for n, request in enumerate(grpc_peer.created, 1)}
    for outcome in found.values():
        assert outcome.sandbox_id is not None
        assert str(outcome.job.image) in images[outcome.sandbox_id]
    assert len(grpc_peer.created) == 6
    assert sorted(grpc_peer.deleted) == sorted(images)


def test_a_pool_outlives_its_batches(grpc_peer: GrpcPeer, runs: Counter[str]) -> None:
    with SandboxPool(2, max_uses=None, limits=Limits(alive=2)) as pool:
        for name in ("a", "b"):
            run(*(Job(f"{name}{n}", ["ok", f"{name}{n}"]) for n in range(20)), pool=pool)
        assert len(grpc_peer.created) == 2
        assert not grpc_peer.deleted
    assert sorted(grpc_peer.deleted) == ["sb-1", "sb-2"]


def test_a_full_disk_ends_it_and_costs_nothing_that_is_done(
    grpc_peer: GrpcPeer, runs: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = Store._prepare

    def on_a_small_disk(store: Store) -> None:
        prepare(store)
        store._database.execute("PRAGMA max_page_count = 20")

    jobs = [
        Job(str(n), ["ok", str(n)], metadata={"padding": "x" * 5000, "n": n}) for n in range(40)
    ]
    store = tmp_path / "run.db"
    seen = []
    with monkeypatch.context() as patched:
        patched.setattr(Store, "_prepare", on_a_small_disk)
        with pytest.raises(
            BatchError, match=r"run\.db cannot be written: database or disk is full"
        ):
            for outcome in cwsandbox.batch(jobs, store=store, concurrency=2):
                seen.append(outcome.job.key)
    assert 0 < len(seen) < 40
    assert len(grpc_peer.deleted) == len(grpc_peer.created)
    found = run(*jobs, store=store)
    assert len(found) == 40
    assert {key for key, outcome in found.items() if outcome.is_stored} >= set(seen)
    assert all(runs[key] == 1 for key in seen)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_reader_who_is_slow_holds_the_jobs_back(
    grpc_peer: GrpcPeer, runs: Counter[str], asynchronous: bool
) -> None:
    jobs = (Job(str(n), ["ok", str(n)]) for n in range(400))
    running = cwsandbox.batch(jobs, concurrency=4, jobs_per_sandbox=None)
    # Those that wait, those that were taken together before, those that run.
    most = 2 * WAITING_MAX + 8

    async def read() -> int:
        count = 0
        async for _ in running:
            while not count and len(runs) < WAITING_MAX:
                await asyncio.sleep(0.01)
            for _ in range(0 if count else 30):
                await asyncio.sleep(0.01)  # nothing tells of jobs that are not begun
                assert len(runs) <= most
            count += 1
        return count

    if asynchronous:
        assert asyncio.run(read()) == 400
        return
    iteration = iter(running)
    next(iteration)
    eventually(lambda: len(runs) >= WAITING_MAX, "as many wait as may")
    for _ in range(30):
        time.sleep(0.01)
        assert len(runs) <= most
    assert sum(1 for _ in iteration) == 399
