"""What fork() leaves to parent and child."""

from __future__ import annotations

import pytest

from conformance.grpc_peer import Call, GrpcPeer
from native.commands import greet, hang
from native.scripts import OPEN_SANDBOX, run_script


@pytest.fixture(scope="module", autouse=True)
def commands(peer: GrpcPeer) -> None:
    peer.command("greet")(greet)
    peer.command("hang")(hang)

    @peer.command("cat")
    async def cat(call: Call) -> None:
        await call.ready()
        await call.out(b"ready\n")
        async for data in call.stdin():
            await call.out(data)
        await call.exit(0)


def test_old_objects_raise_in_the_child(peer: GrpcPeer) -> None:
    body = """
cat = started(sandbox.exec(["cat"], stdin=True))
write = cat.stdin.write(b"before\\n")
write.result()
promise, done = core.Promise(), core.Promise()
done.set_result(1)
wrapped = core.OperationRef(concurrent.futures.Future())
call = channel.unary("SandboxService/GetSandbox", {"sandbox_id": "sb-1"})
call.result()
reader, writer = cat.stdout, cat.stdin

async def anext_of(reader):
    return await anext(reader)

async def await_(it):
    return await it

def work():
    attempts = [
        promise.result, promise._done, promise._cancel, promise.__await__, done.result, wrapped.result, wrapped._done,
        call.result, write.result, cat.result, cat.wait, cat.poll, cat.cancel, reader.__next__, reader.close,
        writer.close, lambda: promise.set_result(1), lambda: writer.write(b"x"), lambda: writer.writeline("x"),
        lambda: writer.closed, lambda: cat.returncode, lambda: cat._output.bytes(False), lambda: cat.stdin,
        lambda: sandbox.exec(["greet"]), lambda: sandbox.open(channel, "sb-1"), sandbox.stats,
        lambda: sandbox.fail(KeyError()), lambda: sandbox.close(KeyError()),
        lambda: sandbox.evict_refused(KeyError()),
        lambda: channel.unary("SandboxService/GetSandbox", {}), lambda: core.wait_many([promise], 1, None),
        lambda: core.SandboxCore().open(channel, "sb-1"),
        lambda: asyncio.run(anext_of(reader)), lambda: asyncio.run(await_(call)),
    ]
    for attempt in attempts:
        raises(RuntimeError, "made before fork()", attempt)
    assert channel.target == sys.argv[1]
    assert cat.command == ["cat"]
    print("all", len(attempts), "refused")

assert in_child(work) == 0
cat.stdin.write(b"after\\n").result()
cat.stdin.close().result()
assert cat.wait() == 0
print(cat._output.bytes(False))
"""
    out = run_script(OPEN_SANDBOX + body, peer.base_url)
    assert out == "all 34 refused\nb'ready\\nbefore\\nafter\\n'\n"


def test_a_session_stays_the_parents(peer: GrpcPeer) -> None:
    body = """
session = sandbox.shell(["cat"], 80, 24)
assert next(session.output) == b"ready\\n"
output, stdin = session.output, session.stdin

async def leave():
    async with session:
        pass

def work():
    attempts = [
        session.result, session.wait, lambda: session.returncode, lambda: session.output, lambda: session.stdin,
        lambda: session.write(b"x"), lambda: session.resize(1, 1), lambda: next(output), output.close,
        lambda: stdin.write(b"x"), session.__enter__, lambda: asyncio.run(leave()),
    ]
    for attempt in attempts:
        raises(RuntimeError, "made before fork()", attempt)
    assert session.command == ["cat"]
    session.__exit__(None, None, None)  # as the end of a block that the parent has begun
    print("all refused")

assert in_child(work) == 0

def leave_and_drop():
    global session, output, stdin
    del session, output, stdin
    import gc
    gc.collect()

assert in_child(leave_and_drop) == 0
stdin.write(b"after")
assert next(output) == b"after"
stdin.close()
print(session.wait())
"""
    assert run_script(OPEN_SANDBOX + body, peer.base_url) == "all refused\n0\n"


def test_child_starts_afresh(peer: GrpcPeer) -> None:
    body = """
assert sandbox.exec(["greet"]).wait() == 0

def work():
    assert core.stats()["connections"] == 0
    channel = core.Channel(sys.argv[1])
    fresh = core.SandboxCore()
    fresh.open(channel, "sb-2")
    print(list(fresh.exec(["greet"]).stdout))

    async def main():
        return (await fresh.exec(["greet"])).returncode

    print(asyncio.run(main()))
    assert in_child(lambda: raises(RuntimeError, "fork", fresh.exec, ["greet"], ["greet"])) == 0
    assert core.stats()["connections"] == 1

assert in_child(work) == 0
assert sandbox.exec(["greet"]).wait() == 0
"""
    assert run_script(OPEN_SANDBOX + body, peer.base_url) == "['hello\\n']\n0\n"


def test_unused_handle_survives(peer: GrpcPeer) -> None:
    body = """
sandbox = core.SandboxCore()

def work():
    process = sandbox.exec(["greet"])
    sandbox.open(core.Channel(sys.argv[1]), "sb-1")
    assert process.wait() == 0

assert in_child(work) == 0
work()
"""
    assert run_script(body, peer.base_url) == ""


def test_fork_while_threads_and_loops_wait(peer: GrpcPeer) -> None:
    """Locks of the I/O thread may be held at any moment: the child must not touch them."""
    body = """
hanging = started(sandbox.exec(["hang"]))
waiting = concurrent.futures.CancelledError, "", hanging.result
threads = [threading.Thread(target=raises, args=waiting) for _ in range(4)]
busy = threading.Event()

def keep_busy():
    while not busy.is_set():
        assert sandbox.exec(["greet"]).wait() == 0

threads += [threading.Thread(target=keep_busy) for _ in range(2)]
for thread in threads:
    thread.start()

async def main():
    async def wait():
        try:
            await hanging
        except asyncio.CancelledError:
            return "cancelled"

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    for _ in range(20):
        assert in_child(lambda: None) == 0
        assert (await sandbox.exec(["greet"])).returncode == 0
    busy.set()
    hanging.cancel()
    return await task

print(asyncio.run(main()))
for thread in threads:
    thread.join()
"""
    assert run_script(OPEN_SANDBOX + body, peer.base_url) == "cancelled\n"


def test_child_drops_and_collects_the_old_objects(peer: GrpcPeer) -> None:
    body = """
import gc
cat = started(sandbox.exec(["cat"], stdin=True))
promise = core.Promise()

async def main():
    global channel, sandbox, cat, promise
    async def wait():
        await promise
    waiting = wait()
    waiting.send(None)
    line = cat.stdout.__anext__()
    line.send(None)

    def work():
        global channel, sandbox, cat, promise
        nonlocal waiting, line
        waiting.close()
        line.close()
        del channel, sandbox, cat, promise, waiting, line
        gc.collect()
        assert core.stats()["operations"] == 0, core.stats()

    assert in_child(work) == 0
    waiting.close()
    line.close()
    cat.stdin.close()
    assert (await cat).returncode == 0

asyncio.run(main())
"""
    assert run_script(OPEN_SANDBOX + body, peer.base_url) == ""


def test_fork_in_a_step_with_other_wake_ups_left(peer: GrpcPeer) -> None:
    """The child comes back into the loop's callback in the middle of its round: the others are the parent's."""
    body = """
async def main():
    promises = [core.Promise() for _ in range(3)]
    woken = []

    async def forking():
        await promises[0]
        woken.append(os.fork())
        if woken == [0]:
            # Since 3.14 a forked event loop says itself that it is nobody's running loop any more.
            loop.set_exception_handler(lambda loop, context: None)
            loop.stop()

    async def other(promise):
        woken.append(await promise)

    tasks = [loop.create_task(forking()), *(loop.create_task(other(promise)) for promise in promises[1:])]
    await asyncio.sleep(0)
    for promise in promises:
        promise.set_result("woken")
    return tasks, woken

loop = asyncio.new_event_loop()
tasks, woken = loop.run_until_complete(main())
try:
    loop.run_until_complete(asyncio.gather(*tasks))
except RuntimeError:
    signal.alarm(20)
    assert woken == [0], woken
    del tasks[:]
    os._exit(3)
pid, *others = woken
assert others == ["woken", "woken"]
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
loop.close()
"""
    assert run_script(body, peer.base_url) == ""


def test_ordinary_exit_of_the_child(peer: GrpcPeer) -> None:
    body = """
cat = started(sandbox.exec(["cat"], stdin=True))
sys.stdout.flush()
pid = os.fork()
if pid == 0:
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
cat.stdin.close()
assert cat.wait() == 0
"""
    assert run_script(OPEN_SANDBOX + body, peer.base_url) == ""
