"""The end of the interpreter, at every stage of an operation's life: quick, quiet, without a hang."""

from __future__ import annotations

import asyncio

import pytest

from conformance.grpc_peer import Call, GrpcPeer
from native.commands import greet, hang
from native.scripts import OPEN_SANDBOX, run_script

STAGES = {
    "nothing": "",
    "channel": "channel = core.Channel(sys.argv[1])",
    "sandbox that is not open": """
sandbox = core.SandboxCore()
process = sandbox.exec(["hang"])
""",
    "call just made": OPEN_SANDBOX
    + "call = channel.unary('SandboxService/GetSandbox', {'sandbox_id': 'a'})",
    "call done, not asked for": OPEN_SANDBOX
    + """
call = channel.unary("SandboxService/GetSandbox", {"sandbox_id": "a"})
assert core.wait_many([call], 1, None) == [True]
""",
    "exec just made": OPEN_SANDBOX + "process = sandbox.exec(['hang'])",
    "exec running": OPEN_SANDBOX + "process = started(sandbox.exec(['hang']))",
    "exec cancelled": OPEN_SANDBOX
    + """
process = started(sandbox.exec(["hang"]))
process.cancel()
""",
    "exec done": OPEN_SANDBOX + "process = sandbox.exec(['greet']); assert process.wait() == 0",
    "writes under way": OPEN_SANDBOX
    + """
process = started(sandbox.exec(["stubborn"], stdin=True))
writes = [process.stdin.write(bytes(1 << 20)) for _ in range(32)]
""",
    "thread that waits": OPEN_SANDBOX
    + """
process = started(sandbox.exec(["hang"]))
threading.excepthook = lambda args: None  # one that starts to wait after the shutdown is told so
for wait in (process.result, lambda: next(process.stdout), lambda: core.wait_many([process], 1, None)):
    threading.Thread(target=wait, daemon=True).start()
""",
    "loop in a thread": OPEN_SANDBOX
    + """
process = started(sandbox.exec(["hang"]))
waiting = threading.Event()
async def wait():
    asyncio.get_running_loop().call_soon(waiting.set)
    await process
threading.Thread(target=asyncio.run, args=(wait(),), daemon=True).start()
waiting.wait()
""",
    "loop left open": OPEN_SANDBOX
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
    "session open": OPEN_SANDBOX
    + """
session = sandbox.shell(["hang"], 80, 24)
assert next(session.output)
session.resize(1, 1)
output, stdin = session.output, session.stdin
""",
    "in a session's block": OPEN_SANDBOX
    + """
with sandbox.shell(["hang"], 80, 24) as session:
    assert next(session.output)
    sys.exit(0)
""",
    "session left after the shutdown": OPEN_SANDBOX
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
    "used in atexit": OPEN_SANDBOX
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
    "used after the shutdown": OPEN_SANDBOX
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
    peer.command("greet")(greet)
    peer.command("hang")(hang)

    @peer.command("stubborn")
    async def stubborn(call: Call) -> None:
        await call.ready()
        await call.out(b"ready\n")
        await asyncio.Event().wait()


@pytest.mark.parametrize("stage", STAGES)
def test_exit_at(peer: GrpcPeer, stage: str) -> None:
    out = run_script(STAGES[stage], peer.base_url)
    assert out == ("cleaned up\n" if stage == "used in atexit" else "")


def test_exit_code_is_the_programs(peer: GrpcPeer) -> None:
    body = OPEN_SANDBOX + "process = started(sandbox.exec(['hang'])); sys.exit(3)"
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
