"""The end of a program leaves no sandbox of a session, and says nothing about it."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from conformance.grpc_peer import GrpcPeer
from isolated.program import Held, Program
from isolated.runner import run_quietly

ENDINGS = {
    "not closed": "session = Session()\nsandbox = session.sandbox()\nsandbox.wait()",
    "dropped": "import gc\nSession().sandbox().wait()\ngc.collect()",
    "three in two sessions": (
        "one, two = Session(), Session()\n"
        "boxes = [one.sandbox(), one.sandbox(), two.sandbox()]\nfor box in boxes:\n    box.wait()"
    ),
    "only started": "session = Session()\nsession.sandbox().start().result()",
    "a command runs": (
        "session = Session()\nprocess = session.sandbox().exec(['sleep'])\nnext(process.stdout)"
    ),
    "in a reference cycle": (
        "session = Session()\nbox = session.sandbox()\nbox.wait()\nbox.cycle = [session, box]\ndel session, box"
    ),
    "in a thread": (
        "import threading\nsession = Session()\n"
        "thread = threading.Thread(target=lambda: session.sandbox().wait())\nthread.start()\nthread.join()"
    ),
    "after asyncio.run": (
        "import asyncio\nsession = Session()\n"
        "async def main():\n    await session.sandbox().exec(['true'])\nasyncio.run(main())\nasyncio.run(main())"
    ),
    "adopted": "session = Session()\nbox = Sandbox.run()\nsession.adopt(box)",
    "found": "session = Session()\nbox = Sandbox.run()\nsession.from_id(box.sandbox_id).result()",
    "without signal handlers": (
        "cwsandbox.disable_signal_handlers()\nsession = Session()\nsession.sandbox().wait()"
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_sandboxes_are_stopped(peer: GrpcPeer, ending: str) -> None:
    with Program(peer, ENDINGS[ending]) as program:
        program.ends(0)
    assert sorted(peer.deleted) == [f"sb-{n + 1}" for n in range(len(peer.created))]
    assert peer.created


BARE = {
    "run": "box = Sandbox.run()",
    "found": "box = Session().from_id('sb-7', adopt=False).result()",
    "never begun": "session = Session()\nbox = session.sandbox()",
    "stopped": "session = Session()\nbox = session.sandbox()\nbox.wait()\nbox.stop().result()",
}


@pytest.mark.parametrize("case", BARE)
def test_others_are_left_alone(peer: GrpcPeer, case: str) -> None:
    with Program(peer, BARE[case]) as program:
        program.ends(0)
    assert peer.deleted == (["sb-1"] if case == "stopped" else [])


def test_an_exception_keeps_its_exit_code(peer: GrpcPeer) -> None:
    script = "session = Session()\nsession.sandbox().wait()\nraise KeyError('mine')"
    with Program(peer, script) as program:
        assert program.ends_complaining(1).endswith("KeyError: 'mine'\n")
    assert peer.deleted == ["sb-1"]


def test_a_create_that_is_under_way(peer: GrpcPeer) -> None:
    creating = Held(peer, "CreateSandbox", peer._create)
    with Program(peer, "session = Session()\nsession.sandbox().start()\nsay('ending')") as program:
        creating.wait()
        program.hears("ending")
        creating.release()
        program.ends(0)
    assert peer.deleted == ["sb-1"]


def test_a_sandbox_that_cannot_be_stopped_is_told_of(peer: GrpcPeer) -> None:
    async def refuse(request: Any, context: Any) -> Any:
        if request.sandbox_id == "sb-1":
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not yours")
        return await peer._delete(request, context)

    peer.overrides["DeleteSandbox"] = refuse
    script = "session = Session()\nfor _ in range(2):\n    session.sandbox().wait()"
    with Program(peer, script) as program:
        complained = program.ends_complaining(0)
    assert peer.deleted == ["sb-2"]
    assert complained.count("\n") == 1
    assert "a sandbox may be left behind" in complained
    assert "not yours" in complained


def test_a_child_of_fork_leaves_the_parents_sandboxes_alone(peer: GrpcPeer) -> None:
    script = """
        import os
        session = Session()
        session.sandbox().wait()
        pid = os.fork()
        if pid == 0:
            say(session.sandbox_count)
            with session:
                pass
            own = Session()
            own.sandbox().wait()
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        say(session.sandbox_count)
    """
    with Program(peer, script) as program:
        program.hears("0")
        program.hears("1")
        program.ends(0)
    assert peer.deleted == ["sb-2", "sb-1"]


def test_metrics_that_are_left_are_logged(peer: GrpcPeer) -> None:
    script = """
        import types
        class Run:
            def log(self, values, step=None):
                say(values["cwsandbox/executions"], values["cwsandbox/max_execs_per_sandbox"])
        sys.modules["wandb"] = types.SimpleNamespace(run=Run())
        session = Session()
        box = session.sandbox()
        for _ in range(3):
            box.exec(["true"]).result()
    """
    with Program(peer, script) as program:
        program.ends(0, says="3 3\n")


def test_on_the_private_daemon() -> None:
    script = """
        from cwsandbox import Session
        session = Session()
        for _ in range(3):
            print(session.sandbox().exec(["echo", "here"]).result().stdout, end="")
    """
    assert run_quietly(script) == "here\n" * 3
