"""Sessions on the daemon: batches as programs run them, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

import cwsandbox
from cwsandbox import Sandbox, SandboxDefaults, SandboxStatus, Session
from integration.env import eventually

# The main command may end well when it is asked to.
ENDED = {SandboxStatus.COMPLETED, SandboxStatus.TERMINATED}

pytestmark = pytest.mark.usefixtures("own_daemon")


def running() -> list[Sandbox]:
    return Sandbox.list().result()


def test_ten_sandboxes_at_once() -> None:
    with Sandbox.session(SandboxDefaults(tags=("ten",))) as session:
        sandboxes = [session.sandbox(environment_variables={"N": str(n)}) for n in range(10)]
        done, pending = cwsandbox.wait(sandboxes)
        assert (len(done), pending) == (10, [])
        processes = [one.exec(["sh", "-c", "echo $N"]) for one in sandboxes]
        assert [int(one.stdout) for one in cwsandbox.results(processes)] == list(range(10))
        assert len(session.list().result()) == 10
    assert running() == []
    assert {one.status for one in sandboxes} <= ENDED


async def test_gathered_commands() -> None:
    async with Session({"tags": ["gathered"]}) as session:
        sandboxes = [session.sandbox() for _ in range(5)]
        commands = [one.exec(["sh", "-c", f"exit {n}"]) for one in sandboxes for n in range(10)]
        results = await asyncio.gather(*commands)
        assert [result.returncode for result in results] == [*range(10)] * 5
        metrics = session.get_metrics()
        assert metrics["cwsandbox/executions"] == 50
        assert metrics["cwsandbox/exec_completed_ok"] == 5
        assert metrics["cwsandbox/startup_count"] == 5
    assert await Sandbox.list() == []


def test_a_later_session_takes_over_what_an_earlier_one_has_left() -> None:
    left = [Sandbox.run(tags=["batch", str(n)]) for n in range(3)]
    other = Sandbox.run(tags=["other"])
    with Session({"tags": ["batch"]}) as session:
        found = session.list(adopt=True).result()
        assert {one.sandbox_id for one in found} == {one.sandbox_id for one in left}
        (one,) = session.list(tags=["1"]).result()
        assert one.sandbox_id == left[1].sandbox_id
    (still,) = running()
    assert still.sandbox_id == other.sandbox_id
    ended = Session({"tags": ["batch"]}).list(show_terminated=True).result()
    assert {one.status for one in ended} <= ENDED
    assert len(ended) == 3
    other.stop().result()


def test_a_sandbox_whose_main_command_has_ended() -> None:
    with Session() as session:
        sandbox = session.sandbox(command="true", args=[])
        sandbox.wait_until_complete().result()
        assert session.sandbox_count == 1
    assert session.sandbox_count == 0
    assert sandbox.returncode == 0


PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from cwsandbox import Session
session = Session()
boxes = [session.sandbox() for _ in range(5)]
for box in boxes:
    box.start()
print("begun", flush=True)
for box in boxes:
    box.exec(["sleep", "100"]).result()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_sandboxes_are_created_leaves_none(
    own_daemon: str, number: signal.Signals
) -> None:
    env = {**os.environ, "CWSANDBOX_BASE_URL": own_daemon}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    ) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == b"begun\n"
            program.send_signal(number)
            assert program.wait(30) != 0
        finally:
            program.kill()
    eventually(lambda: running() == [], "none runs")
