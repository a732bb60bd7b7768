"""Whoever wants to make room on a full disk can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from conformance import protos
from conformance.records import Stubs
from conformance.small_disk import fill
from integration.env import Daemon, eventually

pb = protos.messages()
tb = protos.messages("sandbox_template")
vb = protos.messages("volume")


def exhaust(stubs: Stubs, disk: Path) -> Path:
    """Fills the disk until nothing more can be written to the database, either."""
    fill(disk)
    for number in range(100):
        try:
            stubs.template(f"late-{number}", "y" * 4000)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
                return fill(disk)
            raise
    raise AssertionError("a full disk took everything")


@pytest.fixture
def daemon(short_folder: Path, small_disk: Path) -> Iterator[Daemon]:
    arguments = ("--data-dir", str(small_disk / "data"))
    with Daemon(short_folder / "d", arguments=arguments) as running:
        yield running


def test_what_is_removed_from_a_full_disk_is_gone(daemon: Daemon, small_disk: Path) -> None:
    """Also after a kill, and as often as one likes."""
    with grpc.insecure_channel(daemon.base_url) as channel:
        stubs = Stubs(channel)
        sandbox = stubs.sandbox()
        snapshot = stubs.snapshot(sandbox)
        eventually(lambda: stubs.snapshot_state(snapshot) == pb.SNAPSHOT_STATE_READY, "it is ready")
        templates = [stubs.template(f"early-{number}") for number in range(20)]
        volumes = [stubs.volume(f"early-{number}") for number in range(20)]
        exhaust(stubs, small_disk)
        kept = stubs.left()
        for volume in volumes:
            stubs.volumes.DeleteVolume(vb.DeleteVolumeRequest(volume_id=volume))
        for template in templates:
            stubs.templates.DeleteSandboxTemplate(
                tb.DeleteSandboxTemplateRequest(sandbox_template_id=template)
            )
        stubs.sandboxes.DeleteFileSystemSnapshot(
            pb.DeleteFileSystemSnapshotRequest(file_system_snapshot_id=snapshot)
        )
        assert not list((small_disk / "data" / "snapshots").iterdir())
        stubs.sandboxes.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=sandbox))
        gone = {snapshot, *templates, *volumes}
        expected = tuple([one for one in kind if one not in gone] for kind in kept)
        assert stubs.left() == expected
    daemon.kill()
    with grpc.insecure_channel(daemon.start().base_url) as channel:
        assert Stubs(channel).left() == expected


def test_the_reserve_is_taken_again(daemon: Daemon, small_disk: Path) -> None:
    """There is as much of it for the next time that the disk is full."""
    reserve = small_disk / "data" / "reserve"
    whole = reserve.stat().st_blocks
    with grpc.insecure_channel(daemon.base_url) as channel:
        stubs = Stubs(channel)
        template = stubs.template("first")
        stopper = exhaust(stubs, small_disk)
        stubs.templates.DeleteSandboxTemplate(
            tb.DeleteSandboxTemplateRequest(sandbox_template_id=template)
        )
        assert 0 < reserve.stat().st_blocks < whole
        stopper.unlink()
        stubs.template("next")
        assert reserve.stat().st_blocks == whole


def test_a_daemon_starts_on_a_full_disk(daemon: Daemon, small_disk: Path) -> None:
    """Even if it has to write first what has become of a snapshot in the making."""
    with grpc.insecure_channel(daemon.base_url) as channel:
        stubs = Stubs(channel)
        sandbox = stubs.sandbox()
        endless = ["truncate", "-s", "2E", "/data/endless"]
        stubs.sandboxes.Exec(pb.ExecRequest(sandbox_id=sandbox, command=endless))
        snapshot = stubs.snapshot(sandbox)
        exhaust(stubs, small_disk)
        daemon.kill()
    with grpc.insecure_channel(daemon.start().base_url) as channel:
        assert Stubs(channel).snapshot_state(snapshot) == pb.SNAPSHOT_STATE_FAILED
