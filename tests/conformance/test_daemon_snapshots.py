"""Snapshots of scratch volumes: taken, restored, listed and removed by grpcio's client."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from conformance import protos
from conformance.running import running
from integration.env import Daemon, eventually

pb = protos.messages()

TREE = r"""
set -e; cd /data; umask 0
printf plain > plain; chmod 4751 plain; touch -d '2001-02-03 04:05:06.123456789' plain
mkdir -p d/secret; printf s > d/secret/f; chmod 0 d/secret/f d/secret
ln -s /etc/passwd absolute; ln -s nowhere dangling; ln -s d folder
ln plain d/hard; mkfifo -m 640 fifo
python3 - <<'END'
import os, socket
socket.socket(socket.AF_UNIX).bind("socket")
with open("sparse", "wb") as f:
    f.seek(1 << 30)
    f.write(b"end")
with open("hole", "wb") as f:
    f.truncate(1 << 30)
open(b"\xff-name", "w").write("bytes")
os.makedirs("/".join(["deep" * 20] * 15))
try:
    os.setxattr("plain", "user.kept", b"a\0b")
except OSError:
    pass
END
chmod 1770 .
"""

LIST = r"""
cd /data; python3 - <<'END'
import os, stat
def look(path):
    s = os.lstat(path)
    kind = stat.S_IFMT(s.st_mode)
    regular = kind == stat.S_IFREG
    attributes = {}
    if regular or kind == stat.S_IFDIR:
        attributes = {n: os.getxattr(path, n) for n in os.listxattr(path)}
    print(ascii(path), oct(s.st_mode), s.st_mtime_ns, s.st_size if regular else "",
          s.st_blocks if regular else "", s.st_nlink if regular else "",
          os.readlink(path) if kind == stat.S_IFLNK else "", attributes,
          open(path, "rb").read(100) if regular and s.st_size < 100 else "")
for folder, folders, files in os.walk("."):
    folders.sort()
    if folder == ".":
        look(folder)
    for name in sorted(folders + files, key=ascii):
        look(os.path.join(folder, name))
END
"""


class Service:
    """The calls of one daemon, and what was made by them."""

    def __init__(self, stub: Any) -> None:
        self.stub = stub
        self.sandboxes: list[str] = []

    def create(self, *volumes: Any, **mount: Any) -> Any:
        """A sandbox that mounts its first volume at /data."""
        mounts = [pb.VolumeMount(volume=volumes[0].name, mount_path="/data", **mount)]
        main = pb.Container(name="main", image="any", volume_mounts=mounts)
        wanted = pb.Sandbox(spec=pb.SandboxSpec(containers=[main], volumes=volumes))
        sandbox = self.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=wanted))
        self.sandboxes.append(sandbox.sandbox_id)
        return sandbox

    def sh(self, sandbox: Any, script: str) -> str:
        request = pb.ExecRequest(
            sandbox_id=sandbox.sandbox_id,
            command=["bash", "-c", script],
            max_output_bytes=1 << 20,
        )
        answer = self.stub.Exec(request)
        assert answer.exit_code == 0, answer.stderr
        return str(answer.stdout.decode())

    def snapshot(self, sandbox: Any, **fields: Any) -> Any:
        fields.setdefault("request_id", uuid.uuid4().hex)
        request = pb.CreateFileSystemSnapshotRequest(sandbox_id=sandbox.sandbox_id, **fields)
        return self.stub.CreateFileSystemSnapshot(request)

    def get(self, snapshot_id: str) -> Any:
        request = pb.GetFileSystemSnapshotRequest(file_system_snapshot_id=snapshot_id)
        return self.stub.GetFileSystemSnapshot(request)

    def finished(self, snapshot_id: str) -> Any:
        eventually(
            lambda: self.get(snapshot_id).state != pb.SNAPSHOT_STATE_CREATING, "it is finished"
        )
        return self.get(snapshot_id)

    def ready(self, snapshot_id: str) -> Any:
        snapshot = self.finished(snapshot_id)
        assert snapshot.state == pb.SNAPSHOT_STATE_READY, snapshot
        return snapshot

    def delete(self, sandbox: Any, *volumes: str, **fields: Any) -> Any:
        request = pb.DeleteSandboxRequest(
            sandbox_id=sandbox.sandbox_id, snapshot_volumes=volumes, **fields
        )
        return self.stub.DeleteSandbox(request)

    def remove(self, snapshot_id: str, **fields: Any) -> Any:
        request = pb.DeleteFileSystemSnapshotRequest(file_system_snapshot_id=snapshot_id, **fields)
        return self.stub.DeleteFileSystemSnapshot(request)

    def list(self, **fields: Any) -> Any:
        return self.stub.ListFileSystemSnapshots(pb.ListFileSystemSnapshotsRequest(**fields))


@pytest.fixture
def service(stub: Any) -> Iterator[Service]:
    service = Service(stub)
    yield service
    for one in service.sandboxes:
        stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=one, allow_missing=True))


def scratch(name: str = "data", **fields: Any) -> Any:
    return pb.SandboxVolume(name=name, scratch=pb.ScratchVolume(**fields))


def refusal(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    """The status, and the reason without its prefix."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(caught.value)
    assert status is not None
    assert status.details[0].Unpack(info)
    return caught.value.code(), info.reason.removeprefix("CWSANDBOX_")


def test_everything_is_kept(service: Service) -> None:
    """Modes, times, links, holes, attributes, names; a socket is passed over."""
    sandbox = service.create(scratch(size="64Mi"))
    service.sh(sandbox, TREE)
    made = service.snapshot(sandbox)
    assert made.state == pb.SNAPSHOT_STATE_CREATING
    assert made.size_bytes == 0
    snapshot = service.ready(made.file_system_snapshot_id)
    assert 0 < snapshot.size_bytes < 1 << 20
    assert snapshot.source_sandbox_id == sandbox.sandbox_id
    assert snapshot.source_volume_name == "data"
    assert snapshot.trigger == pb.SNAPSHOT_TRIGGER_MANUAL
    assert snapshot.create_time.ToNanoseconds() <= snapshot.complete_time.ToNanoseconds()
    # What comes after it is not in it.
    before = service.sh(sandbox, LIST)
    service.sh(sandbox, "echo later > /data/later; rm /data/dangling; echo changed > /data/plain")
    restored = service.create(
        scratch(size="64Mi", restore_from_snapshot_id=snapshot.file_system_snapshot_id)
    )
    lines = [line for line in before.splitlines() if not line.startswith("'./socket'")]
    assert len(lines) > 25
    assert service.sh(restored, LIST).splitlines() == lines


def test_into_a_sub_path(service: Service) -> None:
    """The snapshot's own folder is mounted, with what is in it."""
    sandbox = service.create(scratch())
    service.sh(sandbox, "mkdir -p /data/a/b; echo deep > /data/a/b/file; ln -s a /data/link")
    snapshot = service.ready(service.snapshot(sandbox).file_system_snapshot_id)
    volume = scratch("other", restore_from_snapshot_id=snapshot.file_system_snapshot_id)
    restored = service.create(volume, sub_path="a/b", read_only=True)
    assert service.sh(restored, "cat /data/file; touch /data/x 2>/dev/null || echo ro") == (
        "deep\nro\n"
    )
    trapped = service.create(volume, sub_path="link/b")
    assert trapped.status.state == pb.STATE_FAILED
    assert "mounting a volume at /data: Not a directory" in trapped.status.state_reason


def test_of_a_volume_that_containers_share(service: Service) -> None:
    """Saved and restored with all of them, whichever mounts it."""
    sandbox = service.create(scratch())
    service.sh(sandbox, "mkdir /data/d; echo text > /data/d/file; head -c 9k /dev/zero > /data/x")
    snapshot = service.ready(service.snapshot(sandbox).file_system_snapshot_id)
    volume = scratch(restore_from_snapshot_id=snapshot.file_system_snapshot_id)
    mount = pb.VolumeMount(volume="data", mount_path="/here", sub_path="d")
    rows = [
        pb.Container(name="first", image="any", primary=True),
        pb.Container(name="second", image="any", volume_mounts=[mount]),
    ]
    wanted = pb.Sandbox(spec=pb.SandboxSpec(containers=rows, volumes=[volume]))
    restored = service.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=wanted))
    service.sandboxes.append(restored.sandbox_id)
    running(service.stub, restored.sandbox_id)
    script = ["sh", "-c", "cat /here/file; echo more > /here/more"]
    request = pb.ExecRequest(sandbox_id=restored.sandbox_id, container="second", command=script)
    assert service.stub.Exec(request).stdout == b"text\n"
    again = service.ready(service.snapshot(restored).file_system_snapshot_id)
    third = service.create(scratch(restore_from_snapshot_id=again.file_system_snapshot_id))
    assert service.sh(third, "cat /data/d/file /data/d/more") == "text\nmore\n"
    # The first one cannot be restored: none of them ever runs.
    small = scratch(size="4Ki", restore_from_snapshot_id=snapshot.file_system_snapshot_id)
    wanted = pb.Sandbox(spec=pb.SandboxSpec(containers=rows, volumes=[small]))
    failed = service.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=wanted))
    service.sandboxes.append(failed.sandbox_id)
    assert failed.status.state == pb.STATE_FAILED
    assert "could not be restored" in failed.status.state_reason


def test_a_repeat_is_the_same_snapshot(service: Service) -> None:
    sandbox = service.create(scratch(), scratch("second"))
    first = service.snapshot(sandbox, request_id="once", scratch_volume_name="data")
    again = service.snapshot(sandbox, request_id="once", scratch_volume_name="data")
    assert first.file_system_snapshot_id == again.file_system_snapshot_id
    service.ready(first.file_system_snapshot_id)
    again = service.snapshot(sandbox, request_id="once", scratch_volume_name="data")
    assert again.file_system_snapshot_id == first.file_system_snapshot_id
    assert again.state == pb.SNAPSHOT_STATE_READY
    assert refusal(
        lambda: service.snapshot(sandbox, request_id="once", scratch_volume_name="second")
    ) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_CONFLICT")
    assert refusal(lambda: service.snapshot(sandbox, request_id="x" * 129))[1] == "INVALID_REQUEST"


def test_which_volume(service: Service) -> None:
    two = service.create(scratch(), scratch("second"))
    assert refusal(lambda: service.snapshot(two))[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert (
        refusal(lambda: service.snapshot(two, scratch_volume_name="third"))[0]
        == grpc.StatusCode.INVALID_ARGUMENT
    )
    unmounted = service.snapshot(two, scratch_volume_name="second")
    service.ready(unmounted.file_system_snapshot_id)
    wanted = pb.Sandbox(spec=pb.SandboxSpec(containers=[pb.Container(image="any")]))
    none = service.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=wanted))
    service.sandboxes.append(none.sandbox_id)
    assert refusal(lambda: service.snapshot(none)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "VOLUME_NOT_SNAPSHOTTABLE",
    )
    none.sandbox_id = "sb-0"
    assert refusal(lambda: service.snapshot(none)) == (
        grpc.StatusCode.NOT_FOUND,
        "SANDBOX_NOT_FOUND",
    )


def test_on_delete(service: Service) -> None:
    """What the main command wrote while it ended is in it, and the record outlives the sandbox."""
    script = "trap 'echo bye > /data/last; exit 0' TERM; echo up > /data/first; sleep 60 & wait"
    mounts = [
        pb.VolumeMount(volume="data", mount_path="/data"),
        pb.VolumeMount(volume="more", mount_path="/more"),
    ]
    main = pb.Container(
        name="main", image="any", command="bash", args=["-c", script], volume_mounts=mounts
    )
    spec = pb.SandboxSpec(containers=[main], volumes=[scratch(), scratch("more")])
    sandbox = service.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec)))
    service.sandboxes.append(sandbox.sandbox_id)
    service.sh(sandbox, "until [ -e /data/first ]; do sleep 0.02; done")
    arguments = {"grace_period_seconds": 30, "request_id": "end"}
    answer = service.delete(sandbox, "more", "data", **arguments)
    assert answer.sandbox.status.state == pb.STATE_TERMINATING
    ids = list(answer.file_system_snapshot_ids)
    first, second = (service.ready(one) for one in ids)
    assert [first.source_volume_name, second.source_volume_name] == ["more", "data"]
    assert {first.trigger, second.trigger} == {pb.SNAPSHOT_TRIGGER_ON_DELETE}
    assert second.source_sandbox_id == sandbox.sandbox_id
    # The same again, now that the sandbox is gone; another request; without a request id.
    assert (
        list(service.delete(sandbox, "more", "data", **arguments).file_system_snapshot_ids) == ids
    )
    assert refusal(lambda: service.delete(sandbox, "data", **arguments)) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "REQUEST_ID_CONFLICT",
    )
    assert refusal(lambda: service.delete(sandbox, "data"))[0] == grpc.StatusCode.NOT_FOUND
    restored = service.create(scratch(restore_from_snapshot_id=ids[1]))
    assert service.sh(restored, "cat /data/first /data/last") == "up\nbye\n"


def test_delete_is_not_begun_if_a_volume_is_not_there(service: Service) -> None:
    sandbox = service.create(scratch())
    for wrong in (("data", "none"), ("data", "data"), tuple(["data"] * 33)):
        code, _ = refusal(lambda wrong=wrong: service.delete(sandbox, *wrong))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert service.sh(sandbox, "echo alive") == "alive\n"
    assert not service.list(source_sandbox_id=sandbox.sandbox_id).file_system_snapshots
    missing = pb.Sandbox(sandbox_id="sb-0")
    assert refusal(lambda: service.delete(missing, "data", allow_missing=True)) == (
        grpc.StatusCode.NOT_FOUND,
        "SANDBOX_NOT_FOUND",
    )


def test_list(service: Service) -> None:
    one, other = (service.create(scratch()) for _ in range(2))
    mine = [service.snapshot(one).file_system_snapshot_id]
    for _ in range(2):
        service.ready(mine[-1])  # no more than two of one sandbox are made at a time
        mine.append(service.snapshot(one).file_system_snapshot_id)
    service.snapshot(other)
    listed, token = [], ""
    while True:
        page = service.list(source_sandbox_id=one.sandbox_id, page_size=2, page_token=token)
        listed += [snapshot.file_system_snapshot_id for snapshot in page.file_system_snapshots]
        token = page.next_page_token
        if not token:
            break
        assert len(page.file_system_snapshots) == 2
        assert refusal(lambda token=token: service.list(page_token=token))[0] == (
            grpc.StatusCode.INVALID_ARGUMENT
        )
    assert listed == mine
    assert len(service.list().file_system_snapshots) >= 4
    assert refusal(lambda: service.list(page_size=-1))[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert refusal(lambda: service.list(page_token="x"))[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_remove(service: Service) -> None:
    """Restored sandboxes keep what they have."""
    sandbox = service.create(scratch())
    service.sh(sandbox, "echo text > /data/file")
    snapshot = service.ready(service.snapshot(sandbox).file_system_snapshot_id)
    volume = scratch(restore_from_snapshot_id=snapshot.file_system_snapshot_id)
    restored = service.create(volume)
    removed = service.remove(snapshot.file_system_snapshot_id)
    assert removed.state == pb.SNAPSHOT_STATE_DELETING
    assert removed.file_system_snapshot_id == snapshot.file_system_snapshot_id
    assert service.sh(restored, "cat /data/file") == "text\n"
    gone = (grpc.StatusCode.NOT_FOUND, "FSS_NOT_FOUND")
    assert refusal(lambda: service.get(snapshot.file_system_snapshot_id)) == gone
    assert refusal(lambda: service.remove(snapshot.file_system_snapshot_id)) == gone
    assert refusal(lambda: service.create(volume)) == gone
    assert service.remove(snapshot.file_system_snapshot_id, allow_missing=True).state == 0
    assert refusal(lambda: service.get(""))[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_too_large_for_the_new_volume(service: Service) -> None:
    sandbox = service.create(scratch(size="16Mi"))
    service.sh(sandbox, "head -c 8M /dev/urandom > /data/file")
    snapshot = service.ready(service.snapshot(sandbox).file_system_snapshot_id)
    small = service.create(
        scratch(size="4Mi", restore_from_snapshot_id=snapshot.file_system_snapshot_id)
    )
    assert small.status.state == pb.STATE_FAILED
    assert "No space left on device" in small.status.state_reason
    assert snapshot.file_system_snapshot_id in small.status.state_reason


@pytest.fixture
def private(short_folder: Path) -> Iterator[tuple[Service, Path]]:
    """A daemon with a data directory, and the folder of its archives."""
    data = short_folder / "data"
    with (
        Daemon(short_folder / "d", arguments=("--data-dir", str(data))) as running,
        grpc.insecure_channel(running.base_url) as channel,
    ):
        yield Service(protos.stubs().SandboxServiceStub(channel)), data / "snapshots"


def test_a_damaged_archive_is_noticed(private: tuple[Service, Path]) -> None:
    service, folder = private
    sandbox = service.create(scratch())
    service.sh(sandbox, "echo text > /data/file")
    snapshot = service.ready(service.snapshot(sandbox).file_system_snapshot_id)
    [archive] = folder.iterdir()
    assert archive.name == f"{snapshot.file_system_snapshot_id}.tar"
    assert archive.stat().st_size == snapshot.size_bytes
    content = bytearray(archive.read_bytes())
    content[content.index(b"text\n")] = ord("T")
    archive.write_bytes(content)
    restored = service.create(scratch(restore_from_snapshot_id=snapshot.file_system_snapshot_id))
    assert restored.status.state == pb.STATE_FAILED
    assert "damaged" in restored.status.state_reason
    archive.unlink()
    assert refusal(
        lambda: service.create(scratch(restore_from_snapshot_id=snapshot.file_system_snapshot_id))
    ) == (grpc.StatusCode.FAILED_PRECONDITION, "FSS_RESTORE_FAILED")


def test_a_full_disk(short_folder: Path, small_disk: Path) -> None:
    """What has no room fails, says so, and leaves nothing; what is there stays."""
    arguments = ("--data-dir", str(small_disk / "data"))
    with (
        Daemon(short_folder / "d", arguments=arguments) as running,
        grpc.insecure_channel(running.base_url) as channel,
    ):
        service = Service(protos.stubs().SandboxServiceStub(channel))
        sandbox = service.create(scratch())
        service.sh(sandbox, "echo text > /data/file")
        small = service.ready(service.snapshot(sandbox).file_system_snapshot_id)
        service.sh(sandbox, "head -c 4M /dev/urandom > /data/large")
        failed = service.finished(service.snapshot(sandbox).file_system_snapshot_id)
        assert failed.state == pb.SNAPSHOT_STATE_FAILED
        assert "No space left on device" in failed.state_reason
        assert failed.size_bytes == 0
        files = [file.name for file in (small_disk / "data" / "snapshots").iterdir()]
        assert files == [f"{small.file_system_snapshot_id}.tar"]
        service.sh(sandbox, "rm /data/large")
        service.ready(service.snapshot(sandbox).file_system_snapshot_id)
        volume = scratch(restore_from_snapshot_id=small.file_system_snapshot_id)
        assert service.sh(service.create(volume), "cat /data/file") == "text\n"


def status_of(process: int) -> dict[str, str]:
    """What the kernel tells of a process; nothing once it is gone."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return {}
    fields = dict(line.split(":\t", 1) for line in text.splitlines())
    return {} if fields["State"].startswith("Z") else fields


def children_of(parent: int) -> list[int]:
    processes = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [one for one in processes if status_of(one).get("PPid") == str(parent)]


def test_nothing_goes_on_after_a_kill(short_folder: Path) -> None:
    """Also what does not notice by itself that nobody waits for it."""
    with (
        Daemon(short_folder / "d") as running,
        grpc.insecure_channel(running.base_url) as channel,
    ):
        service = Service(protos.stubs().SandboxServiceStub(channel))
        sandbox = service.create(scratch())
        service.sh(sandbox, "truncate -s 2E /data/endless")
        service.snapshot(sandbox)

        def confined() -> list[int]:
            return [
                child
                for process in children_of(running.pid)
                if status_of(process).get("Name") == "cwsandbox-archi"
                for child in children_of(process)
                if status_of(child).get("Seccomp") == "2"
            ]

        eventually(confined, "the archive is in the making")
        (child,) = confined()
        os.kill(child, signal.SIGSTOP)
        running.kill()
        try:
            eventually(lambda: not status_of(child), "its last process is gone")
        except AssertionError:
            os.kill(child, signal.SIGKILL)
            raise


def test_after_a_restart(short_folder: Path) -> None:
    """What was READY is there, also after kill -9; what was in the making has failed."""
    data = short_folder / "data"
    arguments = ("--data-dir", str(data))
    daemon = Daemon(short_folder / "d", arguments=arguments).start()
    with grpc.insecure_channel(daemon.base_url) as channel:
        service = Service(protos.stubs().SandboxServiceStub(channel))
        sandbox = service.create(scratch())
        service.sh(sandbox, "echo text > /data/file")
        snapshot = service.ready(service.snapshot(sandbox).file_system_snapshot_id)
        # They wait for content that never comes to an end.
        service.sh(sandbox, "truncate -s 2E /data/endless")
        unfinished = [service.snapshot(sandbox).file_system_snapshot_id for _ in range(2)]
        daemon.kill()
    left_over = f"fss-{0:016x}.tar"
    for name in (left_over, f".{left_over}", "stranger", f"{left_over}.bak"):
        (data / "snapshots" / name).write_text("content")
    with (
        Daemon(short_folder / "d", arguments=arguments) as again,
        grpc.insecure_channel(again.base_url) as channel,
    ):
        service = Service(protos.stubs().SandboxServiceStub(channel))
        assert service.get(snapshot.file_system_snapshot_id) == snapshot
        for one in unfinished:
            failed = service.get(one)
            assert failed.state == pb.SNAPSHOT_STATE_FAILED
            assert "the daemon ended" in failed.state_reason
            volume = scratch(restore_from_snapshot_id=one)
            assert refusal(lambda volume=volume: service.create(volume)) == (
                grpc.StatusCode.FAILED_PRECONDITION,
                "FSS_NOT_READY",
            )
        assert {file.name for file in (data / "snapshots").iterdir()} == {
            f"{snapshot.file_system_snapshot_id}.tar",
            "stranger",
            f"{left_over}.bak",
        }
        volume = scratch(restore_from_snapshot_id=snapshot.file_system_snapshot_id)
        assert service.sh(service.create(volume), "cat /data/file") == "text\n"


def test_a_hostile_tree(service: Service) -> None:
    """It fails by itself, with a reason that is fit to be shown, and nothing else is concerned."""
    sandbox = service.create(scratch(size="64Mi"))
    deep = "import os; os.chdir('/data')\nfor _ in range(600): os.mkdir('d'); os.chdir('d')"
    service.sh(sandbox, f'python3 -c "{deep}"')
    failed = service.finished(service.snapshot(sandbox).file_system_snapshot_id)
    assert failed.state == pb.SNAPSHOT_STATE_FAILED
    assert "nested too deeply" in failed.state_reason
    # An end in the middle of it: the volume is held for as long as it takes.
    service.sh(sandbox, "rm -rf /data/d; for i in $(seq 2000); do echo $i > /data/$i; done")
    begun = service.snapshot(sandbox)
    service.delete(sandbox)
    snapshot = service.ready(begun.file_system_snapshot_id)
    volume = scratch(size="64Mi", restore_from_snapshot_id=snapshot.file_system_snapshot_id)
    assert service.sh(service.create(volume), "ls /data | wc -l; cat /data/2000") == "2000\n2000\n"


def test_one_sandbox_does_not_hold_up_another(private: tuple[Service, Path]) -> None:
    service, _ = private
    hostile, other = service.create(scratch()), service.create(scratch())
    service.sh(hostile, "truncate -s 2E /data/endless")
    made = [service.snapshot(hostile).file_system_snapshot_id for _ in range(2)]
    service.ready(service.snapshot(other).file_system_snapshot_id)
    assert {service.get(one).state for one in made} == {pb.SNAPSHOT_STATE_CREATING}
    for one in made:
        service.remove(one)


def test_an_archive_without_progress_gives_way(private: tuple[Service, Path]) -> None:
    """Both turns are held by volumes that nobody could ever read."""
    service, folder = private
    hostile = [service.create(scratch()) for _ in range(2)]
    for sandbox in hostile:
        service.sh(sandbox, "truncate -s 2E /data/endless")
    other = service.create(scratch())
    held = [service.snapshot(sandbox).file_system_snapshot_id for sandbox in hostile]
    service.ready(service.snapshot(other).file_system_snapshot_id)
    for one in held:
        failed = service.finished(one)
        assert failed.state == pb.SNAPSHOT_STATE_FAILED
        assert "no progress: less than 1024 KiB" in failed.state_reason
    assert len(list(folder.iterdir())) == 1


def refusal_to_wait(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    """The status and the reason of a refusal that says when to try again."""
    with pytest.raises(grpc.RpcError) as refused:
        call()
    retry = error_details_pb2.RetryInfo()
    status = rpc_status.from_call(refused.value)
    assert status is not None
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.seconds > 0
    return refusal(call)


def test_limits(private: tuple[Service, Path]) -> None:
    """So many wait at a time, two of each sandbox; one that is removed in the middle leaves nothing."""
    service, folder = private
    made: list[str] = []
    for _ in range(17):
        sandbox = service.create(scratch())
        service.sh(sandbox, "truncate -s 2E /data/endless")
        made += [service.snapshot(sandbox).file_system_snapshot_id for _ in range(2)]
    assert refusal_to_wait(lambda: service.snapshot(sandbox)) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "FSS_INFLIGHT_LIMIT",
    )
    another = service.create(scratch())
    assert refusal_to_wait(lambda: service.snapshot(another)) == (
        grpc.StatusCode.UNAVAILABLE,
        "FSS_INFLIGHT_LIMIT",
    )
    assert len(list(folder.iterdir())) == 2
    for one in made:
        service.remove(one)
    assert not list(folder.iterdir())
    assert not service.list().file_system_snapshots
