"""Starting the private daemon: with stand-ins that are ready, silent, or broken."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cwsandbox import SandboxUnavailableError, _local

Install = Callable[[str], Path]

PRELUDE = """\
#!{python}
import os, sys, signal, time
options = dict(arg.removeprefix("--").split("=", 1) for arg in sys.argv[1:])
def ready(line):
    os.write(int(options["ready-fd"]), line)
    os.close(int(options["ready-fd"]))
"""
READY = "ready(b'ready ' + options['listen'].encode() + b'\\n')\nsignal.pause()"


@pytest.fixture(autouse=True)
def short_base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of its own for the daemons' directories, and no daemon left at the end."""
    with tempfile.TemporaryDirectory(prefix="cws-", dir="/tmp") as root:
        base = Path(root) / "tmp"
        base.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(base))
        _local._end()  # one that an earlier test of this process has left running
        yield base
        _local._end()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, short_base: Path) -> Install:
    """Puts a stand-in for the daemon into place."""

    def put(body: str) -> Path:
        path = short_base.parent / "daemon"
        path.write_text(PRELUDE.format(python=sys.executable) + textwrap.dedent(body))
        path.chmod(0o700)
        monkeypatch.setenv("CWSANDBOX_DAEMON", str(path))
        return path

    return put


def directory_of(target: str) -> Path:
    return Path(target.removeprefix("unix://")).parent


def test_a_daemon_is_started_once_and_ended(install: Install, short_base: Path) -> None:
    install(
        "import json; open(os.path.dirname(options['listen'][7:]) + '/args', 'w').write(json.dumps(options))\n"
        + READY
    )
    target = _local.target()
    assert _local.target() == target
    directory = directory_of(target)
    assert directory.parent == short_base
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    options = json.loads((directory / "args").read_text())
    assert options.pop("ready-fd").isdigit()
    assert options == {"parent": str(os.getpid()), "listen": target, "isolation": "auto"}
    assert _local._daemon is not None
    process = _local._daemon.process
    _local._end()
    assert process.returncode == -signal.SIGTERM
    assert list(short_base.iterdir()) == []


def test_one_that_died_is_replaced(install: Install) -> None:
    install(READY)
    first = _local.target()
    assert _local._daemon is not None
    _local._daemon.process.kill()
    _local._daemon.process.wait()
    second = _local.target()
    assert second != first
    assert not directory_of(first).exists()


def test_it_keeps_no_descriptor_and_has_a_session_of_its_own(install: Install) -> None:
    install(
        "print(os.getsid(0) == os.getpid(), sorted(os.listdir('/proc/self/fd')), flush=True)\n"
        + READY
    )
    target = _local.target()
    said = (directory_of(target) / "log").read_text()
    # 0-2, the pipe, and the directory that is being listed.
    assert said.startswith("True ")
    assert said.count("'") == 10


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "sys.exit('bubblewrap is not installed')",
            "ended before it was ready: bubblewrap is not installed",
        ),
        ("sys.exit(3)", "ended before it was ready: it said nothing"),
        ("ready(b'hello\\n'); signal.pause()", "said b'hello\\\\n' instead"),
        ("ready(b'ready'); sys.exit('half a line')", "half a line"),
    ],
)
def test_a_broken_daemon(body: str, words: str, install: Install, short_base: Path) -> None:
    install(body)
    with pytest.raises(SandboxUnavailableError, match=words):
        _local.target()
    assert list(short_base.iterdir()) == []


def test_a_silent_daemon(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_local, "READY_TIMEOUT", 0.2)
    install("signal.pause()")
    with pytest.raises(SandboxUnavailableError, match=r"was not ready within 0.2s"):
        _local.target()


def test_a_daemon_that_will_not_end_is_killed(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_local, "END_TIMEOUT", 0.2)
    install(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        + READY.replace("signal.pause()", "time.sleep(60)")
    )
    _local.target()
    assert _local._daemon is not None
    process = _local._daemon.process
    _local._end()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("mode", [None, 0o600])
def test_no_program(mode: int | None, monkeypatch: pytest.MonkeyPatch, short_base: Path) -> None:
    path = short_base / "daemon"
    if mode is not None:
        path.write_text("")
        path.chmod(mode)
    monkeypatch.setenv("CWSANDBOX_DAEMON", str(path))
    with pytest.raises(
        SandboxUnavailableError, match=f"no executable sandbox daemon at {str(path)!r}"
    ):
        _local.target()


def test_a_program_that_is_none(install: Install, short_base: Path) -> None:
    install("").write_bytes(b"\x00")
    with pytest.raises(OSError, match="Exec format"):
        _local.target()
    assert list(short_base.iterdir()) == []


def test_leftovers_of_killed_processes_are_removed(install: Install, short_base: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    stale = short_base / f"cwsandbox-local-{ended.pid}-abc"
    alive = short_base / f"cwsandbox-local-{os.getppid()}-abc"
    other = short_base / f"cwsandbox-other-{ended.pid}-abc"
    for path in (stale, alive, other):
        path.mkdir()
        (path / "log").write_text("x")
    link = short_base / f"cwsandbox-local-{ended.pid}-link"
    link.symlink_to(other)
    install(READY)
    _local.target()
    assert [path.exists() for path in (stale, alive, other, link)] == [False, True, True, True]


def test_a_long_temporary_directory_leaves_room_for_the_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp/" + "x" * 100)
    assert _local._base() == "/tmp"


def test_a_forked_child_forgets_the_parent_s_daemon(install: Install) -> None:
    install(READY)
    _local.target()
    before = _local._daemon
    assert before is not None
    _local._forget()
    assert _local._daemon is None
    _local._end()
    assert before.runs()
    before.end()
