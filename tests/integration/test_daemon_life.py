"""The daemon itself: what a sandbox leaves behind, crashes, restarts, refusals to start."""

from __future__ import annotations

import os
import shutil
import signal
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
            assert mark.pids()
        eventually(lambda: not mark.pids(), "no process is left")
        eventually(lambda: not host.children(own_daemon.pid), "no child is left, not even dead")
        eventually(lambda: host.files(own_daemon.state_dir) <= before_files, "no file is left")
        assert host.mounts() <= before_mounts
        assert host.cgroups() <= before_cgroups


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
    assert mark.pids()
    assert own_daemon.stop() == 0
    eventually(lambda: not mark.pids(), "no process is left")
    assert not any(host.is_alive(pid) for pid in below)
    assert host.mounts() <= before
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
        assert host.mounts() <= before_mounts
        assert host.cgroups() <= before_cgroups
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


def test_ends_with_its_parent(short_folder: Path) -> None:
    """`--parent PID`, here of a shell between the daemon and us."""
    shell = ("sh", "-c", '"$@" --parent $$ & wait', "sh")
    daemon = Daemon(short_folder / "d", command_prefix=shell).start()
    below = host.descendants(daemon.pid)
    assert below
    daemon.kill()
    eventually(lambda: not any(host.is_alive(pid) for pid in below), "the daemon has followed")


def test_a_parent_that_is_none_is_refused(short_folder: Path) -> None:
    command = [str(binary()), "--state-dir", str(short_folder / "s"), "--parent", "1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode != 0
    assert "--parent" in result.stderr
