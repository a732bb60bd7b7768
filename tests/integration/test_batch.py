"""Batches and pools on the daemon: faults of the infrastructure, memory, what is left behind."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import cwsandbox
from cwsandbox import (
    Job,
    Limits,
    Outcome,
    Retry,
    Sandbox,
    SandboxError,
    SandboxPool,
    SandboxTimeoutError,
    Verdict,
)
from integration.env import Daemon
from integration.env.wait import eventually


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon that the test may kill."""
    with tempfile.TemporaryDirectory(prefix="cwsd-") as folder, Daemon(Path(folder)) as daemon:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
        yield daemon


def test_a_daemon_that_is_killed_costs_no_job(mortal: Daemon, tmp_path: Path) -> None:
    jobs = [
        Job(str(n), ["sh", "-c", f"sleep 0.{n % 3}; echo {n}; exit {n % 4}"]) for n in range(40)
    ]
    retry = Retry(times=30, backoff=0.1, max_backoff=0.5)
    found: dict[str, Outcome] = {}
    for outcome in cwsandbox.batch(jobs, store=tmp_path / "run.db", retry=retry, concurrency=8):
        found[outcome.job.key] = outcome
        if len(found) in (5, 15):
            mortal.kill()
            mortal.start()
    assert len(found) == 40
    for n in range(40):
        outcome = found[str(n)]
        assert outcome.verdict is (Verdict.FAILED if n % 4 else Verdict.OK), outcome
        assert outcome.result is not None
        assert (outcome.result.stdout, outcome.result.returncode) == (f"{n}\n", n % 4)
    assert max(outcome.attempts for outcome in found.values()) > 1
    assert not Sandbox.list().result()


def test_output_is_kept_and_bounded_whatever_the_verdict(own_daemon: str, tmp_path: Path) -> None:
    script = "yes 0123456789 | head -c 100000; echo end; "
    jobs = [
        Job("ok", ["sh", "-c", script]),
        Job("failed", ["sh", "-c", script + "exit 9"]),
        Job("timeout", ["sh", "-c", script + "sleep 60"], timeout_seconds=4),
        Job("killed", ["sh", "-c", script + "kill -9 $$"]),
        Job("no-such", ["/no/such/program"]),
    ]
    store = tmp_path / "run.db"
    for _ in range(2):  # as they come, and from the store
        found = {
            one.job.key: one for one in cwsandbox.batch(jobs, store=store, max_output_bytes=1000)
        }
        assert {key: one.verdict.value for key, one in found.items()} == {
            "ok": "ok",
            "failed": "failed",
            "timeout": "timeout",
            "killed": "failed",
            "no-such": "failed",
        }
        for key in ("ok", "failed", "timeout", "killed"):
            result = found[key].result
            assert result is not None
            assert len(result.stdout_bytes) == 1000
            assert result.stdout_omitted_bytes == 100_004 - 1000
            assert result.stdout.endswith("end\n")
        results = {key: one.result for key, one in found.items()}
        codes = {key: result and result.returncode for key, result in results.items()}
        assert codes == {"ok": 0, "failed": 9, "timeout": -1, "killed": 137, "no-such": 127}


def test_an_evaluation(own_daemon: str, tmp_path: Path) -> None:
    """Files in, a directory, variables, input, artifacts out, of many jobs in few sandboxes."""
    local = tmp_path / "task.sh"
    local.write_text('read line; echo "$NAME $line" > out.txt; cat in/data >> out.txt; pwd\n')
    jobs = [
        Job(
            str(n),
            ["sh", "task.sh"],
            cwd="/tmp/work",
            env={"NAME": f"job {n}"},
            stdin=b"input\n",
            files={"/tmp/work/task.sh": local, "/tmp/work/in/data": b"\0" * n},
            artifacts=["/tmp/work/out.txt", "/tmp/work/none"],
            metadata={"n": n},
        )
        for n in range(12)
    ]
    sandboxes = set()
    for outcome in cwsandbox.batch(jobs, concurrency=3, jobs_per_sandbox=None):
        n = outcome.job.metadata["n"]
        assert outcome.verdict is Verdict.OK, outcome
        assert outcome.result is not None
        assert outcome.result.stdout == "/tmp/work\n"
        assert outcome.artifacts == {"/tmp/work/out.txt": f"job {n} input\n".encode() + b"\0" * n}
        assert set(outcome.missing_artifacts) == {"/tmp/work/none"}
        sandboxes.add(outcome.sandbox_id)
    assert len(sandboxes) <= 3
    assert not Sandbox.list().result()


def test_artifacts_that_are_too_large(own_daemon: str) -> None:
    job = Job("a", ["sh", "-c", "head -c 300000 /dev/zero > /tmp/a"], artifacts=["/tmp/a"])
    (outcome,) = cwsandbox.batch([job], max_artifact_bytes=200_000)
    assert outcome.verdict is Verdict.OK
    assert not outcome.artifacts
    assert "200000" in outcome.missing_artifacts["/tmp/a"]


def test_memory_does_not_grow_with_the_jobs(own_daemon: str) -> None:
    """Each outcome has 100 kB, so that those of all would be 300 MB."""

    def resident() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024

    jobs = (Job(str(n), ["head", "-c", "100000", "/dev/zero"]) for n in range(3000))
    most = first = 0
    for number, outcome in enumerate(cwsandbox.batch(jobs, concurrency=8, jobs_per_sandbox=None)):
        assert outcome.result is not None
        assert len(outcome.result.stdout_bytes) == 100_000
        if number == 300:
            first = resident()
        most = max(most, resident() if number % 100 == 0 else 0)
    assert most - first < 60


async def test_many_at_once_in_an_event_loop(own_daemon: str, tmp_path: Path) -> None:
    async def jobs() -> object:
        for n in range(60):
            await asyncio.sleep(0)
            yield Job(str(n), ["echo", str(n)])

    seen = set()
    async with cwsandbox.batch(jobs(), store=tmp_path / "run.db", concurrency=8) as running:
        async for outcome in running:
            assert outcome.result is not None
            assert outcome.result.stdout == outcome.job.key + "\n"
            seen.add(outcome.job.key)
    assert len(seen) == 60
    assert running.summary().verdicts == {Verdict.OK: 60}


# ---- pools ----


def test_a_pool_is_ready_and_refills(own_daemon: str) -> None:
    with SandboxPool(3, limits=Limits(alive=5)) as pool:
        eventually(lambda: pool.idle_count == 3, "three are ready")
        ids = []
        for _ in range(6):
            with pool.acquire() as sandbox:
                ids.append(sandbox.sandbox_id)
                assert sandbox.exec(["echo", "x"]).result().stdout == "x\n"
        assert len(set(ids)) == 6  # nobody meets what somebody else has left
        eventually(lambda: pool.idle_count == 3, "three are ready again")
        assert pool.alive_count <= 5
    assert not Sandbox.list().result()
    with pytest.raises(SandboxError, match="closed"), pool.acquire():
        pass


def test_what_is_lent_out_again_and_what_is_not(own_daemon: str) -> None:
    with SandboxPool(max_uses=3) as pool:
        ids = []
        for _ in range(4):
            with pool.acquire() as sandbox:
                ids.append(sandbox.sandbox_id)
        assert ids[0] == ids[1] == ids[2] != ids[3]
        with pytest.raises(KeyError), pool.acquire() as sandbox:
            assert sandbox.sandbox_id == ids[3]
            raise KeyError
        with pool.acquire() as sandbox:
            assert sandbox.sandbox_id != ids[3]
        with pool.acquire(tags=["mine"]) as other:
            assert "mine" in other.tags
            assert other.sandbox_id != sandbox.sandbox_id
        with pool.acquire(tags=["mine"]) as again:
            assert again.sandbox_id == other.sandbox_id
    assert not Sandbox.list().result()


def test_one_that_died_is_replaced(own_daemon: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cwsandbox._batch.shelf._TRUSTED_SECONDS", 0.0)
    with SandboxPool(max_uses=None) as pool:
        with pool.acquire() as sandbox:
            first = sandbox.sandbox_id
        assert first is not None
        Sandbox.delete(first).result()
        eventually(lambda: not Sandbox.list().result(), "it is gone")
        with pool.acquire() as sandbox:
            assert sandbox.sandbox_id != first
            assert sandbox.exec(["true"]).result().returncode == 0


def test_waiting_for_one_ends_in_time_and_leaves_it_to_others(own_daemon: str) -> None:
    with SandboxPool(max_uses=None, limits=Limits(alive=1)) as pool:
        with pool.acquire() as held:
            late = pytest.raises(SandboxTimeoutError, match=r"within 0\.1 seconds")
            with late, pool.acquire(timeout=0.1):
                pass
            got = []

            def borrow() -> None:
                with pool.acquire() as sandbox:
                    got.append(sandbox.sandbox_id)

            threads = [threading.Thread(target=borrow) for _ in range(3)]
            for thread in threads:
                thread.start()
        for thread in threads:
            thread.join(20)
        assert got == [held.sandbox_id] * 3


def test_threads_that_contend_for_few_all_get_one(own_daemon: str) -> None:
    """A wake-up that gets lost between a look and a wait would leave a thread waiting for ever."""
    borrowed: list[str | None] = []
    with SandboxPool(max_uses=None, limits=Limits(alive=2)) as pool:

        def borrow() -> None:
            for _ in range(60):
                with pool.acquire(timeout=30) as sandbox:
                    borrowed.append(sandbox.sandbox_id)

        threads = [threading.Thread(target=borrow) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(40)
    assert len(borrowed) == 360
    assert len(set(borrowed)) <= 2


def test_another_kind_takes_the_place_of_an_idle_one(own_daemon: str) -> None:
    with SandboxPool(1, limits=Limits(alive=1), max_uses=None) as pool:
        eventually(lambda: pool.idle_count == 1, "one is ready")
        with pool.acquire(tags=["other"], timeout=20) as sandbox:
            assert "other" in sandbox.tags
            assert pool.alive_count == 1


def test_setup_runs_once_for_each_sandbox(own_daemon: str) -> None:
    async def prepare(sandbox: Sandbox) -> None:
        assert (await sandbox.exec(["sh", "-c", "echo ready >> /tmp/ready"])).returncode == 0

    with SandboxPool(1, max_uses=None, setup=prepare) as pool:
        for _ in range(3):
            with pool.acquire() as sandbox:
                assert sandbox.read_file("/tmp/ready").result() == b"ready\n"

    def fail(sandbox: Sandbox) -> None:
        raise KeyError("no such task")

    with SandboxPool(setup=fail) as pool, pytest.raises(KeyError), pool.acquire():
        pass
    assert not Sandbox.list().result()


async def test_a_task_that_is_cancelled_while_it_waits_leaves_none(own_daemon: str) -> None:
    async with SandboxPool(max_uses=None, limits=Limits(alive=1)) as pool:

        async def borrow() -> None:
            async with pool.acquire():
                await asyncio.sleep(0)

        for steps in range(12):
            tasks = [asyncio.create_task(borrow()) for _ in range(3)]
            for _ in range(steps):
                await asyncio.sleep(0.003)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(20), pool.acquire() as sandbox:
            assert (await sandbox.exec(["true"])).returncode == 0
        assert pool.alive_count == 1
    assert not await Sandbox.list()
