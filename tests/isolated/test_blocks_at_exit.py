"""Blocks that nobody ends before the program: their sandboxes are stopped all the same."""

from __future__ import annotations

import signal
import textwrap

import pytest

from conformance.grpc_peer import GrpcPeer
from isolated.program import Held, Program

WORK = "next(box.exec(['sleep']).stdout)"
# What the program leaves. Each block says nothing when it is broken off.
LEFT = {
    "daemon thread": f"""
        import threading
        begun = threading.Event()
        def work():
            with contextlib.suppress(Exception), Sandbox() as box:
                {WORK}
                begun.set()
                box.exec(["sleep"]).result()
        threading.Thread(target=work, daemon=True).start()
        begun.wait(20)
    """,
    "daemon thread with a loop": """
        import asyncio, threading
        begun = threading.Event()
        async def main():
            with contextlib.suppress(Exception):
                async with Sandbox() as box:
                    await anext(box.exec(["sleep"]).stdout)
                    begun.set()
                    await box.exec(["sleep"])
        threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
        begun.wait(20)
    """,
    "found": f"""
        import threading
        begun = threading.Event()
        def work():
            with contextlib.suppress(Exception), Sandbox.run() as box:
                {WORK}
                begun.set()
                box.exec(["sleep"]).result()
        threading.Thread(target=work, daemon=True).start()
        begun.wait(20)
    """,
    "generator": f"""
        def steps():
            with Sandbox() as box:
                {WORK}
                yield
        left = steps()
        next(left)
    """,
    "exit stack": """
        stack = contextlib.ExitStack()
        stack.enter_context(Sandbox())
    """,
    "coroutine of a loop that is kept": """
        import asyncio, warnings
        warnings.simplefilter("ignore", ResourceWarning)
        async def main():
            async with Sandbox():
                begun.set_result(None)
                await asyncio.Event().wait()
        loop = asyncio.new_event_loop()
        begun = loop.create_future()
        left = loop.create_task(main())
        loop.run_until_complete(begun)
        left._log_destroy_pending = False
    """,
}
PRELUDE = "import contextlib\n"


@pytest.mark.parametrize("left", LEFT)
def test_its_sandbox_is_stopped(peer: GrpcPeer, left: str) -> None:
    with Program(peer, PRELUDE + textwrap.dedent(LEFT[left])) as program:
        program.ends(0)
    assert len(peer.created) == 1
    assert set(peer.deleted) == {"sb-1"}


@pytest.mark.parametrize(
    "create",
    [
        "with Sandbox(): pass",
        "Sandbox.run()",
        "Sandbox.run_from_template('t')",
        "Sandbox.run_from_file(b'services: {}', primary_service='a')",
    ],
)
def test_one_that_is_being_created_by_a_daemon_thread(peer: GrpcPeer, create: str) -> None:
    method = "CreateSandbox"
    if "run_from" in create:
        method += "FromTemplate" if "template" in create else "FromFile"
    creating = Held(peer, method, peer._create)
    script = f"""
import contextlib, threading
told = []
signal.signal(signal.SIGUSR1, lambda *_: told.append(1))
def work():
    with contextlib.suppress(Exception):
        {create}
threading.Thread(target=work, daemon=True).start()
say("ready")
wait_for_a_signal(lambda: told)
say("ending")
"""
    with Program(peer, script) as program:
        program.hears("ready")
        creating.wait()
        program.send(signal.SIGUSR1)
        program.hears("ending")
        creating.release()
        program.ends(0)
    assert set(peer.deleted) == {"sb-1"}
