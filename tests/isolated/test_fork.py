"""After fork(): the parent is undisturbed, the child's old handles raise, and the child can start afresh."""

from __future__ import annotations

from isolated.runner import run_quietly

PRELUDE = """
import os, sys
from cwsandbox import Sandbox
sandbox = Sandbox.run()
running = sandbox.exec(["cat"], stdin=True)
running.stdin.write(b"before\\n").result()
def in_child(work):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            sys.stdout.flush()
            code = 0
        except BaseException as error:
            print("child:", repr(error), flush=True)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def script(body: str) -> str:
    return PRELUDE + body


def test_parent_is_undisturbed() -> None:
    body = """
assert in_child(lambda: None) == 0
running.stdin.write(b"after\\n").result()
running.stdin.close().result()
print(repr(running.result().stdout))
print(sandbox.exec(["echo", "still"]).result().stdout, end="")
sandbox.stop().result()
"""
    assert run_quietly(script(body)) == "'before\\nafter\\n'\nstill\n"


def test_while_another_thread_runs_the_io() -> None:
    """It had the loop in its hands; the child has neither."""
    body = """
import threading
for _ in range(50):
    sandbox.exec(["true"]).result()
waiting = sandbox.exec(["cat"], stdin=True)
thread = threading.Thread(target=lambda: print(waiting.result().stdout, end=""))
thread.start()
def work():
    with Sandbox.run() as own:
        print(own.exec(["echo", "child"]).result().stdout, end="")
for _ in range(5):
    assert in_child(work) == 0
waiting.stdin.write(b"parent\\n")
waiting.stdin.close()
thread.join()
sandbox.stop().result()
"""
    assert run_quietly(script(body)) == "child\n" * 5 + "parent\n"


def test_old_handles_raise_in_the_child() -> None:
    body = """
def work():
    attempts = {
        "exec": lambda: sandbox.exec(["true"]).result(10),
        "result": lambda: running.result(10),
        "poll": lambda: running.poll(),
        "iterate": lambda: next(running.stdout),
        "write": lambda: running.stdin.write(b"x").result(10),
        "cancel": lambda: running.cancel(),
        "stop": lambda: sandbox.stop().result(10),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
        except Exception as error:
            print(name, "fork" in str(error))
        else:
            print(name, "worked")
assert in_child(work) == 0
running.stdin.close().result()
print(running.result().returncode)
sandbox.stop().result()
"""
    lines = run_quietly(script(body)).splitlines()
    assert lines[-1] == "0"
    for line in lines[:-1]:
        assert line.endswith("True"), lines


def test_child_can_make_new_sandboxes() -> None:
    body = """
def work():
    with Sandbox.run() as fresh:
        print(fresh.exec(["echo", "child"]).result().stdout, end="")
assert in_child(work) == 0
print(sandbox.exec(["echo", "parent"]).result().stdout, end="")
sandbox.stop().result()
"""
    assert run_quietly(script(body)) == "child\nparent\n"


def test_ordinary_exit_of_the_child_leaves_the_parents_sandbox_alone() -> None:
    body = """
sys.stdout.flush()
pid = os.fork()
if pid == 0:
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
print(sandbox.exec(["echo", "parent"]).result().stdout, end="")
sandbox.stop().result()
"""
    assert run_quietly(script(body)) == "parent\n"


def test_fork_before_the_first_sandbox() -> None:
    body = """
import os, sys, cwsandbox
from cwsandbox import Sandbox
pid = os.fork()
with Sandbox.run() as sandbox:
    out = sandbox.exec(["echo", "mine"]).result().stdout
    assert out == "mine\\n", out
if pid == 0:
    sys.exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert run_quietly(body) == "0\n"


def test_multiprocessing_fork_pool() -> None:
    body = """
import multiprocessing
from cwsandbox import Sandbox
def work(n):
    with Sandbox.run() as sandbox:
        return sandbox.exec(["echo", str(n)]).result().stdout
with Sandbox.run() as mine:
    mine.exec(["true"]).result()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(work, range(4)))
"""
    assert run_quietly(body) == "['0\\n', '1\\n', '2\\n', '3\\n']\n"


def test_while_providers_of_credentials_hang() -> None:
    """The child has threads for its own, however many of the parent's are taken."""
    body = """
import threading
from cwsandbox import AuthHeaders
together, release = threading.Barrier(65), threading.Event()
class Provider:
    def resolve_auth(self, *, base_url):
        if os.getpid() == parent:
            together.wait(30)
            release.wait(30)
        return AuthHeaders({}, "none")
parent = os.getpid()
starting = [Sandbox(auth=Provider()) for _ in range(64)]
starts = [one.start() for one in starting]
together.wait(30)
def work():
    with Sandbox(auth=Provider()) as own:
        print(own.exec(["echo", "child"]).result().stdout, end="")
assert in_child(work) == 0
release.set()
for start in starts:
    start.result(30)
for stop in [one.stop(graceful_shutdown_seconds=0) for one in starting]:
    stop.result(30)
sandbox.stop().result()
"""
    assert run_quietly(script(body)) == "child\n"


BATCH = """
import signal, tempfile
import cwsandbox
from cwsandbox import Job, Limits, SandboxPool
jobs = [Job(str(n), ["sleep", "0.2"]) for n in range(4)]
store = tempfile.mkdtemp() + "/store.db"
def refused(work):
    signal.alarm(20)
    try:
        work()
    except RuntimeError as error:
        assert "fork" in str(error), error
    else:
        raise AssertionError("not refused")
"""


def test_batch_belongs_to_the_parent() -> None:
    """Nothing in the child would ever bring it another outcome."""
    body = """
with cwsandbox.batch(jobs, store=store, concurrency=1) as batch:
    outcomes = iter(batch)
    next(outcomes)
    assert in_child(lambda: refused(lambda: list(outcomes))) == 0
    assert in_child(lambda: refused(batch.cancel)) == 0
    assert in_child(lambda: refused(batch.finish)) == 0
    assert in_child(lambda: batch.__exit__(None, None, None)) == 0
    print(len(list(outcomes)))
with cwsandbox.batch(jobs, store=store) as batch:
    assert in_child(lambda: refused(lambda: iter(batch))) == 0
    assert in_child(lambda: batch.__exit__(None, None, None)) == 0
    print(sum(outcome.is_stored for outcome in batch))
running.cancel()
sandbox.stop().result()
"""
    assert run_quietly(script(BATCH + body)) == "3\n4\n"


def test_store_of_a_killed_parent_is_free() -> None:
    """Although its child lives on."""
    body = """
import subprocess
running.cancel()
sandbox.stop().result()
killed = '''
import os, signal, sys
import cwsandbox
from cwsandbox import Job
batch = cwsandbox.batch([Job("0", ["true"])], store=sys.argv[1])
if os.fork() == 0:
    print(os.getpid(), flush=True)  # it has let go of the store by now
    os.read(0, 1)
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
'''
command = [sys.executable, "-c", killed, store]
with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
    orphan = int(program.stdout.readline())
    program.wait()
    os.kill(orphan, 0)
    print([outcome.verdict.value for outcome in cwsandbox.batch([Job("0", ["true"])], store=store)])
"""
    assert run_quietly(script(BATCH + body)) == "['ok']\n"


def test_pool_belongs_to_the_process_that_uses_it() -> None:
    body = """
limits = Limits(alive=1)
def use(pool):
    with pool.acquire() as own:
        print(own.exec(["echo", "used"]).result().stdout, end="")
unused = SandboxPool(limits=limits)
with SandboxPool(limits=limits) as pool:
    with pool.acquire() as lent:
        assert in_child(lambda: refused(lambda: use(pool))) == 0
    assert in_child(lambda: refused(lambda: use(pool))) == 0
    assert in_child(lambda: refused(lambda: list(cwsandbox.batch(jobs, pool=pool)))) == 0
    assert in_child(lambda: refused(pool.close)) == 0
    assert in_child(lambda: pool.__exit__(None, None, None)) == 0
    use(pool)
def use_and_close():
    with unused:
        use(unused)
assert in_child(use_and_close) == 0
running.cancel()
sandbox.stop().result()
"""
    assert run_quietly(script(BATCH + body)) == "used\nused\n"
