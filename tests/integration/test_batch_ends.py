"""How a program with a batch may end, and what is left then: nothing, or what the next run clears away."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cwsandbox import Sandbox
from cwsandbox._batch.reader import Reader
from integration.env.program import python_program
from integration.env.wait import eventually

PROGRAM = """
import sys
import cwsandbox
from cwsandbox import Job

jobs = [Job("first", ["true"])] + [Job(str(n), ["sleep", sys.argv[2]]) for n in range(6)]
retry = cwsandbox.Retry(times=0)  # so that a command that is lost has its verdict at once
for outcome in cwsandbox.batch(jobs, store=sys.argv[1], concurrency=4, retry=retry):
    print(outcome.job.key, outcome.verdict, flush=True)
"""
Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


@pytest.fixture
def start(own_daemon: str, store: Path) -> Iterator[Start]:
    with ExitStack() as started:
        yield lambda seconds: started.enter_context(python_program(PROGRAM, store, seconds))


def rows(store: Path) -> dict[str, str]:
    reader = Reader(store)
    found = {one["key"]: one["verdict"] for one in reader.outcomes()}
    reader.close()
    return found


def alive() -> int:
    return len(Sandbox.list().result())


def test_what_a_killed_program_leaves_is_stopped_by_the_next_run(start: Start, store: Path) -> None:
    running = start("60")
    assert running.stdout is not None
    assert running.stdout.readline() == "first ok\n"
    eventually(lambda: alive() >= 4, "four are at work")
    left = {one.sandbox_id for one in Sandbox.list().result()}
    running.kill()
    running.wait()
    assert alive() >= 4
    again = start("60")  # which gives up its own, as the first one could not
    assert again.stdout is not None
    assert again.stdout.readline() == "first ok\n"  # from the store
    eventually(
        lambda: not left & {one.sandbox_id for one in Sandbox.list().result()}, "they are stopped"
    )
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=40)
    assert alive() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_makes_no_verdicts_and_leaves_nothing(
    start: Start, store: Path, number: signal.Signals
) -> None:
    running = start("60")
    assert running.stdout is not None
    assert running.stdout.readline() == "first ok\n"
    eventually(lambda: alive() >= 4, "four are at work")
    running.send_signal(number)
    out, err = running.communicate(timeout=40)
    assert running.returncode in (-number, 128 + number), err
    assert out == ""
    assert rows(store) == {"first": "ok"}
    assert alive() == 0
    done = start("0.01")  # other commands would be other jobs
    out, err = done.communicate(timeout=40)
    assert done.returncode == 0, err
    assert sorted(out.splitlines()) == ["0 ok", *(f"{n} ok" for n in range(1, 6)), "first ok"]
