"""A program that ends while its first operation is about to start the daemon: nothing of it is left."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from isolated.runner import run_quietly

# The operation's thread comes to the daemon when the end of the process has begun.
LATE = """
import sys, threading, time
from cwsandbox import Sandbox
from cwsandbox._runtime import life

reached, ending = threading.Event(), threading.Event()

class Late:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "cwsandbox._service.local":
            sys.meta_path.remove(Late)
            reached.set()
            ending.wait(20)

def wait_for_the_daemon():
    ending.set()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        local = sys.modules.get("cwsandbox._service.local")
        if getattr(local, "_daemon", None) is not None:
            print("started")
            return
        time.sleep(0.01)

sys.meta_path.insert(0, Late)
starting = Sandbox().start()
assert reached.wait(20)
life.before_ending(wait_for_the_daemon)
"""

TOO_LATE = """
from cwsandbox._runtime import life
from cwsandbox._service import local

def ask():
    try:
        local.target()
    except RuntimeError as error:
        print(error == life.ENDING or error)

life.install()
life.when_exiting(ask)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """For temporary files, with a short path: one that leaves no room for a socket's name is not used."""
    with tempfile.TemporaryDirectory(prefix="cwsl-", dir="/tmp") as path:
        yield Path(path)


def test_a_daemon_that_starts_while_the_process_ends_is_ended(folder: Path) -> None:
    assert run_quietly(LATE, TMPDIR=str(folder)) == "started\n"
    assert [*folder.iterdir()] == []


def test_none_is_started_after_that(folder: Path) -> None:
    said = run_quietly(TOO_LATE, TMPDIR=str(folder))
    assert said.startswith("the interpreter is ending")
    assert [*folder.iterdir()] == []
