"""The daemon itself: what a sandbox leaves behind, crashes, restarts, refusals to start."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from cwsandbox import Sandbox, SandboxError
from integration import host
from integration.env import Daemon, eventually
from integration.env.daemon import binary


@pytest.fixture
def own_daemon(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    daemon = Daemon(short_folder / "d")
    daemon.start()
    monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
    return daemon


def test_says_which_isolation_it_has(daemon: Daemon) -> None:
    assert "isolation" in daemon.stderr.lower()


def test_socket_is_private(daemon: Daemon) -> None:
    mode = (daemon.folder / "socket").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_deletion_leaves_nothing_behind(own_daemon: Daemon) -> None:
    with own_daemon:
        before_mounts, before_cgroups = host.mounts(), host.cgroups()
        before_files = host.files(own_daemon.state_dir)
        mark = host.Mark()
        with Sandbox.run(environment_variables={"MARK": mark.value}) as sandbox:
            sandbox.exec(["sh", "-c", "echo x > /tmp/file; setsid sleep 300 &"]).result()
            assert host.descendants(own_daemon.pid)
            eventually(lambda: bool(mark.pids()), "the process in the background runs")
        eventually(lambda: not mark.pids(), "no process is left")
        eventually(lambda: not host.children(own_daemon.pid), "no child is left, not even dead")
        eventually(lambda: host.files(own_daemon.state_dir) <= before_files, "no file is left")
        eventually(lambda: host.mounts() <= before_mounts, "no mount is left")
        eventually(lambda: host.cgroups() <= before_cgroups, "no cgroup is left")


def test_an_idle_sandbox_is_one_small_process(own_daemon: Daemon) -> None:
    with own_daemon, Sandbox.run() as sandbox:
        assert sandbox.exec(["true"]).result().returncode == 0
        eventually(lambda: len(host.descendants(own_daemon.pid)) == 1, "only its init is left")
        (init,) = host.descendants(own_daemon.pid)
        assert host.resident_bytes(init) < 200 << 10
        # What it is told to be in there is what it does: wait, and leave at TERM with success.
        assert sandbox.exec(["echo", "here"]).result().stdout == "here\n"
        sandbox.stop().result()
        assert sandbox.returncode == 0


def test_end_of_the_daemon_ends_its_sandboxes(own_daemon: Daemon) -> None:
    mark = host.Mark()
    before = host.mounts()
    sandbox = Sandbox.run(environment_variables={"MARK": mark.value})
    sandbox.exec(["sh", "-c", "setsid sleep 300 &"]).result()
    below = host.descendants(own_daemon.pid)
    eventually(lambda: bool(mark.pids()), "the process in the background runs")
    assert own_daemon.stop() == 0
    eventually(lambda: not mark.pids(), "no process is left")
    eventually(lambda: not any(host.is_alive(pid) for pid in below), "no init is left")
    eventually(lambda: host.mounts() <= before, "no mount is left")
    assert not (own_daemon.folder / "socket").exists()
    with pytest.raises(SandboxError):
        sandbox.exec(["true"], timeout_seconds=10).result()


def test_crash_and_restart(own_daemon: Daemon) -> None:
    mark = host.Mark()
    before_mounts, before_cgroups = host.mounts(), host.cgroups()
    before_files = host.files(own_daemon.state_dir)
    sandbox = Sandbox.run(environment_variables={"MARK": mark.value})
    process = sandbox.exec(["sleep", "300"])
    sandbox.exec(["sh", "-c", "echo x > /tmp/file"]).result()
    below = host.descendants(own_daemon.pid)
    own_daemon.kill()
    with pytest.raises(SandboxError):
        process.result()
    # Nobody is left to clean up but the kernel, and the next daemon.
    with own_daemon.start():
        eventually(lambda: not any(host.is_alive(pid) for pid in below), "no init is left")
        eventually(lambda: not mark.pids(), "no process is left")
        eventually(lambda: host.files(own_daemon.state_dir) <= before_files, "no file is left")
        eventually(lambda: host.mounts() <= before_mounts, "no mount is left")
        eventually(lambda: host.cgroups() <= before_cgroups, "no cgroup is left")
        with Sandbox.run() as fresh:
            assert fresh.exec(["echo", "again"]).result().stdout == "again\n"


def test_second_daemon_on_the_same_socket_is_refused(daemon: Daemon, short_folder: Path) -> None:
    command = [str(binary()), "--listen", daemon.base_url, "--state-dir", str(short_folder / "s")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode != 0
    assert str(daemon.folder / "socket") in result.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--no-such-option"], "no-such-option"),
        (["--listen", "ftp://x"], "ftp://x"),
        (["--listen", "127.0.0.1:99999"], "99999"),
        (["--listen", "0.0.0.0:0"], "0.0.0.0"),
        (["--listen", "127.0.0.1:0"], "token"),
        (["--isolation", "perhaps"], "perhaps"),
        (["--listen", "127.0.0.1:0", "--token-file", "/no/such/file"], "/no/such/file"),
    ],
)
def test_bad_arguments_are_named(arguments: list[str], named: str, short_folder: Path) -> None:
    command = [str(binary()), "--state-dir", str(short_folder / "s"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode != 0
    assert named in result.stderr
    assert result.stdout == ""


def test_without_bubblewrap_it_does_not_start(short_folder: Path) -> None:
    """A PATH with everything but bwrap; nothing runs unisolated, and the message says what to do."""
    programs = short_folder / "bin"
    programs.mkdir()
    for name in ("sh", "true", "cat"):
        (programs / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    command = [
        str(binary()),
        "--listen",
        f"unix://{short_folder}/s",
        "--state-dir",
        str(short_folder / "st"),
    ]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PATH": str(programs)},
    )
    assert result.returncode != 0
    assert "bubblewrap" in result.stderr or "bwrap" in result.stderr
    assert not (short_folder / "s").exists()


def test_bubblewrap_that_is_refused_is_named(short_folder: Path) -> None:
    """A bwrap that fails as it does where user namespaces are off."""
    programs = short_folder / "bin"
    programs.mkdir()
    fake = programs / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    env = {"PATH": f"{programs}:{os.environ['PATH']}"}
    command = [
        str(binary()),
        "--listen",
        f"unix://{short_folder}/s",
        "--state-dir",
        str(short_folder / "st"),
    ]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env=env
    )
    assert result.returncode != 0
    assert "namespace" in result.stderr


def test_no_isolation_only_by_its_name(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(short_folder / "d", arguments=("--isolation=none",))
    with daemon:
        assert "isolation: none" in daemon.stderr.lower()
        monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
        with Sandbox.run() as sandbox:
            assert sandbox.exec(["echo", "open"]).result().stdout == "open\n"


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(short_folder: Path, signal_number: signal.Signals) -> None:
    daemon = Daemon(short_folder / "d").start()
    os.kill(daemon.pid, signal_number)
    eventually(lambda: not host.is_alive(daemon.pid), "the daemon has ended")
    assert daemon.stop() == 0


def test_signals_do_not_interrupt_its_end(short_folder: Path) -> None:
    """However many come, up to its last moment, it cleans up and says how it ended."""
    daemon = Daemon(short_folder / "d", arguments=("--data-dir", str(short_folder / "data")))
    daemon.start()
    with contextlib.suppress(ProcessLookupError):
        for number in itertools.cycle((signal.SIGTERM, signal.SIGINT, signal.SIGHUP)):
            if not host.is_alive(daemon.pid):
                break
            os.kill(daemon.pid, number)
    assert daemon.stop() == 0
    assert not daemon.state_dir.exists()
    assert not (short_folder / "d" / "socket").exists()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_may_be_closed(
    closed: str, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it opens must not take their numbers: libuv ends a process that closes one of those."""
    prefix = ("sh", "-c", f'exec "$@" {closed}', "sh")
    arguments = ("--data-dir", str(short_folder / "data"))
    daemon = Daemon(short_folder / "d", command_prefix=prefix, arguments=arguments).start()
    monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
    numbers = [os.readlink(f"/proc/{daemon.pid}/fd/{number}") for number in range(3)]
    assert numbers.count("/dev/null") == len({*closed.split()} | {"<&-"})
    with Sandbox.run() as sandbox:
        assert sandbox.exec(["echo", "hello"]).result().stdout == "hello\n"
    assert daemon.stop() == 0
    assert not daemon.state_dir.exists()


class Line:
    """A daemon on a lifeline; what ``ours`` sends and that it is closed."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(20)
        reading, writing = os.pipe()
        self.base_url = f"unix://{folder}/socket"
        command = [str(binary()), "--listen", self.base_url, "--state-dir", str(folder / "state")]
        command += ["--life-fd", str(theirs.fileno()), "--ready-fd", str(writing), *arguments]
        self.process = subprocess.Popen(
            command, pass_fds=(theirs.fileno(), writing), stdout=subprocess.DEVNULL
        )
        theirs.close()
        os.close(writing)
        with os.fdopen(reading) as ready:
            assert ready.readline().startswith("ready ")


def test_ends_when_its_lifeline_does(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(short_folder)
    monkeypatch.setenv("CWSANDBOX_BASE_URL", line.base_url)
    mark = host.Mark()
    sandbox = Sandbox.run(environment_variables={"MARK": mark.value})
    assert sandbox.exec(["echo", "hello"]).result().stdout == "hello\n"
    stubborn = ["sh", "-c", "trap '' TERM; echo begun; sleep 300"]
    assert next(sandbox.exec(stubborn).stdout) == "begun\n"
    line.ours.close()
    assert line.process.wait(20) == 0
    assert not mark.pids()
    assert not host.files(short_folder)
    sandbox.stop(missing_ok=True)  # whatever comes of it


def test_a_byte_on_its_lifeline_is_like_a_signal(short_folder: Path) -> None:
    line = Line(short_folder)
    line.ours.send(b"e")
    assert line.ours.recv(1) == b""
    assert line.process.wait(20) == 0


def test_detached_it_is_nobody_s_child(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(short_folder, "--detach")
    assert line.process.wait(20) == 0
    monkeypatch.setenv("CWSANDBOX_BASE_URL", line.base_url)
    with Sandbox.run() as sandbox:
        assert sandbox.exec(["echo", "hello"]).result().stdout == "hello\n"
    line.ours.shutdown(socket.SHUT_WR)
    assert line.ours.recv(1) == b""


@pytest.mark.parametrize(
    ("value", "words"), [("977", "not an open descriptor"), ("x", "not a number"), ("1", "watch")]
)
def test_a_lifeline_that_is_none_is_refused(short_folder: Path, value: str, words: str) -> None:
    command = [str(binary()), "--state-dir", str(short_folder / "s"), "--life-fd", value]
    with (short_folder / "file").open("w") as file:
        result = subprocess.run(
            command, stdout=file, stderr=subprocess.PIPE, text=True, timeout=30, check=False
        )
    assert result.returncode != 0
    assert "--life-fd" in result.stderr
    assert words in result.stderr
