"""What the daemon knows of sandboxes outlives it, and a disk that is full loses nothing of it."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from conformance import protos
from conformance.small_disk import fill
from integration.env import Daemon, eventually

pb = protos.messages()
KEEP_ALIVE = ["-c", 'trap "exit 0" TERM INT; sleep infinity & wait']


@pytest.fixture
def daemon(short_folder: Path) -> Iterator[Daemon]:
    """Not started yet."""
    with contextlib.ExitStack() as stack:
        made = Daemon(short_folder / "d", arguments=("--data-dir", str(short_folder / "data")))
        stack.push(made)
        yield made


@contextlib.contextmanager
def stub_of(daemon: Daemon) -> Iterator[Any]:
    with grpc.insecure_channel(daemon.base_url) as channel:
        yield protos.stubs().SandboxServiceStub(channel)


def request(*words: str, request_id: str = "", **fields: Any) -> Any:
    container = pb.Container(name="main", image="python:3.11")
    if words:
        container.command, container.args[:] = words[0], words[1:]
    sandbox = pb.Sandbox(
        display_name="shown", spec=pb.SandboxSpec(containers=[container], **fields)
    )
    return pb.CreateSandboxRequest(sandbox=sandbox, request_id=request_id)


def create(stub: Any, *words: str, **fields: Any) -> Any:
    return stub.CreateSandbox(request(*words, **fields), wait_for_ready=True)


def get(stub: Any, sandbox_id: str) -> Any:
    return stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=sandbox_id), wait_for_ready=True)


def await_state(stub: Any, sandbox_id: str, state: int) -> Any:
    eventually(lambda: get(stub, sandbox_id).status.state == state, f"state {state}")
    return get(stub, sandbox_id)


def delete(stub: Any, sandbox_id: str) -> None:
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=sandbox_id, grace_period_seconds=300))


def all_of(stub: Any) -> list[str]:
    listed = stub.ListSandboxes(pb.ListSandboxesRequest(show_terminated=True, page_size=1000))
    return [sandbox.sandbox_id for sandbox in listed.sandboxes]


def reason_of(error: grpc.RpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(error).details[0].Unpack(info)
    return str(info.reason)


def test_records_outlive_a_kill(daemon: Daemon) -> None:
    with stub_of(daemon.start()) as stub:
        ended = create(stub, "sh", "-c", "exit 3", tags=["ended"], request_id="one")
        lives = create(stub, "sh", *KEEP_ALIVE, tags=["lives"], request_id="two")
        lives = await_state(stub, lives.sandbox_id, pb.STATE_RUNNING)
        stopping = create(stub, "sh", "-c", "trap '' TERM; sleep 300", request_id="three")
        deleted = create(stub)
        await_state(stub, deleted.sandbox_id, pb.STATE_RUNNING)
        before = await_state(stub, ended.sandbox_id, pb.STATE_FAILED)
        delete(stub, deleted.sandbox_id)
        await_state(stub, deleted.sandbox_id, pb.STATE_COMPLETED)
        delete(stub, stopping.sandbox_id)
    daemon.kill()
    for _ in range(2):  # the second start finds what the first one wrote
        with stub_of(daemon.start()) as stub:
            assert get(stub, ended.sandbox_id) == before
            assert before.status.exit_code == 3
            lost = get(stub, lives.sandbox_id)
            assert lost.status.state == pb.STATE_FAILED
            assert not lost.status.HasField("exit_code")
            assert lost.status.state_reason == "the daemon that ran it ended unexpectedly"
            assert lost.status.start_time == lives.status.start_time
            assert lost.status.end_time.seconds > 0
            assert lost.spec == lives.spec
            assert lost.display_name == "shown"
            assert get(stub, stopping.sandbox_id).status.state == pb.STATE_TERMINATED
            order = [ended.sandbox_id, lives.sandbox_id, stopping.sandbox_id, deleted.sandbox_id]
            assert all_of(stub) == order
            again = create(stub, "sh", *KEEP_ALIVE, tags=["lives"], request_id="two")
            assert again.sandbox_id == lives.sandbox_id
            with pytest.raises(grpc.RpcError) as conflict:
                create(stub, "sh", *KEEP_ALIVE, tags=["other"], request_id="two")
            assert conflict.value.code() == grpc.StatusCode.ALREADY_EXISTS
            with pytest.raises(grpc.RpcError) as gone:
                delete(stub, deleted.sandbox_id)
            assert gone.value.code() == grpc.StatusCode.NOT_FOUND
            logs = stub.StreamLogs(pb.StreamLogsRequest(sandbox_id=ended.sandbox_id))
            assert b"".join(entry.data for entry in logs) == b""
        daemon.stop()


def test_a_stop_in_good_order_is_told_so(daemon: Daemon) -> None:
    with stub_of(daemon.start()) as stub:
        first = create(stub, "sh", *KEEP_ALIVE)
    daemon.stop()
    with stub_of(daemon.start()) as stub:
        ended = get(stub, first.sandbox_id)
        assert ended.status.state == pb.STATE_TERMINATED
        assert ended.status.state_reason == "the daemon was stopped"
        second = create(stub)
        assert all_of(stub) == [first.sandbox_id, second.sandbox_id]


def test_contents_of_files_are_not_kept(daemon: Daemon) -> None:
    wanted = request("grep", "-q", "caller", "/f")
    wanted.sandbox.spec.containers[0].files.add(path="/f", content=b"a secret of the caller")
    with stub_of(daemon.start()) as stub:
        made = stub.CreateSandbox(wanted, wait_for_ready=True)
        ended = await_state(stub, made.sandbox_id, pb.STATE_COMPLETED)
    daemon.kill()
    data = daemon.folder.parent / "data"
    kept_files = [file for file in data.rglob("*") if file.is_file()]
    assert not any(b"a secret" in file.read_bytes() for file in kept_files)
    with stub_of(daemon.start()) as stub:
        assert get(stub, made.sandbox_id) == ended


# ---- full disks ------------------------------------------------------------------------------


def refusal_of_create(stub: Any) -> Any:
    """The last page of the log may have room for a few."""
    for number in range(100):
        try:
            create(stub, "true", annotations={"x": "y" * 4000}, request_id=f"{number}")
        except grpc.RpcError as error:
            return error
    raise AssertionError("a full disk took everything")


def test_a_full_disk_loses_nothing(short_folder: Path, small_disk: Path) -> None:
    with Daemon(short_folder / "d", arguments=("--data-dir", str(small_disk / "data"))) as daemon:
        with stub_of(daemon) as stub:
            early = create(stub, "sh", *KEEP_ALIVE)
            other = create(stub, "sh", "-c", "read line; exit 7", request_id="other")
            stopper = fill(small_disk)
            for error in (refusal_of_create(stub), refusal_of_create(stub)):
                assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                assert reason_of(error) == "CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED"
                assert "full" in str(error.details())
            known = all_of(stub)
            delete(stub, early.sandbox_id)
            await_state(stub, early.sandbox_id, pb.STATE_COMPLETED)
            stopper.unlink()
            late = create(stub, "true")
            eventually(
                lambda: kept(daemon, small_disk / "data", early.sandbox_id) == pb.STATE_COMPLETED,
                "what could not be written is written",
            )
        daemon.kill()
        with stub_of(daemon.start()) as stub:
            assert all_of(stub) == [*known, late.sandbox_id]
            assert get(stub, early.sandbox_id).status.state == pb.STATE_COMPLETED
            assert get(stub, early.sandbox_id).status.state_reason == "deleted"
            assert get(stub, other.sandbox_id).status.exit_code in (0, 7)
            with pytest.raises(grpc.RpcError) as gone:
                delete(stub, early.sandbox_id)
            assert gone.value.code() == grpc.StatusCode.NOT_FOUND


def refusals(make: Callable[[int], object]) -> Iterator[grpc.RpcError]:
    """The last page of the log may have room for a few."""
    for number in range(100):
        try:
            make(number)
        except grpc.RpcError as error:
            yield error


def test_a_full_disk_loses_no_template_and_no_volume(short_folder: Path, small_disk: Path) -> None:
    tb, vb = protos.messages("sandbox_template"), protos.messages("volume")
    claim = vb.PvcVolumeSource(
        runner_id=f"local-{socket.gethostname()}", namespace="team", claim_name="data"
    )

    with Daemon(short_folder / "d", arguments=("--data-dir", str(small_disk / "data"))) as daemon:

        def template(channel: grpc.Channel, name: str) -> None:
            spec = pb.PartialSandboxSpec(annotations={"x": "y" * 4000})
            made = tb.SandboxTemplate(display_name=name, spec=spec)
            service = protos.stubs("sandbox_template").SandboxTemplateServiceStub(channel)
            service.CreateSandboxTemplate(tb.CreateSandboxTemplateRequest(sandbox_template=made))

        def volume(channel: grpc.Channel, name: str) -> None:
            spec = vb.VolumeSpec(pvc=claim, description="y" * 1000)
            made = vb.CreateVolumeRequest(volume=vb.Volume(volume_id=name, spec=spec))
            protos.stubs("volume").VolumeServiceStub(channel).CreateVolume(made)

        def names(channel: grpc.Channel) -> tuple[list[str], list[str]]:
            templates = protos.stubs("sandbox_template").SandboxTemplateServiceStub(channel)
            volumes = protos.stubs("volume").VolumeServiceStub(channel)
            found = templates.ListSandboxTemplates(
                tb.ListSandboxTemplatesRequest(page_size=200), wait_for_ready=True
            )
            kept = volumes.ListVolumes(vb.ListVolumesRequest(page_size=200))
            return (
                sorted(one.display_name for one in found.sandbox_templates),
                sorted(one.volume_id for one in kept.volumes),
            )

        with grpc.insecure_channel(daemon.base_url) as channel:
            template(channel, "early")
            volume(channel, "early")
            stopper = fill(small_disk)
            for make in (template, volume):
                error = next(refusals(lambda number, make=make: make(channel, f"late-{number}")))
                assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                assert reason_of(error) == "CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED"
            acknowledged = names(channel)
            assert "early" in acknowledged[0]
            assert "early" in acknowledged[1]
            daemon.kill()
        stopper.unlink()
        with grpc.insecure_channel(daemon.start().base_url) as channel:
            assert names(channel) == acknowledged
            template(channel, "after")
            volume(channel, "after")


def kept(daemon: Daemon, data: Path, sandbox_id: str) -> int | None:
    """The state of a sandbox in a copy of the database, which the daemon has for itself."""
    copy = daemon.folder / "copy"
    copy.mkdir(exist_ok=True)
    for name in ("cwsandboxd.db", "cwsandboxd.db-wal"):
        (copy / name).write_bytes((data / name).read_bytes())
    with contextlib.closing(sqlite3.connect(copy / "cwsandboxd.db")) as database:
        rows = database.execute("SELECT state FROM sandboxes WHERE id = ?", (sandbox_id,))
        row = rows.fetchone()
        return None if row is None else int(row[0])


def test_a_limit_on_file_sizes_is_a_full_disk(daemon: Daemon) -> None:
    """For those who cannot mount: RLIMIT_FSIZE."""
    with stub_of(daemon.start()) as stub:
        early = create(stub, "sh", *KEEP_ALIVE)
        usual = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (1, usual[1]))
        with pytest.raises(grpc.RpcError) as refused:
            create(stub, "true", request_id="again")
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert all_of(stub) == [early.sandbox_id]
        delete(stub, early.sandbox_id)
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, usual)
        again = create(stub, "true", request_id="again")
    daemon.stop()
    with stub_of(daemon.start()) as stub:
        assert all_of(stub) == [early.sandbox_id, again.sandbox_id]
        assert get(stub, early.sandbox_id).status.state_reason == "deleted"


def test_a_disk_that_stays_full_is_told(daemon: Daemon) -> None:
    with stub_of(daemon.start()) as stub:
        lives = create(stub, "sh", *KEEP_ALIVE)
        usual = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
        # The log of the database has more already, and what is said on stderr less.
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (8192, usual[1]))
    daemon.stop()
    assert f"cannot be written to {daemon.folder.parent / 'data'}" in daemon.stderr
    with stub_of(daemon.start()) as stub:
        ended = get(stub, lives.sandbox_id)
        assert ended.status.state == pb.STATE_FAILED
        assert ended.status.state_reason == "the daemon that ran it ended unexpectedly"


# ---- files that cannot be used ---------------------------------------------------------------


def refusal(daemon: Daemon) -> str:
    with pytest.raises(AssertionError, match="did not become ready"):
        daemon.start()
    return daemon.stderr.splitlines()[-1]


def test_the_directory_is_one_daemons(daemon: Daemon, short_folder: Path) -> None:
    daemon.start()
    other = Daemon(short_folder / "other", arguments=("--data-dir", str(short_folder / "data")))
    assert "in use by another cwsandboxd" in refusal(other)


@pytest.mark.parametrize("name", ["snapshots", "logs"])
def test_folders_that_others_may_enter_are_refused(
    daemon: Daemon, short_folder: Path, name: str
) -> None:
    daemon.start()
    daemon.stop()
    folder = short_folder / "data" / name
    folder.chmod(0o750)
    said = refusal(daemon)
    assert str(folder) in said
    assert "mode 0700, not 0750" in said
    folder.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(folder, 12345, 12345)
        assert str(folder) in refusal(daemon)
        os.chown(folder, 0, 0)
    daemon.start()


def test_files_that_cannot_be_used_are_left_alone(daemon: Daemon, short_folder: Path) -> None:
    with stub_of(daemon.start()) as stub:
        create(stub)
    daemon.stop()
    file = short_folder / "data" / "cwsandboxd.db"
    good = file.read_bytes()
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 1000")
    newer = file.read_bytes()
    for bad, why in (
        (newer, "newer cwsandboxd"),
        (good[:5000], "cut off"),
        (good[:-1], "cut off"),
        (good[:1], "no database is that short"),
        (b"", "it is empty"),
        (b"no database" * 99, ""),
    ):
        file.write_bytes(bad)
        said = refusal(daemon)
        assert why in said
        assert str(file) in said
        assert "left as it is" in said
        assert file.read_bytes() == bad
    file.unlink()
    assert "it is missing" in refusal(daemon)
    assert not file.exists()
    file.write_bytes(good)
    with stub_of(daemon.start()) as stub:
        assert len(all_of(stub)) == 1
