"""Snapshots: our client against a grpcio server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from conformance import protos
from conformance.grpc_peer import GrpcPeer
from cwsandbox import (
    AuthHeaders,
    FileSystemSnapshotBucketConfig,
    FileSystemSnapshotBucketMode,
    FileSystemSnapshotStatus,
    Sandbox,
    SandboxSnapshotError,
    SnapshotNotFoundError,
    SnapshotOnStopConflictError,
)

VOLUMES = [{"name": "a", "mount_path": "/a"}, {"name": "b", "mount_path": "/b"}]


class Snapshots:
    """Keeps records, which are ready at the second look."""

    def __init__(self, peer: GrpcPeer) -> None:
        self.pb = peer.pb
        self.records: dict[str, Any] = {}
        self.requests: list[Any] = []
        self.config = protos.messages("settings").FileSystemSnapshotBucketConfig(mode=1)
        methods: dict[str, Callable[[Any, Any], Any]] = {
            "CreateFileSystemSnapshot": self.create,
            "GetFileSystemSnapshot": self.get,
            "ListFileSystemSnapshots": self.list,
            "DeleteFileSystemSnapshot": self.delete,
            "GetFileSystemSnapshotBucketConfig": self.bucket,
            "UpdateFileSystemSnapshotBucketConfig": self.set_bucket,
        }
        peer.overrides.update(methods)

    def add(self, sandbox_id: str) -> Any:
        made = self.pb.FileSystemSnapshot(
            file_system_snapshot_id=f"fss-{len(self.records)}",
            state=self.pb.SNAPSHOT_STATE_CREATING,
            source_sandbox_id=sandbox_id,
        )
        self.records[made.file_system_snapshot_id] = made
        return made

    async def create(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.add(request.sandbox_id)

    async def get(self, request: Any, context: Any) -> Any:
        record = self.records.get(request.file_system_snapshot_id)
        if record is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such snapshot")
        answer = self.pb.FileSystemSnapshot()
        answer.CopyFrom(record)
        assert record is not None
        record.state = self.pb.SNAPSHOT_STATE_READY
        return answer

    async def list(self, request: Any, context: Any) -> Any:
        return self.pb.ListFileSystemSnapshotsResponse(file_system_snapshots=self.records.values())

    async def delete(self, request: Any, context: Any) -> Any:
        record = self.records.pop(request.file_system_snapshot_id, None)
        if record is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such snapshot")
        return record

    async def bucket(self, request: Any, context: Any) -> Any:
        return self.config

    async def set_bucket(self, request: Any, context: Any) -> Any:
        assert request.HasField("file_system_snapshot_bucket_config")
        self.config = request.file_system_snapshot_bucket_config
        self.config.mode = 2 if self.config.bucket_name else 1
        return self.config


@pytest.fixture
def snapshots(grpc_peer: GrpcPeer) -> Snapshots:
    return Snapshots(grpc_peer)


def test_a_snapshot_from_its_making_to_its_end(grpc_peer: GrpcPeer, snapshots: Snapshots) -> None:
    with Sandbox.run(volumes=VOLUMES[:1]) as sandbox:
        made = sandbox.snapshot().result()
        assert [one.scratch_volume_name for one in snapshots.requests] == ["a"]
        sandbox_id = sandbox.sandbox_id
    record = Sandbox.get_snapshot(made, auth=AuthHeaders({"x-key": "1"}, "mine")).result()
    assert (record.status, record.source_sandbox_id) == (FileSystemSnapshotStatus.READY, sandbox_id)
    assert ("x-key", "1") in grpc_peer.metadata["GetFileSystemSnapshot"][-1]
    snapshots.add("another")
    find = Sandbox.list_snapshots
    assert len(find().result()) == 2
    assert find(source_sandbox_id=sandbox_id, status="ready").result() == [record]
    assert find(source_sandbox_id=sandbox_id, status="failed").result() == []
    Sandbox.delete_snapshot(made).result()
    Sandbox.delete_snapshot(made, missing_ok=True).result()
    for operation in (Sandbox.delete_snapshot(made), Sandbox.get_snapshot(made)):
        with pytest.raises(SnapshotNotFoundError) as raised:
            operation.result()
        assert raised.value.file_system_snapshot_id == made


def test_the_bucket(snapshots: Snapshots) -> None:
    own = Sandbox.set_snapshot_bucket_config(bucket_name="mine", region="eu").result()
    assert own == FileSystemSnapshotBucketConfig(
        mode=FileSystemSnapshotBucketMode.BRING_YOUR_OWN, bucket_name="mine", region="eu"
    )
    assert Sandbox.get_snapshot_bucket_config().result() == own
    theirs = Sandbox.set_snapshot_bucket_config(bucket_name="").result()
    assert theirs.mode is FileSystemSnapshotBucketMode.CW_MANAGED


def test_a_stop_that_saves(grpc_peer: GrpcPeer, snapshots: Snapshots) -> None:
    sent = []
    plainly = grpc_peer._delete

    async def delete(request: Any, context: Any) -> Any:
        sent.append(request)
        answer = await plainly(request, context)
        ids = [
            snapshots.add(request.sandbox_id).file_system_snapshot_id
            for _ in request.snapshot_volumes
        ]
        answer.file_system_snapshot_ids.extend(ids)
        return answer

    grpc_peer.overrides["DeleteSandbox"] = delete
    sandbox = Sandbox.run(volumes=VOLUMES)
    assert sandbox.file_system_snapshot_id is None
    sandbox.stop(snapshot_on_stop=True, request_id="key").result()
    assert sandbox.file_system_snapshot_id == "fss-0"
    sandbox.stop(snapshot_on_stop=True).result()
    assert [[*one.snapshot_volumes] for one in sent] == [["a", "b"]]
    assert sent[0].request_id == "key"

    plain = Sandbox.run(volumes=VOLUMES)
    plain.stop().result()
    with pytest.raises(SnapshotOnStopConflictError):
        plain.stop(snapshot_on_stop=True).result()

    none = Sandbox.run()
    with pytest.raises(SandboxSnapshotError, match="no known scratch volumes"):
        none.stop(snapshot_on_stop=True).result()
    none.stop().result()
