"""The end of the interpreter, at every stage of an operation's life: quick, quiet, without a hang."""

from __future__ import annotations

import asyncio

import pytest

from conformance.grpc_peer import Call, GrpcPeer
from native.scripts import run_script

SETUP = """
channel = core.Channel(sys.argv[1])
sandbox = core.SandboxCore()
sandbox.open(channel, "sb-1")
"""

STAGES = {
    "nothing": "",
    "channel": "channel = core.Channel(sys.argv[1])",
    "sandbox that is not open": """
sandbox = core.SandboxCore()
process = sandbox.exec(["hang"])
""",
    "call just made": SETUP
    + "call = channel.unary('SandboxService/GetSandbox', {'sandbox_id': 'a'})",
    "call done, not asked for": SETUP
    + """
call = channel.unary("SandboxService/GetSandbox", {"sandbox_id": "a"})
assert core.wait_many([call], 1, None) == [True]
""",
    "exec just made": SETUP + "process = sandbox.exec(['hang'])",
    "exec running": SETUP + "process = started(sandbox.exec(['hang']))",
    "exec cancelled": SETUP
    + """
process = started(sandbox.exec(["hang"]))
process.cancel()
""",
    "exec done": SETUP + "process = sandbox.exec(['greet']); assert process.wait() == 0",
    "writes under way": SETUP
    + """
process = started(sandbox.exec(["stubborn"], stdin=True))
writes = [process.stdin.write(bytes(1 << 20)) for _ in range(32)]
""",
    "thread that waits": SETUP
    + """
process = started(sandbox.exec(["hang"]))
threading.excepthook = lambda args: None  # one that starts to wait after the shutdown is told so
for wait in (process.result, lambda: next(process.stdout), lambda: core.wait_many([process], 1, None)):
    threading.Thread(target=wait, daemon=True).start()
""",
    "loop in a thread": SETUP
    + """
process = started(sandbox.exec(["hang"]))
waiting = threading.Event()
async def wait():
    asyncio.get_running_loop().call_soon(waiting.set)
    await process
threading.Thread(target=asyncio.run, args=(wait(),), daemon=True).start()
waiting.wait()
""",
    "loop left open": SETUP
    + """
process = started(sandbox.exec(["hang"]))
async def wait():
    await process
loop = asyncio.new_event_loop()
loop.set_debug(False)  # asyncio's own reports fail at this stage
waiting = loop.create_task(wait())
waiting._log_destroy_pending = False
loop.run_until_complete(asyncio.sleep(0))
import warnings
warnings.simplefilter("ignore", ResourceWarning)
""",
    "session open": SETUP
    + """
session = sandbox.shell(["hang"], 80, 24)
assert next(session.output)
session.resize(1, 1)
output, stdin = session.output, session.stdin
""",
    "in a session's block": SETUP
    + """
with sandbox.shell(["hang"], 80, 24) as session:
    assert next(session.output)
    sys.exit(0)
""",
    "session left after the shutdown": SETUP
    + """
with sandbox.shell(["hang"], 80, 24) as session:
    assert next(session.output)
    core.shutdown()
    session.resize(1, 1)
    raises(RuntimeError, "shut down", session.result)

async def main():
    async with sandbox.shell(["hang"], 80, 24) as session:
        pass
asyncio.run(main())
del session
""",
    "promise that is never kept": "promise = core.Promise()",
    "cycle through the module": """
promise = core.Promise()
promise.set_result([core, promise])
core.keep = promise
""",
    "used in atexit": SETUP
    + """
import atexit
process = started(sandbox.exec(["hang"]))
def at_exit():
    assert sandbox.exec(["greet"]).wait() == 0
    process.cancel()
    raises(concurrent.futures.CancelledError, "", process.result)
    print("cleaned up")
atexit.register(at_exit)
""",
    "used after the shutdown": SETUP
    + """
import atexit
process = started(sandbox.exec(["hang"]))
core.shutdown()
raises(RuntimeError, "shut down", process.result)
raises(RuntimeError, "shut down", next, process.stdout)
raises(RuntimeError, "shut down", core.wait_many, [process], 1, None)
raises(RuntimeError, "shut down", asyncio.run, asyncio.wait_for(process, 5))
raises(RuntimeError, "the program is ending", core.Channel, sys.argv[1])
assert process.poll() is None
core.shutdown()
process.cancel()
later = sandbox.exec(["greet"])
raises(RuntimeError, "shut down", later.wait)
del process, later, sandbox, channel
""",
}


@pytest.fixture(scope="module", autouse=True)
def commands(peer: GrpcPeer) -> None:
    @peer.command("greet")
    async def greet(call: Call) -> None:
        await call.out(b"hello\n")
        await call.exit(0)

    @peer.command("stubborn")
    async def stubborn(call: Call) -> None:
        await call.ready()
        await call.out(b"ready\n")
        await asyncio.Event().wait()

    @peer.command("hang")
    async def hang(call: Call) -> None:
        await call.out(b"started\n")
        await asyncio.Event().wait()


@pytest.mark.parametrize("stage", STAGES)
def test_exit_at(peer: GrpcPeer, stage: str) -> None:
    out = run_script(STAGES[stage], peer.base_url)
    assert out == ("cleaned up\n" if stage == "used in atexit" else "")


def test_exit_code_is_the_programs(peer: GrpcPeer) -> None:
    body = SETUP + "process = started(sandbox.exec(['hang'])); sys.exit(3)"
    assert run_script(body, peer.base_url, returncode=3) == ""


def test_module_in_a_subinterpreter() -> None:
    """With the main one's GIL; its end does not stop the I/O thread of the others."""
    body = """
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    there = interpreters.create("legacy")
elif sys.version_info >= (3, 12):
    import _xxsubinterpreters as interpreters
    there = interpreters.create(isolated=False)
else:
    import _xxsubinterpreters as interpreters
    there = interpreters.create()
outer = core.SandboxCore()
process = outer.exec(["a"])
failure = interpreters.run_string(there, '''
from native.instance import load_configured
core = load_configured()
promise = core.Promise()
promise.set_result(3)
assert promise.result() == 3
core.SandboxCore().exec(["a"])
''')
assert failure is None, failure
interpreters.destroy(there)
assert process.poll() is None
outer.fail(KeyError())
raises(ExecError, "not_open", process.result)
"""
    run_script(body)
