"""What a daemon keeps records of, made and removed by grpcio's client."""

from __future__ import annotations

import socket
import uuid

import grpc

from conformance import protos

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
