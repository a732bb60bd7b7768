"""Whoever wants to make room on a full disk can."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from conformance import protos
from conformance.small_disk import fill
from integration.env import Daemon, eventually

pb = protos.messages()
tb = protos.messages("sandbox_template")
vb = protos.messages("volume")


class Stubs:
    """The calls by which something is made and removed."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.sandboxes = protos.stubs().SandboxServiceStub(channel)
        self.templates = protos.stubs("sandbox_template").SandboxTemplateServiceStub(channel)
        self.volumes = protos.stubs("volume").VolumeServiceStub(channel)

    def sandbox(self) -> str:
        mounts = [pb.VolumeMount(volume="data", mount_path="/data")]
        main = pb.Container(name="main", image="any", volume_mounts=mounts)
        volume = pb.SandboxVolume(name="data", scratch=pb.ScratchVolume())
        wanted = pb.Sandbox(spec=pb.SandboxSpec(containers=[main], volumes=[volume]))
        made = self.sandboxes.CreateSandbox(
            pb.CreateSandboxRequest(sandbox=wanted), wait_for_ready=True
        )
        return str(made.sandbox_id)

    def snapshot(self, sandbox_id: str) -> str:
        request = pb.CreateFileSystemSnapshotRequest(
            sandbox_id=sandbox_id, request_id=uuid.uuid4().hex
        )
        made = self.sandboxes.CreateFileSystemSnapshot(request)
        return str(made.file_system_snapshot_id)

    def snapshot_state(self, snapshot_id: str) -> int:
        request = pb.GetFileSystemSnapshotRequest(file_system_snapshot_id=snapshot_id)
        return int(self.sandboxes.GetFileSystemSnapshot(request, wait_for_ready=True).state)

    def template(self, name: str, text: str = "") -> str:
        spec = pb.PartialSandboxSpec(annotations={"x": text})
        template = tb.SandboxTemplate(display_name=name, spec=spec)
        made = self.templates.CreateSandboxTemplate(
            tb.CreateSandboxTemplateRequest(sandbox_template=template)
        )
        return str(made.sandbox_template_id)

    def volume(self, name: str) -> str:
        claim = vb.PvcVolumeSource(
            runner_id=f"local-{socket.gethostname()}", namespace="team", claim_name="data"
        )
        volume = vb.Volume(volume_id=name, spec=vb.VolumeSpec(pvc=claim))
        self.volumes.CreateVolume(vb.CreateVolumeRequest(volume=volume))
        return name

    def left(self) -> tuple[list[str], list[str], list[str]]:
        """The snapshots, the templates and the volumes that there are."""
        snapshots = self.sandboxes.ListFileSystemSnapshots(
            pb.ListFileSystemSnapshotsRequest(), wait_for_ready=True
        )
        templates = self.templates.ListSandboxTemplates(tb.ListSandboxTemplatesRequest())
        volumes = self.volumes.ListVolumes(vb.ListVolumesRequest())
        return (
            [one.file_system_snapshot_id for one in snapshots.file_system_snapshots],
            [one.sandbox_template_id for one in templates.sandbox_templates],
            [one.volume_id for one in volumes.volumes],
        )


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
