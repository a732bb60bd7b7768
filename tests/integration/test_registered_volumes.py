"""Volumes that outlive sandboxes: directories of --volume-dir."""

from __future__ import annotations

import os
import re
import runpy
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from code_blocks import blocks
from conformance import protos
from cwsandbox import (
    Container,
    PvcVolumeSource,
    RegisteredVolumeOptions,
    Sandbox,
    ScratchVolumeOptions,
    Volume,
    VolumeInUseError,
    VolumeMount,
    VolumeNotFoundError,
    VolumeNotReadyError,
    VolumeNotSnapshottableError,
    VolumeState,
    list_runners,
)
from cwsandbox.exceptions import SandboxError, SandboxFailedError
from integration.env import Daemon, eventually

PROJECT = Path(__file__).parents[2]
RUNNER = f"local-{socket.gethostname()}"


@pytest.fixture
def volume_dir(short_folder: Path) -> Path:
    folder = short_folder / "volumes"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def daemon(
    short_folder: Path, volume_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Daemon]:
    arguments = (f"--volume-dir={volume_dir}", f"--data-dir={short_folder / 'data'}")
    with Daemon(short_folder / "d", arguments=arguments) as running:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", running.base_url)
        yield running


def claim(name: str = "data", sub_path: str | None = None) -> PvcVolumeSource:
    return PvcVolumeSource(runner_id=RUNNER, namespace="team", claim_name=name, sub_path=sub_path)


def register(volume_id: str = "vol", *, read_only: bool = False) -> Volume:
    volume = Volume.create(volume_id, pvc=claim(), read_only=read_only).result()
    return volume.wait_until_ready().result()


def mount(
    path: str = "/data",
    *,
    volume_id: str = "vol",
    sub_path: str | None = None,
    read_only: bool = False,
) -> RegisteredVolumeOptions:
    return RegisteredVolumeOptions(
        name="data", volume_id=volume_id, mount_path=path, sub_path=sub_path, read_only=read_only
    )


def shell(sandbox: Sandbox, script: str) -> str:
    result = sandbox.exec(["sh", "-c", script]).result()
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(sandbox: Sandbox, script: str) -> str:
    result = sandbox.exec(["sh", "-c", script]).result()
    assert result.returncode != 0
    return result.stderr


@pytest.mark.usefixtures("daemon")
def test_files_outlive_sandboxes_and_look_the_same_in_each() -> None:
    register()
    listed = "cd /data; stat -c '%u %g %a %n' . file folder; cat file"
    with Sandbox.run(volumes=[mount()]) as first:
        shell(first, "cd /data; echo kept > file; chmod 640 file; mkdir -m 700 folder")
        seen = shell(first, listed)
    assert seen == "0 0 700 .\n0 0 640 file\n0 0 700 folder\nkept\n"
    with Sandbox.run(volumes=[mount("/other/place")]) as second:
        assert shell(second, listed.replace("/data", "/other/place")) == seen
        shell(second, "cd /other/place; echo more >> file; rmdir folder")


@pytest.mark.usefixtures("daemon")
def test_two_sandboxes_share_it_at_once() -> None:
    volume = register()
    with Sandbox.run(volumes=[mount()]) as one, Sandbox.run(volumes=[mount()]) as other:
        shell(one, "echo from one > /data/file")
        assert shell(other, "cat /data/file; echo from other >> /data/file") == "from one\n"
        assert shell(one, "cat /data/file") == "from one\nfrom other\n"
        for sandbox in (one, other):
            sandbox.get_status()
            assert sandbox.attached_volume_ids == ("vol",)
        assert Volume.get("vol").result().attached_sandbox_count == 2
        found = Sandbox.list(volume_ids=["vol"]).result()
        assert {each.sandbox_id for each in found} == {one.sandbox_id, other.sandbox_id}
        assert Sandbox.list(volume_ids=["else"]).result() == []
        with pytest.raises(VolumeInUseError, match="attached to 2 sandboxes"):
            volume.delete().result()
        assert Volume.get("vol").result().state is VolumeState.READY
    assert Volume.get("vol").result().attached_sandbox_count == 0
    assert volume.delete().result().state is VolumeState.DELETING
    with pytest.raises(VolumeNotFoundError):
        Sandbox.run(volumes=[mount()]).wait()
    register()
    with Sandbox.run(volumes=[mount()]) as again:
        assert shell(again, "cat /data/file") == "from one\nfrom other\n", "the claim stays"


@pytest.mark.usefixtures("daemon")
def test_one_may_be_taken_back_by_force() -> None:
    volume = register()
    with Sandbox.run(volumes=[mount()]) as sandbox:
        volume.delete(force=True).result()
        with pytest.raises(VolumeNotFoundError):
            Volume.get("vol").result()
        shell(sandbox, "echo still > /data/there")


@pytest.mark.usefixtures("daemon")
def test_read_only_mounts_and_volumes() -> None:
    register()
    Volume.create("fixed", pvc=claim(), read_only=True).result().wait_until_ready().result()
    assert Volume.get("vol").result().access_modes == ("ReadWriteMany",)
    assert Volume.get("fixed").result().access_modes == ("ReadOnlyMany",)
    with Sandbox.run(volumes=[mount()]) as writer:
        shell(writer, "echo x > /data/file")
    for options in (mount(read_only=True), mount(volume_id="fixed")):
        with Sandbox.run(volumes=[options]) as reader:
            assert shell(reader, "cat /data/file") == "x\n"
            assert "Read-only file system" in refused(reader, "echo y > /data/file")
            assert refused(reader, "mount -o remount,rw,bind /data")
            assert "Read-only file system" in refused(reader, "rm /data/file")


@pytest.mark.usefixtures("daemon")
def test_sub_paths_and_several_containers() -> None:
    register()
    Volume.create("inner", pvc=claim(sub_path="a/b")).result().wait_until_ready().result()
    containers = [
        Container(
            image="x",
            resources={"cpu": "1", "memory": "1Gi"},
            name="main",
            primary=True,
            volume_mounts=[VolumeMount(volume="data", mount_path="/whole")],
        ),
        Container(
            image="x",
            resources={"cpu": "1", "memory": "1Gi"},
            name="part",
            volume_mounts=[
                VolumeMount(volume="data", mount_path="/part", sub_path="a/b", read_only=True)
            ],
        ),
    ]
    declared: list[Any] = [
        {"name": "data", "volume_id": "vol"},
        ScratchVolumeOptions(name="scratch", mount_path="/scratch"),
    ]
    with Sandbox.run(containers=containers, volumes=declared) as sandbox:
        shell(sandbox, "echo deep > /whole/a/b/file; touch /scratch/x")
        result = sandbox.exec(["cat", "/part/file"], container="part").result()
        assert result.stdout == "deep\n"
        result = sandbox.exec(["touch", "/part/file"], container="part").result()
        assert "Read-only file system" in result.stderr
    with Sandbox.run(volumes=[mount(volume_id="inner")]) as inner:
        assert shell(inner, "ls /data") == "file\n"
    with Sandbox.run(volumes=[mount(sub_path="a")]) as inner:
        assert shell(inner, "ls /data/b") == "file\n"


@pytest.mark.usefixtures("daemon")
def test_what_a_sandbox_leaves_leads_nobody_out(volume_dir: Path) -> None:
    """Links in sub-paths, set-user-ID programs, devices."""
    register()
    with Sandbox.run(volumes=[mount()]) as hostile:
        shell(hostile, "cd /data; ln -s /etc out; ln -s / root; mkdir d; ln -s ../../../.. d/up")
        shell(hostile, "cp /bin/true /data/tool; chmod 6755 /data/tool")
        assert refused(hostile, "mknod /data/device c 1 3 && cat /data/device")
        options = shell(hostile, "grep ' /data ' /proc/self/mounts").split()[3].split(",")
        assert {"nosuid", "nodev"} <= set(options)
    for path in ("out", "root", "d/up", "d/up/etc", "tool"):
        with pytest.raises(SandboxFailedError, match="mounting a volume at"):
            Sandbox.run(volumes=[mount(sub_path=path)]).wait()
        broken = Volume.create(f"v-{path.replace('/', '-')}", pvc=claim(sub_path=path)).result()
        broken = Volume.get(broken.volume_id).result()
        assert broken.state is VolumeState.ERROR
        assert "cannot be opened" in broken.state_reason
    (tool,) = volume_dir.glob("*/data/tool")
    if os.getuid() == 0:
        assert tool.stat().st_uid not in (0, os.getuid()), "nobody's on the host"


@pytest.mark.usefixtures("daemon")
def test_a_sub_path_that_became_a_link_after_it_was_registered() -> None:
    register()
    Volume.create("inner", pvc=claim(sub_path="part")).result().wait_until_ready().result()
    with Sandbox.run(volumes=[mount()]) as hostile:
        shell(hostile, "rmdir /data/part; ln -s /etc /data/part")
    with pytest.raises(SandboxError, match="cannot be opened"):
        Sandbox.run(volumes=[mount(volume_id="inner")]).wait()


def test_names_of_clients_are_no_names_of_files(daemon: Daemon, volume_dir: Path) -> None:
    for number, name in enumerate(("../../x", "..", "a/b", "x" * 200)):
        pvc = PvcVolumeSource(runner_id=RUNNER, namespace="../..", claim_name=name)
        Volume.create(f"../{number}", pvc=pvc).result().wait_until_ready().result()
    folders = sorted(path.name for path in volume_dir.iterdir())
    assert len(folders) == 4
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in folders)
    claims = {(volume_dir / name / "claim").read_text() for name in folders}
    assert "../../../../x\n" in claims
    assert not (volume_dir.parent / "0").exists()


def test_the_next_daemon_has_files_and_records(daemon: Daemon, volume_dir: Path) -> None:
    register()
    with Sandbox.run(volumes=[mount()]) as sandbox:
        shell(sandbox, "echo kept > /data/file; sync /data/file")
        daemon.kill()
        daemon.start()
        assert Volume.get("vol").result().attached_sandbox_count == 0
    assert Volume.get("vol").result().state is VolumeState.READY
    with Sandbox.run(volumes=[mount()]) as sandbox:
        assert shell(sandbox, "cat /data/file") == "kept\n"
    assert len(list(volume_dir.iterdir())) == 1


def test_a_daemon_without_a_directory_says_so(
    short_folder: Path, volume_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = f"--data-dir={short_folder / 'data'}"
    with Daemon(short_folder / "d", arguments=(f"--volume-dir={volume_dir}", data)) as daemon:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
        register()
    with Daemon(short_folder / "d", arguments=(data,)) as daemon:
        found = Volume.get("vol").result()
        assert found.state is VolumeState.ERROR
        assert "--volume-dir" in found.state_reason
        assert Volume.list(states=[VolumeState.READY]).result() == []
        with pytest.raises(VolumeNotReadyError, match="--volume-dir"):
            Sandbox.run(volumes=[mount()]).wait()


@pytest.mark.parametrize("mode", [0o755, 0o770])
def test_a_directory_of_others_is_refused(short_folder: Path, mode: int) -> None:
    folder = short_folder / "volumes"
    folder.mkdir()
    folder.chmod(mode)
    daemon = Daemon(short_folder / "d", arguments=(f"--volume-dir={folder}",))
    with pytest.raises(AssertionError, match="did not become ready"):
        daemon.start()
    assert "--volume-dir" in daemon.stderr
    assert "mode 0700" in daemon.stderr


@pytest.mark.usefixtures("daemon")
def test_snapshots_are_of_scratch_volumes() -> None:
    register()
    with (
        Sandbox.run(volumes=[mount()]) as sandbox,
        pytest.raises((VolumeNotSnapshottableError, SandboxError)),
    ):
        sandbox.snapshot().result()


def test_nothing_of_it_is_left_in_daemon_or_sandbox(daemon: Daemon) -> None:
    """Neither descriptors nor processes."""
    register()

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{daemon.pid}/fd"))

    with Sandbox.run(volumes=[mount()]):
        pass
    eventually(lambda: Volume.get("vol").result().attached_sandbox_count == 0, "detached")
    before = descriptors()
    for _ in range(5):
        with Sandbox.run(volumes=[mount()]) as sandbox:
            held = shell(sandbox, "ls -l /proc/self/fd /proc/1/fd 2>/dev/null || true")
            assert "/data" not in held
    eventually(lambda: descriptors() <= before, "every descriptor is closed")


@pytest.mark.usefixtures("daemon")
def test_a_program_for_the_hosted_service_runs_unchanged() -> None:
    """As such a program is written: it asks where it can run, and mounts what it registered."""
    runner = list_runners()[0]
    pvc = PvcVolumeSource(runner_id=runner.runner_id, namespace="ml", claim_name="models")
    volume = Volume.create("models", pvc=pvc, description="weights").result()
    assert volume.state is VolumeState.VALIDATING
    volume.wait_until_ready(timeout=30.0).result()
    volumes: list[Any] = [
        RegisteredVolumeOptions(name="models", volume_id=volume.volume_id, mount_path="/models")
    ]
    with Sandbox.run("sleep", "infinity", volumes=volumes) as sandbox:
        sandbox.write_file("/models/w.bin", b"\x00\x01").result()
    with Sandbox.run("sleep", "infinity", volumes=volumes) as sandbox:
        assert sandbox.read_file("/models/w.bin").result() == b"\x00\x01"
    volume.delete().result()


@pytest.mark.usefixtures("daemon")
def test_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks("docs/guide/volumes.md", count=1)
    exec(compile(program, "volumes.md", "exec"), {})
    assert capsys.readouterr().out == "shared\n"


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize("name", ["volumes", "volumes_async"])
def test_the_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(PROJECT / "examples" / f"{name}.py"))
    assert capsys.readouterr().out == "ready\nwritten by one, read by another\n0 attached\n"


def test_a_repeated_create_does_not_ask_for_the_volume_again(daemon: Daemon) -> None:
    volume = register()
    pb = protos.messages()
    spec = pb.SandboxSpec(
        containers=[
            pb.Container(
                name="main",
                command="true",
                volume_mounts=[pb.VolumeMount(volume="v", mount_path="/data")],
            )
        ],
        volumes=[pb.SandboxVolume(name="v", volume_id="vol")],
    )
    request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec), request_id="once")
    with grpc.insecure_channel(daemon.base_url) as channel:
        service = protos.stubs().SandboxServiceStub(channel)
        made = service.CreateSandbox(request).sandbox_id
        query = pb.GetSandboxRequest(sandbox_id=made)
        ended = pb.STATE_COMPLETED
        eventually(lambda: service.GetSandbox(query).status.state == ended, "the sandbox has ended")
        volume.delete().result()
        assert service.CreateSandbox(request).sandbox_id == made
        request.request_id = "another"
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            service.CreateSandbox(request)
