"""Signals to ``cwsandbox batch`` where the service does not answer, or nothing has begun yet."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cli.program import Program
from conformance.grpc_peer import Call, GrpcPeer

WAITING = b"Waiting for the jobs that run."
STOPPING = b"Stopping the sandboxes."


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[GrpcPeer]:
    with closing(GrpcPeer()) as peer:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", peer.base_url)
        yield peer


@pytest.mark.parametrize("method", ["CreateSandbox", "DeleteSandbox"])
@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ([signal.SIGINT] * 3, 130),
        ([signal.SIGTERM] * 2, 143),
        ([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], 129),
    ],
    ids=["INT", "TERM", "all"],
)
def test_one_can_always_leave(
    peer: GrpcPeer, tmp_path: Path, method: str, signals: list[signal.Signals], code: int
) -> None:
    works, hangs = peer.event(), peer.event()

    @peer.command("job")
    async def job(call: Call) -> None:
        works.set()
        if hangs.is_set() or method in peer.overrides:
            await asyncio.sleep(3600)
        await call.ready()
        await call.exit(0)

    async def hang(request: Any, context: Any) -> None:
        hangs.set()
        await asyncio.sleep(3600)

    peer.overrides[method] = hang
    jobs, store = tmp_path / "run.jsonl", tmp_path / "run.db"
    jobs.write_text("".join(json.dumps({"key": k, "command": ["job"]}) + "\n" for k in "abcd"))
    words = ["batch", str(jobs), "--store", str(store), "-j", "2"]
    running = Program().start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    peer.wait(hangs if method == "CreateSandbox" else works)
    assert running.stderr is not None
    for at, number in enumerate(signals[:-1]):
        running.send_signal(number)
        # Two at once would be one.
        told = WAITING if at == 0 and number == signal.SIGINT else STOPPING
        assert running.stderr.readline().startswith(told)
    running.send_signal(signals[-1])
    out, err = running.communicate(timeout=40)
    assert running.returncode == code, err
    assert out == b""
    assert b"Traceback" not in err
    # The next run has all to do, and can do it.
    del peer.overrides[method]
    hangs.clear()
    done = Program().run(*words, "--resume")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"4 jobs: 4 ok; ")


def test_while_the_jobs_are_checked(peer: GrpcPeer, tmp_path: Path) -> None:
    jobs, store = tmp_path / "run.jsonl", tmp_path / "run.db"
    os.mkfifo(jobs)
    words = ["batch", str(jobs), "--store", str(store)]
    running = Program().start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with jobs.open("wb"):  # which waits for the program to open it, too
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=40)
    assert (running.returncode, out, err) == (130, b"", b"")
    assert not store.exists()
