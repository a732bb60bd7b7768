"""SIGINT and SIGTERM: sandboxes of sessions are stopped, then happens what the program had in mind."""

from __future__ import annotations

import signal

import pytest

from conformance.grpc_peer import GrpcPeer
from isolated.program import Held, Program

SESSION = "session = Session()\nbox = session.sandbox()\nbox.wait()\n"

# ---- what a signal does ----

PLACES = {
    "asleep": "say('ready')\nwait_for_a_signal()",
    "in result()": "process = box.exec(['sleep'])\nnext(process.stdout)\nsay('ready')\nprocess.result()",
    "in result(), after others": (
        "for _ in range(50):\n    box.exec(['true']).result()\n"
        "process = box.exec(['sleep'])\nnext(process.stdout)\nsay('ready')\nprocess.result()"
    ),
    "in a line iterator": (
        "process = box.exec(['sleep'])\nnext(process.stdout)\nsay('ready')\nnext(process.stdout)"
    ),
    "in a lock": "import threading\nsay('ready')\nwhile not threading.Event().wait(0.1):\n    pass",
    "in wait_until_complete": "say('ready')\nbox.wait_until_complete(100).result()",
    "in its block": "with session:\n    say('ready')\n    wait_for_a_signal()",
    "in asyncio": (
        "import asyncio\nasync def main():\n    process = box.exec(['sleep'])\n"
        "    await anext(process.stdout)\n    say('ready')\n    await process\nasyncio.run(main())"
    ),
    "in the second asyncio.run": (
        "import asyncio\nasync def first():\n    async with Session() as other:\n"
        "        await other.sandbox().exec(['true'])\nasyncio.run(first())\n"
        "async def main():\n    say('ready')\n    await asyncio.sleep(100)\nasyncio.run(main())"
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_sigterm(peer: GrpcPeer, place: str) -> None:
    with Program(peer, SESSION + PLACES[place]) as program:
        program.hears("ready")
        program.send(signal.SIGTERM)
        program.ends(128 + signal.SIGTERM)
    assert sorted(peer.deleted) == [f"sb-{n + 1}" for n in range(len(peer.created))]


@pytest.mark.parametrize("place", PLACES)
def test_sigint(peer: GrpcPeer, place: str) -> None:
    body = PLACES[place].replace("\n", "\n    ")
    after = f"\ntry:\n    {body}\nexcept KeyboardInterrupt:\n    say('interrupted', session.sandbox_count)"
    with Program(peer, SESSION + after) as program:
        program.hears("ready")
        program.send(signal.SIGINT)
        program.ends(0, says="interrupted 0\n")
    assert sorted(peer.deleted) == [f"sb-{n + 1}" for n in range(len(peer.created))]


def test_a_program_that_is_not_stopped_by_it_has_a_closed_session(peer: GrpcPeer) -> None:
    script = (
        SESSION
        + """
try:
    say("ready")
    wait_for_a_signal()
except KeyboardInterrupt:
    say(session)
with Session() as other:
    other.sandbox().exec(["true"]).result()
    say(other)
"""
    )
    with Program(peer, script) as program:
        program.hears("ready")
        program.send(signal.SIGINT)
        program.hears("<Session sandboxes=0 status=closed>")
        program.hears("<Session sandboxes=1 status=open>")
        program.ends(0)
    assert peer.deleted == ["sb-1", "sb-2"]


def test_many_sandboxes_are_stopped_at_once(peer: GrpcPeer) -> None:
    """None of them waits for another: the stops are held until all have arrived."""
    arrived = []
    all_there = peer.event()

    async def delete(request: object, context: object) -> object:
        arrived.append(request)
        if len(arrived) == 20:
            all_there.set()
        await all_there.wait()
        return await peer._delete(request, context)

    peer.overrides["DeleteSandbox"] = delete
    script = """
        sessions = [Session(), Session()]
        boxes = [session.sandbox() for session in sessions for _ in range(10)]
        cwsandbox.wait(boxes)
        say("ready")
        wait_for_a_signal()
    """
    with Program(peer, script) as program:
        program.hears("ready")
        program.send()
        program.ends(143)
    assert len(peer.deleted) == 20


# ---- a create that is under way ----

CREATES = {
    "function": (
        "session = Session()\n@session.function()\ndef work():\n    return 1\nwork.remote().result()"
    ),
    "functions": (
        "with Session() as session:\n    @session.function()\n    def work(n):\n        return n\n"
        "    cwsandbox.results(work.map([(1,)]))"
    ),
    "session": "session = Session()\nsession.sandbox().start().result()",
    "first command": "session = Session()\nsession.sandbox().exec(['true']).result()",
    "block": "with Session() as session:\n    with session.sandbox():\n        pass",
    "run": "Sandbox.run()",
    "with Sandbox": "with Sandbox():\n    pass",
    "async with Sandbox": (
        "import asyncio\nasync def main():\n    async with Sandbox():\n        pass\nasyncio.run(main())"
    ),
    "async session": (
        "import asyncio\nasync def main():\n    async with Session() as session:\n"
        "        await session.sandbox()\nasyncio.run(main())"
    ),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("create", CREATES)
def test_a_create_that_is_under_way_leaves_nothing(
    peer: GrpcPeer, create: str, number: signal.Signals
) -> None:
    creating = Held(peer, "CreateSandbox", peer._create)
    script = CREATES[create].replace("\n", "\n    ")
    script = f"try:\n    {script}\nexcept KeyboardInterrupt:\n    sys.exit(128 + signal.SIGINT)"
    with Program(peer, script) as program:
        creating.wait()
        program.send(number)
        creating.release()
        program.ends(128 + number)
    assert peer.deleted == ["sb-1"]


# ---- the second signal ----

WAITING = {
    "session": SESSION + "say('ready')\nwait_for_a_signal()",
    "block": "with Session() as session:\n    session.sandbox().wait()\n    say('ready')\n    wait_for_a_signal()",
    "block of a sandbox": (
        SESSION + "with Sandbox.run() as bare:\n    say('ready')\n    wait_for_a_signal()"
    ),
    "asyncio": (
        "import asyncio\nasync def main():\n    async with Session() as session:\n"
        "        await session.sandbox()\n        say('ready')\n        await asyncio.sleep(100)\nasyncio.run(main())"
    ),
    "asyncio, block of a sandbox": (
        "import asyncio\nsession = Session()\nasync def main():\n    await session.sandbox()\n"
        "    async with Sandbox() as bare:\n        await bare\n        say('ready')\n"
        "        await asyncio.sleep(100)\nasyncio.run(main())"
    ),
}


@pytest.mark.parametrize("place", WAITING)
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_ends_the_program_at_once(
    peer: GrpcPeer, place: str, second: signal.Signals
) -> None:
    stopping = Held(peer, "DeleteSandbox", peer._delete)
    with Program(peer, WAITING[place]) as program:
        program.hears("ready")
        program.send()
        stopping.wait()
        program.send(second)
        # Each stop would wait for 20 s.
        program.ends(128 + second)


def test_one_at_the_end_of_the_interpreter_ends_it_at_once(peer: GrpcPeer) -> None:
    stopping = Held(peer, "DeleteSandbox", peer._delete)
    with Program(peer, SESSION + "print('last words')") as program:
        stopping.wait()
        program.send()
        program.ends(-signal.SIGTERM, says="last words\n")


# ---- the program's own handlers ----


def test_the_programs_own_handler_runs_each_time(peer: GrpcPeer) -> None:
    script = """
        import threading
        count = []
        def mine(number, frame):
            count.append(number)
            say("mine", session.sandbox_count)
        signal.signal(signal.SIGTERM, mine)
        session = Session()
        session.sandbox().wait()
        say("ready")
        wait_for_a_signal(lambda: len(count) == 1)
        say("again")
        wait_for_a_signal(lambda: len(count) == 2)
    """
    with Program(peer, script) as program:
        program.hears("ready")
        program.send()
        program.hears("mine 0")
        program.hears("again")
        program.send()
        program.hears("mine 0")
        program.ends(0)
    assert peer.deleted == ["sb-1"]


def test_a_handler_that_comes_later_takes_the_place(peer: GrpcPeer) -> None:
    script = SESSION + (
        "signal.signal(signal.SIGTERM, lambda *_: say('mine', session.sandbox_count) or sys.exit(3))\n"
        "say('ready')\nwait_for_a_signal()"
    )
    with Program(peer, script) as program:
        program.hears("ready")
        program.send()
        program.ends(3, says="mine 1\n")
    # At the end of the interpreter.
    assert peer.deleted == ["sb-1"]


SHOW = "say(*(signal.getsignal(one) is before[one] for one in before))\n"
BEFORE = "before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}\n"

UNTOUCHED = {
    "import": "from cwsandbox import *",
    "session": "session = Session()",
    "found": "Sandbox.list().result()\nSandbox.from_id('sb-1').result()",
    "found by a session": "Session().list().result()\nSession().from_id('sb-1', adopt=False).result()",
    "refused": "try:\n    Sandbox(tags='bare')\nexcept TypeError:\n    pass",
    "refused by a session": "try:\n    Session().sandbox(tags='bare')\nexcept TypeError:\n    pass",
    "off the main thread": (
        "import threading\nthread = threading.Thread(target=Sandbox)\nthread.start()\nthread.join()"
    ),
    "disabled": "cwsandbox.disable_signal_handlers()\ncwsandbox.disable_signal_handlers()\nSandbox()",
}


@pytest.mark.parametrize("case", UNTOUCHED)
def test_nothing_is_taken_over(peer: GrpcPeer, case: str) -> None:
    with Program(peer, BEFORE + UNTOUCHED[case] + "\n" + SHOW) as program:
        program.ends(0, says="True True\n")


TAKEN = {
    "sandbox": "Sandbox()",
    "of a session": "session = Session()\nsession.sandbox()",
    "adopted": "session = Session()\nsession.from_id('sb-1').result()",
    "later on the main thread": (
        "import threading\nthread = threading.Thread(target=Sandbox)\nthread.start()\nthread.join()\nSandbox()"
    ),
}


@pytest.mark.parametrize("case", TAKEN)
def test_the_first_sandbox_takes_them_over(peer: GrpcPeer, case: str) -> None:
    too_late = (
        "try:\n    cwsandbox.disable_signal_handlers()\n"
        "except RuntimeError as error:\n    say('must be called before' in str(error))"
    )
    with Program(peer, BEFORE + TAKEN[case] + "\n" + SHOW + too_late) as program:
        program.ends(0, says="False False\nTrue\n")


@pytest.mark.parametrize(
    ("value", "left"),
    [("1", True), ("true", True), (" YES ", True), ("on", True), ("0", False), ("", False)],
)
def test_the_environments_word(peer: GrpcPeer, value: str, left: bool) -> None:
    env = {"CWSANDBOX_DISABLE_SIGNAL_HANDLERS": value}
    with Program(peer, BEFORE + "Sandbox()\n" + SHOW, **env) as program:
        program.ends(0, says=f"{left} {left}\n")


def test_what_is_ignored_stays_ignored(peer: GrpcPeer) -> None:
    script = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + SESSION
    script += "say('ready')\nwait_for_a_signal()"
    with Program(peer, script) as program:
        program.hears("ready")
        program.send(signal.SIGINT)
        program.send(signal.SIGTERM)
        program.ends(143)


def test_a_child_of_fork_dies_of_it_as_before(peer: GrpcPeer) -> None:
    script = SESSION + (
        "import os\nready, told = os.pipe()\npid = os.fork()\n"
        "if pid == 0:\n    os.write(told, b'x')\n    wait_for_a_signal()\n"
        "os.read(ready, 1)\nos.kill(pid, signal.SIGTERM)\n"
        "say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), session.sandbox_count)\n"
    )
    with Program(peer, script) as program:
        program.hears("-15 1")
        program.ends(0)
    assert peer.deleted == ["sb-1"]


def test_one_that_comes_before_anything_has_begun(peer: GrpcPeer) -> None:
    """Other threads may be about to begin. They are told that the session is closed."""
    script = """
        import threading
        session = Session()
        box = session.sandbox()
        ready, go = threading.Event(), threading.Event()
        def work():
            ready.set()
            go.wait()
            box.exec(["true"]).result()
            try:
                session.sandbox()
            except cwsandbox.SandboxError as error:
                say(error)
        threading.Thread(target=work).start()
        ready.wait()
        try:
            say("ready")
            wait_for_a_signal()
        finally:
            go.set()
    """
    with Program(peer, script) as program:
        program.hears("ready")
        program.send()
        program.ends(143, says="cannot create a sandbox: the session is closed\n")
    assert peer.deleted == ["sb-1"]


def test_sandboxes_of_other_threads(peer: GrpcPeer) -> None:
    script = """
        import threading
        session = Session()
        session.sandbox().wait()
        ready = threading.Barrier(5)
        def work():
            box = session.sandbox()
            process = box.exec(["sleep"])
            next(process.stdout)
            ready.wait()
            try:
                process.result()
            except cwsandbox.SandboxNotRunningError:
                pass
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        ready.wait()
        say("ready")
        for thread in threads:
            while thread.is_alive():
                thread.join(0.1)
    """
    with Program(peer, script) as program:
        program.hears("ready")
        program.send()
        program.ends(143)
    assert len(peer.deleted) == 5
