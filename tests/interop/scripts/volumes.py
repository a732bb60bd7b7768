"""Registered volumes in sandboxes, with the published SDK. It is imported here, so nothing of ours may be."""

from __future__ import annotations

from common import RUNNER, raised

from cwsandbox import (
    PvcVolumeSource,
    RegisteredVolumeOptions,
    Sandbox,
    Volume,
    VolumeInUseError,
)


def shell(sandbox: Sandbox, script: str) -> str:
    result = sandbox.exec(["sh", "-c", script]).result()
    assert result.returncode == 0, result.stderr
    return str(result.stdout)


def mount(
    path: str, volume_id: str = "shared", *, sub_path: str | None = None, read_only: bool = False
) -> Sandbox:
    volume = RegisteredVolumeOptions(
        name="data", volume_id=volume_id, mount_path=path, sub_path=sub_path, read_only=read_only
    )
    return Sandbox.run(container_image="python:3.11", volumes=[volume])


claim = PvcVolumeSource(runner_id=RUNNER, namespace="team", claim_name="data")
made = Volume.create("shared", pvc=claim).result().wait_until_ready().result()
assert str(made.state) == "ready"

with mount("/data") as writer, mount("/in", read_only=True) as reader:
    shell(writer, "mkdir /data/part; echo first > /data/part/file; chmod 600 /data/part/file")
    assert (
        shell(reader, "cat /in/part/file; stat -c '%u %g %a' /in/part/file") == "first\n0 0 600\n"
    )
    assert reader.exec(["touch", "/in/other"]).result().returncode != 0
    writer.write_file("/data/whole", b"by a file call").result()
    assert reader.read_file("/in/whole").result() == b"by a file call"
    assert writer.wait().attached_volume_ids == ("shared",)
    assert Volume.get("shared").result().attached_sandbox_count == 2
    assert isinstance(raised(lambda: made.delete().result()), VolumeInUseError)

# It outlives the sandboxes.
with mount("/data", sub_path="part") as later:
    assert shell(later, "ls /data; cat /data/file") == "file\nfirst\n"
assert "nowhere" in str(raised(lambda: mount("/data", "nowhere").wait()))
made.delete().result()
