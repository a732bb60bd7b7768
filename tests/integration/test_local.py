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
    env = {**os.environ, "CWSANDBOX_BASE_URL": "local"}
    script = CLIENT.format(before=before, after=after)
    command = [sys.executable, "-c", script, mark.value]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n", process.communicate()[1]
            yield process
        finally:
            process.kill()


def daemons_of(pid: int) -> set[int]:
    found = set()
    for child in host.descendants(pid):
        if Path(f"/proc/{child}/comm").read_text() == "cwsandboxd\n":
            found.add(child)
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
        pids = daemons_of(process.pid) or daemons_of(1)
        assert pids
        process.communicate("go\n", timeout=30)
    eventually(lambda: all_gone(pids, mark), "the private daemon and its sandbox are gone")


def test_the_daemon_ends_with_a_killed_client() -> None:
    mark = host.Mark()
    with client(mark, "sys.stdin.readline()") as process:
        pids = daemons_of(process.pid) or daemons_of(1)
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
        pids = daemons_of(process.pid) or daemons_of(1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode != 0
    eventually(lambda: all_gone(pids, mark), "the private daemon and its sandbox are gone")
