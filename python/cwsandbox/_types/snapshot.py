"""Saved copies of scratch volumes, and where they are kept."""

from __future__ import annotations

# What makes a dataclass looks into typing if that is there, also while another thread still loads it.
import typing  # noqa: F401
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique

from cwsandbox._types.enums import numbered


@unique
class FileSystemSnapshotStatus(StrEnum):
    """Where a snapshot is in its life. Only one that is ready can be restored."""

    UNSPECIFIED = "unspecified"
    CREATING = "creating"
    READY = "ready"
    FAILED = "failed"
    DELETING = "deleting"


@unique
class FileSystemSnapshotTrigger(StrEnum):
    """What a snapshot was taken by: ``Sandbox.snapshot()``, or the end of its sandbox."""

    UNSPECIFIED = "unspecified"
    ON_DELETE = "on_delete"
    MANUAL = "manual"


@unique
class FileSystemSnapshotBucketMode(StrEnum):
    """Whose bucket the snapshots are kept in."""

    UNSPECIFIED = "unspecified"
    CW_MANAGED = "cw_managed"
    BRING_YOUR_OWN = "bring_your_own"


numbered(*FileSystemSnapshotStatus)
numbered(
    FileSystemSnapshotTrigger.UNSPECIFIED,
    FileSystemSnapshotTrigger.MANUAL,
    FileSystemSnapshotTrigger.ON_DELETE,
)
numbered(*FileSystemSnapshotBucketMode)


@dataclass(frozen=True, kw_only=True)
class FileSystemSnapshot:
    """The record of one snapshot. ``Sandbox.get_snapshot()`` and ``Sandbox.list_snapshots()`` give them.

    - ``file_system_snapshot_id``: its id, which ``ScratchVolumeOptions`` and ``FileSystemSnapshotOptions`` take.
    - ``status``: where it is in its life.
    - ``status_reason``: the service's explanation of that.
    - ``size_bytes``: how large the saved copy is. 0 until the snapshot is ready.
    - ``source_sandbox_id``: the sandbox that it was taken of.
    - ``trigger``: what it was taken by. Default: not known.
    - ``request_id``: the key that it was asked for with.
    - ``object_bucket``: where it is kept.
    - ``source_volume_name``: the scratch volume that it is a copy of.
    - ``created_at``: when it was asked for, in UTC. None if the service did not say.
    - ``updated_at``: when the record changed last.
    - ``completed_at``: when it was ready or had failed.
    """

    file_system_snapshot_id: str
    status: FileSystemSnapshotStatus
    status_reason: str = ""
    size_bytes: int = 0
    source_sandbox_id: str = ""
    trigger: FileSystemSnapshotTrigger = FileSystemSnapshotTrigger.UNSPECIFIED
    request_id: str = ""
    object_bucket: str = ""
    source_volume_name: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    completed_at: datetime | None = None

    def __repr__(self) -> str:
        shown = [
            f"file_system_snapshot_id={self.file_system_snapshot_id!r}",
            f"status={self.status}",
        ]
        for name in ("size_bytes", "source_sandbox_id", "status_reason"):
            if value := getattr(self, name):
                shown.append(f"{name}={value!r}")
        return f"FileSystemSnapshot({', '.join(shown)})"


@dataclass(frozen=True, kw_only=True)
class FileSystemSnapshotBucketConfig:
    """Where the organization's snapshots are kept.

    - ``mode``: in a bucket that the service manages, or in the organization's own. Default: not known.
    - ``bucket_name``: the organization's own bucket. Empty: the service's.
    - ``region``: the region of that bucket.
    - ``effective_bucket_name``: the bucket in use.
    """

    mode: FileSystemSnapshotBucketMode = FileSystemSnapshotBucketMode.UNSPECIFIED
    bucket_name: str = ""
    region: str = ""
    effective_bucket_name: str = ""
