"""The daemon for an ordinary user, when the tests run as root and can become one."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cwsandbox import (
    Container,
    FileSystemSnapshotOptions,
    PvcVolumeSource,
    RegisteredVolumeOptions,
    Sandbox,
    SandboxFailedError,
    SandboxResourceExhaustedError,
    ScratchVolumeOptions,
    Volume,
    VolumeInUseError,
    list_runners,
)
from integration import host
from integration.env import Daemon, eventually

USER = "cwsandbox-test"
pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("useradd") or not shutil.which("setpriv"),
    reason="needs root, useradd and setpriv to become another user",
)


@pytest.fixture(scope="module")
def user() -> Iterator[pwd.struct_passwd]:
    subprocess.run(["useradd", "--no-create-home", "--shell", "/bin/sh", USER], check=True)
    try:
        yield pwd.getpwnam(USER)
    finally:
        subprocess.run(["userdel", USER], check=True)


@pytest.fixture
def user_daemon(user: pwd.struct_passwd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """The programs are copied to where that user can run them, whoever owns the virtual environment."""
    with tempfile.TemporaryDirectory(prefix="cwsu-") as name:
        folder = Path(name)
        programs = folder / "bin"
        shutil.copytree(Daemon.binaries(), programs)
        for path in (folder, programs):
            os.chown(path, user.pw_uid, user.pw_gid)
        for path in (folder / "d", folder / "volumes"):
            path.mkdir(mode=0o700)
            os.chown(path, user.pw_uid, user.pw_gid)
        become = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
        daemon = Daemon(
            folder / "d",
            command_prefix=become,
            arguments=(f"--volume-dir={folder / 'volumes'}",),
            program=programs / "cwsandboxd",
        )
        with daemon:
            monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
            yield daemon


def test_commands_run(user_daemon: Daemon, user: pwd.struct_passwd) -> None:
    assert Path(f"/proc/{user_daemon.pid}").stat().st_uid == user.pw_uid
    mark = host.Mark()
    with Sandbox.run(environment_variables={"MARK": mark.value}) as sandbox:
        result = sandbox.exec(["sh", "-c", "echo hi; echo x > /tmp/file; cat /tmp/file"]).result()
        assert (result.stdout, result.returncode) == ("hi\nx\n", 0)
        assert sandbox.exec(["python", "-c", "print(1 + 1)"]).result().stdout == "2\n"
        process = sandbox.exec(["cat"], stdin=True)
        assert process.stdin is not None
        process.stdin.write(b"in\n").result()
        process.stdin.close().result()
        assert process.result().stdout == "in\n"
    eventually(lambda: not mark.pids(), "no process is left")


@pytest.mark.usefixtures("user_daemon")
def test_files() -> None:
    """Also those that belong to the host's root, whom the sandbox does not have."""
    with Sandbox.run() as sandbox:
        for path in ("/tmp/new/file", "relative", "/usr/local/bin/tool", "/etc/issue"):
            for content in (b"first", b"second"):
                sandbox.write_file(path, content).result()
                assert sandbox.read_file(path).result() == content
        assert b"root:" in sandbox.read_file("/etc/passwd").result()


@pytest.mark.usefixtures("user_daemon")
def test_snapshots() -> None:
    """Also of what is closed for its owner."""
    volume = ScratchVolumeOptions(name="data", mount_path="/data", size="8Mi")
    script = "mkdir /data/d; echo text > /data/d/file; chmod 0 /data/d/file /data/d"
    with Sandbox.run(volumes=[volume]) as sandbox:
        assert sandbox.exec(["sh", "-c", script]).result().returncode == 0
        snapshot_id = sandbox.snapshot().result()
    restored = FileSystemSnapshotOptions(mount_path="/w", file_system_snapshot_id=snapshot_id)
    with Sandbox.run(file_system_snapshot=restored) as sandbox:
        command = ["sh", "-c", "stat -c %a /w/d /w/d/file; cat /w/d/file"]
        assert sandbox.exec(command).result().stdout == "0\n0\ntext\n"


def test_registered_volumes(user_daemon: Daemon, user: pwd.struct_passwd) -> None:
    """What sandboxes leave there is theirs in the next one, and the user's on the host."""
    (runner,) = list_runners()
    claim = PvcVolumeSource(runner_id=runner.runner_id, namespace="team", claim_name="data")
    volume = Volume.create("shared", pvc=claim).result().wait_until_ready().result()
    mount = RegisteredVolumeOptions(name="data", volume_id="shared", mount_path="/data")
    script = "cd /data; mkdir -m 700 d; echo text > d/file; chmod 640 d/file"
    with Sandbox.run(volumes=[mount]) as sandbox:
        assert sandbox.exec(["sh", "-c", script]).result().returncode == 0
        sandbox.write_file("/data/whole", b"content").result()
    (left,) = (user_daemon.folder.parent / "volumes").rglob("d/file")
    assert left.read_text() == "text\n"
    assert (left.stat().st_uid, left.stat().st_gid) == (user.pw_uid, user.pw_gid)
    inside = RegisteredVolumeOptions(
        name="data", volume_id="shared", mount_path="/in", sub_path="d", read_only=True
    )
    with Sandbox.run(volumes=[mount]) as first, Sandbox.run(volumes=[inside]) as second:
        shown = first.exec(
            ["sh", "-c", "cd /data; stat -c '%u %g %a' d d/file; cat whole"]
        ).result()
        assert shown.stdout == "0 0 700\n0 0 640\ncontent"
        assert second.read_file("/in/file").result() == b"text\n"
        assert second.exec(["touch", "/in/file"]).result().returncode != 0
        with pytest.raises(VolumeInUseError):
            volume.delete().result()
    volume.delete().result()


def test_cancel_and_crash(user_daemon: Daemon) -> None:
    mark = host.Mark()
    sandbox = Sandbox.run(environment_variables={"MARK": mark.value})
    process = sandbox.exec(["sh", "-c", "echo begun; sleep 300 & wait"])
    assert next(process.stdout) == "begun\n"
    process.cancel()
    assert sandbox.exec(["echo", "healthy"]).result().stdout == "healthy\n"
    user_daemon.kill()
    user_daemon.start()
    eventually(lambda: not mark.pids(), "no process is left after a crash")


def test_files_of_that_user_are_not_there(user_daemon: Daemon, user: pwd.struct_passwd) -> None:
    with tempfile.TemporaryDirectory(prefix="cws-secret-", dir="/var/tmp") as name:
        secret = Path(name, "file")
        secret.write_text("secret")
        os.chown(name, user.pw_uid, user.pw_gid)
        os.chown(secret, user.pw_uid, user.pw_gid)
        with Sandbox.run() as sandbox:
            assert sandbox.exec(["cat", str(secret)]).result().returncode != 0


FLOOD = """
import array, socket, sys
left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
fds = array.array("i", [0] * 250)
for _ in range(3):
    left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
print("flooded", flush=True)
sys.stdin.readline()
"""


def test_too_many_descriptors_of_that_user_on_their_way(
    user_daemon: Daemon, user: pwd.struct_passwd
) -> None:
    """The kernel counts them per user, and lets each send as long as there are not more than it may have open."""
    become = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
    with Sandbox.run() as sandbox:
        assert sandbox.exec(["echo", "before"]).result().stdout == "before\n"
        limit = ["prlimit", f"--pid={user_daemon.pid}", "--nofile=500:500"]
        subprocess.run([*become, *limit], check=True)
        with subprocess.Popen(
            [*become, "/usr/bin/python3", "-c", FLOOD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as flood:
            assert flood.stdout is not None
            assert flood.stdout.readline() == "flooded\n"
            process = sandbox.exec(["echo", "hello"])
            another = Sandbox.run()
            with pytest.raises(SandboxResourceExhaustedError, match="too many on their way"):
                process.result()
            with pytest.raises(SandboxFailedError, match="too many on their way"):
                another.wait()
            flood.communicate("enough\n")
        assert sandbox.exec(["echo", "after"]).result().stdout == "after\n"


def test_several_containers(user_daemon: Daemon) -> None:
    small = {"cpu": "100m", "memory": "64Mi"}
    words: dict[str, Any] = {
        "command": "sleep",
        "args": ("infinity",),
        "image": "any",
        "resources": small,
    }
    rows = [Container(name="a", primary=True, **words), Container(name="b", **words)]
    with Sandbox.run(containers=rows) as sandbox:
        script = "readlink /proc/self/ns/net; grep -c : /proc/net/dev"
        shown = [
            sandbox.exec(["sh", "-c", script], container=name).result().stdout for name in "ab"
        ]
        assert shown[0] == shown[1]
        assert shown[0].split()[1] == "1"  # the loopback device
        assert shown[0].split()[0] != os.readlink("/proc/self/ns/net")
