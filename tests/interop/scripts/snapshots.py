"""Volumes and snapshots with the published SDK: run by tests/interop/test_snapshots.py, one function a process."""

from __future__ import annotations

import sys
import time

from cwsandbox import FileSystemSnapshotOptions, Sandbox, ScratchVolumeOptions
from cwsandbox.exceptions import SnapshotNotFoundError, SnapshotOnStopConflictError

DATA = ScratchVolumeOptions(name="data", mount_path="/data", size="32Mi")


def sh(sandbox: Sandbox, script: str) -> str:
    result = sandbox.exec(["sh", "-c", script]).result()
    assert result.returncode == 0, result.stderr
    return result.stdout


def taken_and_restored() -> None:
    with Sandbox.run(volumes=[DATA]) as sandbox:
        sh(sandbox, "echo one > /data/file; ln -s nowhere /data/dangling; mkfifo /data/fifo")
        snapshot_id = sandbox.snapshot().result()
        sh(sandbox, "echo later > /data/later")
        source = sandbox.sandbox_id
    snapshot = Sandbox.get_snapshot(snapshot_id).result()
    assert snapshot.status == "ready", snapshot
    assert snapshot.trigger == "manual", snapshot
    assert snapshot.source_sandbox_id == source
    assert snapshot.source_volume_name == "data"
    assert snapshot.size_bytes > 0
    restored = FileSystemSnapshotOptions(mount_path="/w", file_system_snapshot_id=snapshot_id)
    with Sandbox.run(file_system_snapshot=restored) as sandbox:
        assert sh(sandbox, "cat /w/file; ls -A /w") == "one\ndangling\nfifo\nfile\n"
    listed = Sandbox.list_snapshots(source_sandbox_id=source, status="ready").result()
    assert [one.file_system_snapshot_id for one in listed] == [snapshot_id]
    Sandbox.delete_snapshot(snapshot_id).result()
    Sandbox.delete_snapshot(snapshot_id, missing_ok=True).result()
    for call in (Sandbox.get_snapshot, Sandbox.delete_snapshot):
        try:
            call(snapshot_id).result()
        except SnapshotNotFoundError:
            pass
        else:
            raise AssertionError("the snapshot is still there")


def on_stop() -> None:
    sandbox = Sandbox.run(volumes=[DATA])
    sh(sandbox, "echo kept > /data/file")
    sandbox.stop(snapshot_on_stop=True, missing_ok=True).result()
    snapshot_id = sandbox.file_system_snapshot_id
    assert snapshot_id
    assert Sandbox.get_snapshot(snapshot_id).result().trigger == "on_delete"
    volume = ScratchVolumeOptions(
        name="again", mount_path="/again", restore_from_snapshot_id=snapshot_id
    )
    with Sandbox.run(volumes=[volume]) as restored:
        assert sh(restored, "cat /again/file") == "kept\n"


def conflict() -> None:
    sandbox = Sandbox.run(volumes=[DATA])
    sandbox_id = sandbox.sandbox_id
    sh(sandbox, "true")
    Sandbox.delete(sandbox_id).result()
    other = Sandbox.from_id(sandbox_id).result()
    while other.get_status() not in ("terminated", "completed"):
        time.sleep(0.02)
    try:
        sandbox.stop(snapshot_on_stop=True, missing_ok=True).result()
    except SnapshotOnStopConflictError:
        return
    raise AssertionError("a sandbox that is gone was saved")


globals()[sys.argv[1]]()
