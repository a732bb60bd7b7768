"""What was acknowledged is found by the next daemon, or was not acknowledged."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from conformance import protos
from conformance.records import Stubs
from integration.env import Daemon, eventually

pb = protos.messages()

# From linux/fs.h and ext4's own headers.
EXT4_IOC_SHUTDOWN = 0x8004587D
WITHOUT_WRITING_ANYTHING = 2


class Disk:
    """An ext4 file system in a file, whose power can be cut."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image, self.folder = image, folder
        with image.open("wb") as file:
            file.truncate(32 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True)
        self.mount()
        self.folder.chmod(0o700)

    def mount(self) -> None:
        command = ["mount", "-o", "loop", str(self.image), str(self.folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("file systems in files cannot be mounted here")

    def unmount(self) -> None:
        command = ["umount", str(self.folder)]
        eventually(
            lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0,
            "nobody uses the file system",
        )

    def cut_power(self) -> None:
        """What has not been written to the disk is lost."""
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_WRITING_ANYTHING))
        except OSError as error:
            pytest.skip(f"the power of a file system cannot be cut here: {error}")
        finally:
            os.close(fd)


@pytest.fixture
def disk(short_folder: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("it takes root, and mkfs.ext4")
    folder = short_folder / "disk"
    folder.mkdir()
    made = Disk(short_folder / "image", folder)
    yield made
    made.unmount()


def test_a_power_cut_loses_nothing_that_was_made_by_hand(short_folder: Path, disk: Disk) -> None:
    """From the first seconds of a data directory on, and the daemon starts again with the same authority and token."""
    volumes = disk.folder / "volumes"
    volumes.mkdir(mode=0o700)
    token_file = disk.folder / "token"
    data = disk.folder / "data"
    arguments = ["--data-dir", data, "--volume-dir", volumes, "--token-file", token_file]
    with Daemon(short_folder / "d", arguments=tuple(map(str, arguments))) as daemon:
        with _channel(daemon, token_file) as channel:
            stubs = Stubs(channel)
            snapshot = stubs.snapshot(stubs.sandbox())
            eventually(
                lambda: stubs.snapshot_state(snapshot) == pb.SNAPSHOT_STATE_READY, "it is ready"
            )
            stubs.template("by hand")
            stubs.volume("claimed")
            kept = [*stubs.left(), *_files(disk, token_file)]
            disk.cut_power()
        daemon.kill()
        disk.unmount()
        disk.mount()
        with _channel(daemon.start(), token_file) as channel:
            stubs = Stubs(channel)
            assert [*stubs.left(), *_files(disk, token_file)] == kept
            assert stubs.snapshot_state(snapshot) == pb.SNAPSHOT_STATE_READY
            stubs.volume("of the same claim")


def _files(disk: Disk, token_file: Path) -> list[object]:
    """Those that the daemon makes once, and relies on ever after."""
    data = disk.folder / "data"
    claims = [file.read_text() for file in (disk.folder / "volumes").glob("*/claim")]
    authority = [(data / f"endpoints-ca.{kind}").read_text() for kind in ("key", "pem")]
    assert all([claims, *claims, *authority])
    return [token_file.read_text(), *authority, claims]


class _Token(grpc.AuthMetadataPlugin):
    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self, context: object, callback: Callable[..., None]) -> None:
        callback((("authorization", f"Bearer {self._text}"),), None)


def _channel(daemon: Daemon, token_file: Path) -> grpc.Channel:
    """One that sends the token with each call."""
    credentials = grpc.composite_channel_credentials(
        grpc.local_channel_credentials(grpc.LocalConnectionType.UDS),
        grpc.metadata_call_credentials(_Token(token_file.read_text().strip())),
    )
    return grpc.secure_channel(daemon.base_url, credentials)


def _refused(call: Callable[[], object]) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    return str(caught.value.details())


def test_nothing_is_acknowledged_that_goes_into_removed_files(short_folder: Path) -> None:
    """SQLite would write to them as before. What runs goes on, and can be ended."""
    data = short_folder / "data"
    with Daemon(short_folder / "d", arguments=("--data-dir", str(data))) as daemon:
        with grpc.insecure_channel(daemon.base_url) as channel:
            stubs = Stubs(channel)
            sandbox = stubs.sandbox()
            template = stubs.template("before")
            shutil.rmtree(data)
            for call in (
                stubs.sandbox,
                lambda: stubs.template("after"),
                lambda: stubs.volume("after"),
                lambda: stubs.snapshot(sandbox),
            ):
                assert f"{data}/cwsandboxd.db was removed or moved" in _refused(call)
            assert stubs.left()[1] == [template]
            request = pb.ExecRequest(sandbox_id=sandbox, command=["echo", "alive"])
            assert stubs.sandboxes.Exec(request).stdout == b"alive\n"
            stubs.sandboxes.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=sandbox))
        assert daemon.stop() == 0
    assert "cannot be written" in daemon.stderr


def test_a_directory_that_is_put_back_is_used_again(short_folder: Path) -> None:
    data, away = short_folder / "data", short_folder / "away"
    with Daemon(short_folder / "d", arguments=("--data-dir", str(data))) as daemon:
        with grpc.insecure_channel(daemon.base_url) as channel:
            stubs = Stubs(channel)
            sandbox = stubs.sandbox()
            data.rename(away)
            assert "was removed or moved" in _refused(lambda: stubs.template("meanwhile"))
            stubs.sandboxes.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=sandbox))
            away.rename(data)
            template = stubs.template("after")
        daemon.kill()
        with contextlib.closing(grpc.insecure_channel(daemon.start().base_url)) as channel:
            assert Stubs(channel).left()[1] == [template]


@pytest.mark.parametrize("name", ["data", "d", "d7"])
def test_below_the_state_directory(name: str, short_folder: Path) -> None:
    """A daemon removes directories of dead daemons from there, and they have similar names."""
    arguments = ("--data-dir", f"{short_folder}/d/state/{name}")
    with Daemon(short_folder / "d", arguments=arguments) as daemon:
        with grpc.insecure_channel(daemon.base_url) as channel:
            template = Stubs(channel).template("kept")
        for end in (daemon.stop, daemon.kill):
            end()
            with grpc.insecure_channel(daemon.start().base_url) as channel:
                assert Stubs(channel).left()[1] == [template]


@pytest.mark.parametrize("option", ["data-dir", "volume-dir", "secrets-dir", "token-file"])
def test_not_in_what_goes_with_the_daemon(option: str, short_folder: Path) -> None:
    own = short_folder / "d" / "state" / "d0"
    daemon = Daemon(short_folder / "d", arguments=(f"--{option}", str(own / "kept")))
    with pytest.raises(AssertionError) as caught:
        daemon.start()
    assert f"--{option} must not lie in {own}" in str(caught.value)


def test_the_longest_path(short_folder: Path) -> None:
    """One that is longer is refused with the rule. No error loses what is wrong to the length of a path."""
    longest = short_folder
    while len(os.fsencode(longest)) < 490 - 100:
        longest /= "ü" * 40 + " "
    longest /= "x" * (490 - len(os.fsencode(longest)) - 1)
    with Daemon(short_folder / "d", arguments=("--data-dir", str(longest))):
        pass
    longest.chmod(0o755)
    for path, wrong in (
        (longest, "mode 0755"),
        (f"{longest}x", "is not an absolute path of at most 490 bytes"),
    ):
        with pytest.raises(AssertionError) as caught:
            Daemon(short_folder / "d", arguments=("--data-dir", str(path))).start()
        assert wrong in str(caught.value)
