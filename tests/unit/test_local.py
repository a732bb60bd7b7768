"""Starting the private daemon: with stand-ins that are ready, silent, or broken."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cwsandbox import SandboxUnavailableError
from cwsandbox._service import local as _local
from integration.env import eventually

Install = Callable[[str], Path]

PRELUDE = """\
#!{python}
import os, sys, signal, socket, time
options = dict(arg.removeprefix("--").partition("=")[::2] for arg in sys.argv[1:])
if os.fork():
    os._exit(0)
folder = os.path.dirname(options["listen"][7:])
line = socket.socket(fileno=int(options["life-fd"]))
def ready(text):
    os.write(int(options["ready-fd"]), text)
    os.close(int(options["ready-fd"]))
def note(name, text):
    with open(os.path.join(os.path.dirname(__file__), name), "a") as file:
        file.write(text)
def listen():
    open(folder + "/sock", "w").close()
    note("pids", str(os.getpid()) + " ")
    ready(b"ready " + options["listen"].encode() + b"\\n")
def end():
    note("ends", line.recv(1).decode() or "lost")
    time.sleep(0.05)  # the end is noted, and then seen
"""
READY = "listen()\nend()"


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


def pids(base: Path) -> list[int]:
    """The processes of the stand-ins, in the order of their starts."""
    return [int(pid) for pid in (base.parent / "pids").read_text().split()]


def test_a_daemon_is_started_once_and_ended(install: Install, short_base: Path) -> None:
    install("import json; open(folder + '/args', 'w').write(json.dumps(options))\n" + READY)
    target = _local.target()
    assert _local.target() == target
    directory = directory_of(target)
    assert directory.parent == short_base
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    options = json.loads((directory / "args").read_text())
    assert options.pop("ready-fd").isdigit()
    assert options.pop("life-fd").isdigit()
    assert options == {"listen": target, "isolation": "auto", "detach": ""}
    _local._end()
    assert (short_base.parent / "ends").read_text() == "e"
    assert list(short_base.iterdir()) == []


def test_one_that_died_is_replaced(install: Install, short_base: Path) -> None:
    install(READY)
    first = _local.target()
    [pid] = pids(short_base)
    assert _local._daemon is not None
    os.kill(pid, signal.SIGKILL)
    assert _local._daemon.wait(20)
    second = _local.target()
    assert second != first
    assert not directory_of(first).exists()


def test_one_whose_socket_is_gone_is_replaced_and_goes_on(
    install: Install, short_base: Path
) -> None:
    install(READY)
    first = _local.target()
    shutil.rmtree(directory_of(first))
    second = _local.target()
    assert second != first
    assert _local.target() == second
    for pid in pids(short_base):
        os.kill(pid, 0)  # both live: the first one's sandboxes may be in use
    _local._end()
    assert (short_base.parent / "ends").read_text() == "ee"


def test_it_keeps_no_descriptor_and_has_another_session(install: Install) -> None:
    install("print(os.getsid(0), sorted(os.listdir('/proc/self/fd')), flush=True)\n" + READY)
    target = _local.target()
    session, _, descriptors = (directory_of(target) / "log").read_text().partition(" ")
    assert int(session) != os.getsid(0)
    # 0-2, the two ends, and the directory that is being listed.
    assert descriptors.count("'") == 12


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "sys.exit('bubblewrap is not installed')",
            "ended before it was ready: bubblewrap is not installed",
        ),
        ("sys.exit(3)", "ended before it was ready: it said nothing"),
        ("ready(b'hello\\n'); end()", "said b'hello\\\\n' instead"),
        ("ready(b'ready'); sys.exit('half a line')", "half a line"),
    ],
)
def test_a_broken_daemon(body: str, words: str, install: Install, short_base: Path) -> None:
    install(body)
    with pytest.raises(SandboxUnavailableError, match=words):
        _local.target()
    assert list(short_base.iterdir()) == []


@pytest.mark.parametrize("free", range(10))
def test_without_descriptors_nothing_is_left(free: int, install: Install, short_base: Path) -> None:
    """Whichever call is the first that finds none."""
    install(READY)
    taken = set(os.listdir("/proc/self/fd"))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    fillers = []
    try:
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(free):
            os.close(fillers.pop())
        with contextlib.suppress(SandboxUnavailableError):
            _local.target()
    finally:
        for fd in fillers:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    _local._end()
    assert list(short_base.iterdir()) == []
    assert set(os.listdir("/proc/self/fd")) == taken


def test_an_end_that_is_interrupted_leaves_nothing(
    install: Install, monkeypatch: pytest.MonkeyPatch, short_base: Path
) -> None:
    install(READY)
    _local.target()

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_local, "_is_readable_within", interrupt)
    with pytest.raises(KeyboardInterrupt):
        _local._end()
    assert list(short_base.iterdir()) == []
    ends = short_base.parent / "ends"
    eventually(ends.exists, "the stand-in has seen its end, and writes no more")


def test_a_silent_daemon(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_local, "READY_TIMEOUT", 0.2)
    install("end()")
    with pytest.raises(SandboxUnavailableError, match=r"was not ready within 0.2s"):
        _local.target()


def test_a_daemon_that_will_not_end_loses_its_line(
    install: Install, monkeypatch: pytest.MonkeyPatch, short_base: Path
) -> None:
    monkeypatch.setattr(_local, "END_TIMEOUT", 0.2)
    install("listen()\nend()\nend()")
    _local.target()
    _local._end()
    assert list(short_base.iterdir()) == []
    ends = short_base.parent / "ends"
    eventually(lambda: ends.read_text() == "elost", "the stand-in has seen that we are gone")


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
    with pytest.raises(SandboxUnavailableError, match=r"cannot be started.*Exec format"):
        _local.target()
    assert list(short_base.iterdir()) == []


def test_where_no_file_can_be_made(
    install: Install, short_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(READY)
    monkeypatch.setattr(tempfile, "tempdir", str(short_base / "missing"))
    with pytest.raises(SandboxUnavailableError, match=r"cannot be started.*missing"):
        _local.target()
    monkeypatch.setattr(tempfile, "tempdir", str(short_base))

    def log_directory(*arguments: object, **options: object) -> str:
        made = Path(make_directory(*arguments, **options))  # type: ignore[call-overload]
        (made / "log").mkdir()  # so that the file cannot be made
        return str(made)

    make_directory = tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", log_directory)
    with pytest.raises(SandboxUnavailableError, match=r"cannot be started.*log"):
        _local.target()
    assert list(short_base.iterdir()) == []


def test_leftovers_of_killed_processes_are_removed(install: Install, short_base: Path) -> None:
    stale = short_base / "cwsandbox-local-stale"
    alive = short_base / "cwsandbox-local-alive"
    other = short_base / "cwsandbox-other"
    for path in (stale, alive, other):
        path.mkdir()
        (path / "log").write_text("x")
    link = short_base / "cwsandbox-local-link"
    link.symlink_to(other)
    held = os.open(alive, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    install(READY)
    _local.target()
    assert [path.exists() for path in (stale, alive, other, link)] == [False, True, True, True]
    os.close(held)
    _local._sweep(str(short_base))
    assert not alive.exists()


def test_its_own_directory_is_locked(install: Install, short_base: Path) -> None:
    install(READY)
    directory = directory_of(_local.target())
    subprocess.run(
        [
            sys.executable,
            "-c",
            f"from cwsandbox._service import local; local._sweep({str(short_base)!r})",
        ],
        check=True,
    )
    assert directory.exists()


def test_a_directory_that_is_swept_while_it_is_made(
    short_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    mkdtemp = tempfile.mkdtemp

    def make(**options: str) -> str:
        made.append(mkdtemp(**options))
        if len(made) < 4:
            _local._sweep(str(short_base))
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", make)
    directory = _local._Directory(str(short_base))
    assert (len(made), str(directory.path)) == (4, made[-1])
    directory.remove()
    assert list(short_base.iterdir()) == []


def test_where_nothing_can_be_locked(short_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(SandboxUnavailableError, match="can be locked"):
        _local._Directory(str(short_base))
    assert list(short_base.iterdir()) == []


def test_a_default_timeout_of_sockets_changes_nothing(
    install: Install, short_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket.setdefaulttimeout(0.01)
    try:
        install(READY)
        target = _local.target()
        assert _local.target() == target
    finally:
        socket.setdefaulttimeout(None)
    assert len(pids(short_base)) == 1


def test_a_long_temporary_directory_leaves_room_for_the_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp/" + "x" * 100)
    assert _local.short_base() == "/tmp"


def test_a_forked_child_forgets_the_parent_s_daemon(install: Install, short_base: Path) -> None:
    install(READY)
    target = _local.target()
    child = os.fork()
    if child == 0:
        _local._forget()  # as the hook at fork does, once the core is loaded
        _local._end()
        os._exit(_local._daemon is not None)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert _local.target() == target
    assert not (short_base.parent / "ends").exists()
