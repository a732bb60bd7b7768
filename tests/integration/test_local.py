"""`CWSANDBOX_BASE_URL=local`: a private daemon that never outlives its client."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from integration import host
from integration.env import eventually

CLIENT = """
import os, sys
from cwsandbox import Sandbox
{before}
sandbox = Sandbox.run(environment_variables={{"MARK": sys.argv[1]}})
sandbox.exec(["true"]).result()
print("running", flush=True)
{after}
"""


def client(mark: host.Mark, after: str, before: str = "") -> subprocess.Popen[str]:
    """A Python process with a sandbox on a private daemon, past the point where it runs."""
    env = {**os.environ, "CWSANDBOX_BASE_URL": "local"}
    script = CLIENT.format(before=before, after=after)
    process = subprocess.Popen(
        [sys.executable, "-c", script, mark.value],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n", process.communicate()[1]
    return process


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
    process = client(mark, f"sys.stdin.readline()\n{after}")
    with process:
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
