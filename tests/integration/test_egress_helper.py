"""What ``cwsandbox-init helper`` leaves to a program that serves one sandbox."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from integration.env import eventually
from integration.env.daemon import binary
from integration.host import is_alive

PYTHON = "/usr/bin/python3"
pytestmark = pytest.mark.skipif(not Path(PYTHON).exists(), reason=f"{PYTHON} is not installed")

CREATE_RULESET, VERSION = 444, 1

# Each attempt, and the name of its error, or "done".
ATTEMPTS = """
import ctypes, json, os, resource, socket, sys
file, folder, service = sys.argv[1:]
def truncate(): os.truncate(file, 0)
def chmod(): os.chmod(file, 0o777)
def read(): open(file).read()
def write(): open(file, "a")
def make(): os.mkdir(folder + "/new")
def remove(): os.unlink(file)
def listed(): os.listdir(folder)
def kill(): os.kill(os.getppid(), 0)
def connect(): socket.socket(socket.AF_UNIX).connect(service)
def internet(): socket.socket(socket.AF_INET, socket.SOCK_STREAM)
def load(): import decimal
found = {}
for attempt in (truncate, chmod, read, write, make, remove, listed, kill, connect, internet, load):
    try:
        attempt()
        found[attempt.__name__] = "done"
    except OSError as error:
        found[attempt.__name__] = type(error).__name__
found["files"] = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
found["written"] = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
print(json.dumps(found))
"""


def command(parent: int, *words: str) -> list[str]:
    return [str(binary("cwsandbox-init")), "helper", str(parent), "0", *words]


def has_landlock() -> bool:
    return ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, VERSION) > 0


def test_it_reaches_nothing_of_its_user(short_folder: Path) -> None:
    file = short_folder / "file"
    file.write_text("secret")
    with socket.socket(socket.AF_UNIX) as service:
        service.bind(str(short_folder / "service"))
        service.listen()
        words = (PYTHON, "-c", ATTEMPTS, str(file), str(short_folder), service.getsockname())
        ended = subprocess.run(command(os.getpid(), *words), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert [found.pop(name) for name in ("internet", "load", "files")] == ["done", "done", 1024]
    assert found.pop("written") == 0
    assert found.pop("connect") == "OSError"
    assert [found.pop(name) for name in ("truncate", "chmod", "kill")] == ["PermissionError"] * 3
    if has_landlock():
        assert set(found.values()) == {"PermissionError"}, found
        assert file.read_text() == "secret"


def test_it_ends_with_its_parent() -> None:
    start = (
        "import os, subprocess, sys\n"
        "words = [word.replace('PARENT', str(os.getpid())) for word in sys.argv[1:]]\n"
        "print(subprocess.Popen(words).pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    words = [str(binary("cwsandbox-init")), "helper", "PARENT", "0", PYTHON, "-c"]
    words.append("import signal; signal.pause()")
    with subprocess.Popen(
        [sys.executable, "-c", start, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.send_signal(signal.SIGKILL)
    eventually(lambda: not is_alive(pid), "it has ended with its parent")


def test_the_parent_has_ended_already() -> None:
    ended = subprocess.run(command(1 << 22, PYTHON, "-c", ""), capture_output=True, text=True)
    assert ended.returncode == 1
    assert f"the limits of {PYTHON}" in ended.stderr
