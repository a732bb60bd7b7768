"""Programs with sessions, as people write them for the published SDK: they run on it, and unchanged on this package."""

from __future__ import annotations

import asyncio
import sys
import uuid

import cwsandbox
from cwsandbox import Sandbox, SandboxDefaults, SandboxError, SandboxStatus, Session

IMAGE = "python:3.11"
TAG = f"run-{uuid.uuid4().hex[:8]}"
DEFAULTS = SandboxDefaults(container_image=IMAGE, tags=(TAG,), environment_variables={"A": "1"})
ENDED = {SandboxStatus.COMPLETED, SandboxStatus.TERMINATED}


def batch() -> None:
    """Ten sandboxes, many commands, one after the other collected as they end."""
    with Sandbox.session(DEFAULTS) as session:
        sandboxes = [session.sandbox(environment_variables={"N": str(n)}) for n in range(10)]
        assert session.sandbox_count == 10
        cwsandbox.wait(sandboxes)
        pending = [one.exec(["sh", "-c", "echo $A $N"]) for one in sandboxes for _ in range(3)]
        seen = []
        while pending:
            (done,), pending = cwsandbox.wait(pending, num_returns=1)
            seen.append(done.result().stdout)
        assert sorted(seen) == sorted(f"1 {n}\n" for n in range(10) for _ in range(3))
        assert len(session.list().result()) == 10
        sandboxes[0].stop().result()
        assert session.sandbox_count == 9
        values = session.get_metrics()
        assert values["cwsandbox/sandboxes_created"] == 10
        assert values["cwsandbox/executions"] == values["cwsandbox/exec_completed_ok"] == 30
        assert values["cwsandbox/startup_count"] == 10
    assert repr(session) == "<Session sandboxes=0 status=closed>"
    assert session.close().result() is None
    refusal = ""
    try:
        session.sandbox()
    except SandboxError as error:
        refusal = str(error)
    assert "session is closed" in refusal
    assert Sandbox.list(tags=[TAG]).result() == []


async def gathered() -> None:
    """The same in an event loop."""
    async with Session(DEFAULTS) as session:
        sandboxes = [session.sandbox() for _ in range(5)]
        commands = (one.exec(["sh", "-c", f"exit {n}"]) for n in range(4) for one in sandboxes)
        results = await asyncio.gather(*commands)
        assert [one.returncode for one in results] == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
        assert session.get_metrics()["cwsandbox/exec_completed_nonzero"] == 15
    assert await Sandbox.list(tags=[TAG]) == []


def adopted() -> None:
    """What an earlier run has left is found by its tags, looked at, and stopped."""
    left = [Sandbox.run(defaults=DEFAULTS, tags=[str(n)]) for n in range(3)]
    with Session(DEFAULTS) as session:
        (one,) = session.list(tags=["1"]).result()
        assert one.sandbox_id == left[1].sandbox_id
        assert session.sandbox_count == 0
        assert session.from_id(left[0].sandbox_id).result().exec(["true"]).result().returncode == 0
        session.adopt(left[1])
        assert session.sandbox_count == 2
        session.list(tags=["2"], adopt=True).result()
        assert session.sandbox_count == 3
        assert len(session.list(status="running").result()) == 3
    assert Sandbox.list(tags=[TAG]).result() == []
    ended = Sandbox.list(tags=[TAG], show_terminated=True).result()
    assert {one.sandbox_id for one in ended} == {one.sandbox_id for one in left}
    assert {one.status for one in ended} <= ENDED
    for status in ENDED:
        found = Sandbox.list(tags=[TAG], status=status).result()
        assert {one.status for one in found} <= {status}


def not_closed() -> None:
    """The end of the program is the end of its sandboxes."""
    session = Session(DEFAULTS.with_overrides(tags=("not-closed",)))
    cwsandbox.wait([session.sandbox() for _ in range(3)])
    print(session.sandbox_count)


def nothing_left() -> None:
    assert Sandbox.list(tags=["not-closed"]).result() == []
    assert len(Sandbox.list(tags=["not-closed"], show_terminated=True).result()) >= 3


if __name__ == "__main__":
    made = globals()[sys.argv[1]]()
    if asyncio.iscoroutine(made):
        asyncio.run(made)
