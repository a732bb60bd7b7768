"""`CWSANDBOX_BASE_URL=local`: a private daemon that never outlives its client."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration import host
from integration.env import eventually

CLIENT = """
import os, signal, sys
from cwsandbox import Sandbox
# A test run in the background of a shell is started with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
{before}
sandbox = Sandbox.run(environment_variables={{"MARK": sys.argv[1]}})
sandbox.exec(["true"]).result()
print("running", flush=True)
{after}
"""


@contextlib.contextmanager
def client(mark: host.Mark, after: str, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """A Python process with a sandbox on a private daemon, past the point where it runs."""
    origin = host.Mark()
    env = {**os.environ, "CWSANDBOX_BASE_URL": "local", "ORIGIN": origin.value}
    script = CLIENT.format(before=before, after=after)
    command = [sys.executable, "-c", script, mark.value]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env
    ) as process:
        process.origin = origin  # type: ignore[attr-defined]
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n", process.communicate()[1]
            yield process
        finally:
            process.kill()


def daemons_of(process: subprocess.Popen[str]) -> set[int]:
    """The daemon is no child of its client, but has its environment."""
    found = set()
    for pid in process.origin.pids():  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text() == "cwsandboxd\n":
                found.add(pid)
    return found


def all_gone(pids: set[int], mark: host.Mark) -> bool:
    return not any(host.is_alive(pid) for pid in pids) and not mark.pids()


@pytest.mark.parametrize(
    "after",
    ["sandbox.stop().result()", "pass", "sys.exit(0)", "os._exit(0)", "os.kill(os.getpid(), 11)"],
    ids=["stop", "end", "exit", "_exit", "crash"],
)
def test_the_daemon_ends_with_the_client(after: str) -> None:
    mark = host.Mark()
    with client(mark, f"sys.stdin.readline()\n{after}") as process:
        pids = daemons_of(process)
        assert pids
        process.communicate("go\n", timeout=30)
    eventually(lambda: all_gone(pids, mark), "the private daemon and its sandbox are gone")


def test_the_daemon_ends_with_a_killed_client() -> None:
    mark = host.Mark()
    with client(mark, "sys.stdin.readline()") as process:
        pids = daemons_of(process)
        assert pids
        process.send_signal(signal.SIGKILL)
        process.wait()
    eventually(lambda: all_gone(pids, mark), "the private daemon and its sandbox are gone")


def test_no_file_is_left_behind(tmp_path: Path) -> None:
    mark = host.Mark()
    before = f"os.environ['TMPDIR'] = os.environ['XDG_RUNTIME_DIR'] = {str(tmp_path)!r}"
    with client(mark, "sys.stdin.readline()", before) as process:
        process.communicate("go\n", timeout=30)
        assert process.returncode == 0
    eventually(lambda: not host.files(tmp_path), "no file is left")


def test_an_end_by_ctrl_c_goes_through() -> None:
    mark = host.Mark()
    with client(mark, "sandbox.exec(['sleep', '300']).result()") as process:
        pids = daemons_of(process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode != 0
    eventually(lambda: all_gone(pids, mark), "the private daemon and its sandbox are gone")


def run_client(script: str, *arguments: str, prefix: tuple[str, ...] = ()) -> str:
    """What a Python process prints that uses a private daemon and ends well."""
    done = subprocess.run(
        [*prefix, sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "CWSANDBOX_BASE_URL": "local"},
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


MANY_DESCRIPTORS = """
import os, resource
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
from cwsandbox import Sandbox
with Sandbox.run() as sandbox:
    print(sandbox.exec(["echo", "hello"]).result().stdout, end="")
"""


def test_first_use_with_more_than_a_thousand_descriptors() -> None:
    assert run_client(MANY_DESCRIPTORS) == "hello\n"


SMALL_STACKS = """
import threading
threading.stack_size(48 * 1024)
from cwsandbox import Sandbox
def work():
    with Sandbox.run() as sandbox:
        print(sandbox.exec(["echo", "hello"]).result().stdout, end="")
        print(*(line for line in sandbox.exec(["seq", "3"], cwd="/usr").stdout), sep="", end="")
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def test_first_use_from_threads_with_small_stacks() -> None:
    assert run_client(SMALL_STACKS) == "hello\n1\n2\n3\n"


HOSTILE_SIGNALS = """
import signal, sys, time
from pathlib import Path
# The C library keeps the signals without a name to itself, and may have been started with one ignored. Two the
# daemon itself ignores: what they are about comes as an error of the write.
ITS_OWN = (signal.SIGPIPE, signal.SIGXFSZ)
NAMED = sum(1 << n - 1 for n in signal.valid_signals() if n not in ITS_OWN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
from cwsandbox import Sandbox
from cwsandbox._service import local as _local
sandbox = Sandbox.run()
sandbox.exec(["true"]).result()
for folder in Path("/proc").glob("[0-9]*"):
    try:
        ours = sys.argv[1].encode() in (folder / "environ").read_bytes()
        if ours and (folder / "comm").read_text() == "cwsandboxd\\n":
            for line in (folder / "status").read_text().splitlines():
                name, _, bits = line.partition(":")
                if name in ("SigBlk", "SigIgn"):
                    print(name, int(bits, 16) & NAMED)
    except OSError:
        pass
print(sandbox.exec(["sh", "-c", "kill -USR1 $$; echo survived"]).result().returncode)
sandbox.stop().result()
"""


def test_what_signals_the_client_has_blocked_or_ignored_is_its_own_affair() -> None:
    origin = host.Mark().value
    printed = run_client(HOSTILE_SIGNALS, origin, prefix=("env", f"ORIGIN={origin}"))
    assert printed.splitlines() == ["SigBlk 0", "SigIgn 0", str(128 + signal.SIGUSR1)]


WAITS_FOR_ALL_CHILDREN = """
import os
from cwsandbox import Sandbox
with Sandbox.run() as sandbox:
    sandbox.exec(["true"]).result()
    try:
        while True:
            os.wait()
    except ChildProcessError:
        print("no children")
"""


def test_the_daemon_is_no_child_of_the_program() -> None:
    assert run_client(WAITS_FOR_ALL_CHILDREN) == "no children\n"


FORKS = """
child = os.fork()
if child == 0:
    signal.pause()
print(child, flush=True)
sys.stdin.readline()
os._exit(0)
"""


def test_a_forked_child_does_not_keep_the_daemon() -> None:
    with client(host.Mark(), FORKS) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        pids = daemons_of(process)
        assert pids
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.close()
        process.wait(30)
        try:
            eventually(
                lambda: not any(host.is_alive(pid) for pid in pids),
                "the daemon has ended with the parent",
            )
            assert host.is_alive(child)
        finally:
            os.kill(child, signal.SIGKILL)


OTHER_NAMESPACE = """
import os
from cwsandbox import Sandbox
from cwsandbox._service import local as _local
with Sandbox.run() as sandbox:
    print(os.getpid(), sandbox.exec(["echo", "hello"]).result().stdout, end="")
"""


def test_programs_in_other_pid_namespaces_leave_each_other_s_daemon_alone() -> None:
    unshare = ("unshare", "--user", "--map-root-user", "--pid", "--fork")
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    mark = host.Mark()
    after = """
for line in sys.stdin:
    with Sandbox.run() as other:
        print(other.exec(["echo", "still here"]).result().stdout, end="", flush=True)
sandbox.stop().result()
"""
    with client(mark, after) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            assert run_client(OTHER_NAMESPACE, prefix=unshare) == "1 hello\n"
            process.stdin.write("again\n")
            process.stdin.flush()
            assert process.stdout.readline() == "still here\n"
        _, complaints = process.communicate(timeout=30)
        assert (complaints, process.returncode) == ("", 0)


def test_a_socket_that_vanished_leads_to_a_new_daemon() -> None:
    mark = host.Mark()
    after = """
import shutil
from pathlib import Path
from cwsandbox._service import local as _local
shutil.rmtree(Path(_local.target().removeprefix("unix://")).parent)
with Sandbox.run() as other:
    print(other.exec(["echo", "hello"]).result().stdout, end="", flush=True)
print(sandbox.exec(["echo", "still here"]).result().stdout, end="", flush=True)
sys.stdin.readline()
sandbox.stop().result()
"""
    with client(mark, after) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hello\n"
        assert process.stdout.readline() == "still here\n"
        pids = daemons_of(process)
        assert len(pids) == 2
        _, complaints = process.communicate("go\n", timeout=30)
        assert (complaints, process.returncode) == ("", 0)
    eventually(lambda: all_gone(pids, mark), "both daemons are gone")
