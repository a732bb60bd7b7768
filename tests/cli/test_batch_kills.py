"""A batch whose program is killed, again and again, at any moment."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest

from cli.program import Program
from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import BatchError
from cwsandbox._batch.reader import Reader
from integration.env.wait import eventually

JOBS = 120
AT_ONCE = 8


class Counting:
    """Each command counts on the service's side, where no kill of the program is felt."""

    def __init__(self, peer: GrpcPeer) -> None:
        self.runs: Counter[str] = Counter()
        self._changed = threading.Condition()
        peer.scripts["job"] = self._job

    async def _job(self, call: Call) -> None:
        await call.ready()
        await asyncio.sleep(random.uniform(0, 0.004))
        await call.out(b"output\n")
        with self._changed:
            self.runs[call.argv[1]] += 1
            self._changed.notify_all()
        await call.exit(0)

    def wait_for(self, more: int) -> None:
        """Until so many more commands have run than now, or nearly all have."""
        with self._changed:
            until = self.runs.total() + more
            assert self._changed.wait_for(
                lambda: self.runs.total() >= until or len(self.runs) == JOBS, 30
            )


@pytest.fixture
def counting(shell_peer: GrpcPeer) -> Counting:
    return Counting(shell_peer)


def done_keys(store: Path) -> set[str]:
    try:
        reader = Reader(store)
    except BatchError:
        return set()  # it was killed before there was a store
    found = {one["key"] for one in reader.outcomes()}
    reader.close()
    return found


def test_nothing_is_lost_and_nothing_that_is_done_runs_again(
    counting: Counting, shell_peer: GrpcPeer, tmp_path: Path
) -> None:
    jobs, store = tmp_path / "run.jsonl", tmp_path / "run.db"
    jobs.write_text(
        "".join(json.dumps({"key": str(n), "command": ["job", str(n)]}) + "\n" for n in range(JOBS))
    )
    words = ["batch", str(jobs), "--store", str(store), "--resume", "-j", str(AT_ONCE)]
    address = {"CWSANDBOX_BASE_URL": shell_peer.base_url}
    done: dict[str, int] = {}
    kills = 0
    for more in (1, 2, 3, 5, 8, 13, 1, 20):
        running = Program().start(
            *words,
            "--jobs-per-sandbox",
            "3",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **address},
        )
        counting.wait_for(more)
        running.kill()
        running.wait()
        kills += 1
        for key in done_keys(store):
            # As often as when it was first seen to be done.
            assert done.setdefault(key, counting.runs[key]) == counting.runs[key]
    assert 0 < len(done) < JOBS
    last = Program().run(*words, **address)
    assert last.returncode == 0, last.stderr
    assert last.stdout.startswith(f"{JOBS} jobs: {JOBS} ok; ".encode())
    assert done_keys(store) == {str(n) for n in range(JOBS)}
    assert all(counting.runs[key] == count for key, count in done.items())
    # What ran at a kill is all that can have run twice.
    assert counting.runs.total() - JOBS <= kills * AT_ONCE


def test_with_a_daemon_that_dies_with_the_program(tmp_path: Path) -> None:
    """Each command prints what no other one prints, so that a row that was made anew would show it."""
    jobs, store = tmp_path / "run.jsonl", tmp_path / "run.db"
    command = ["cat", "/proc/sys/kernel/random/uuid"]
    jobs.write_text(
        "".join(json.dumps({"key": str(n), "command": command}) + "\n" for n in range(JOBS))
    )
    words = ["batch", str(jobs), "--store", str(store), "--resume", "-j", "4"]
    environment = {**os.environ, "CWSANDBOX_BASE_URL": "local"}
    printed: dict[str, str] = {}
    for more in (1, 5, 10, 20):
        running = Program().start(
            *words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        until = min(len(printed) + more, JOBS)
        eventually(lambda until=until: len(outputs(store)) >= until, "more rows")
        running.kill()
        running.wait()
        found = outputs(store)
        assert {key: found[key] for key in printed} == printed
        printed = found
    assert Program().run(*words, CWSANDBOX_BASE_URL="local").returncode == 0
    found = outputs(store)
    assert len(set(found.values())) == len(found) == JOBS
    assert {key: found[key] for key in printed} == printed


def outputs(store: Path) -> dict[str, str]:
    try:
        reader = Reader(store)
    except BatchError:
        return {}
    try:
        return {one["key"]: one["stdout"] for one in reader.outcomes()}
    finally:
        reader.close()
