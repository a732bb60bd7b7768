"""Snapshots: the public values that the service's answers are shown as, and the volumes they are taken of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox._messages.echo import utc
from cwsandbox._types.enums import member
from cwsandbox._types.snapshot import (
    FileSystemSnapshot,
    FileSystemSnapshotBucketConfig,
    FileSystemSnapshotBucketMode,
    FileSystemSnapshotStatus,
    FileSystemSnapshotTrigger,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    Message = Mapping[str, Any]


def snapshot(message: Message) -> FileSystemSnapshot:
    """The public value of a FileSystemSnapshot."""
    return FileSystemSnapshot(
        file_system_snapshot_id=message["file_system_snapshot_id"],
        status=status(message),
        status_reason=message["state_reason"],
        size_bytes=message["size_bytes"],
        source_sandbox_id=message["source_sandbox_id"],
        trigger=member(FileSystemSnapshotTrigger, message["trigger"])
        or FileSystemSnapshotTrigger.UNSPECIFIED,
        request_id=message["request_id"],
        object_bucket=message["object_bucket"],
        source_volume_name=message["source_volume_name"],
        created_at=utc(message.get("create_time")),
        updated_at=utc(message.get("updated_at")),
        completed_at=utc(message.get("complete_time")),
    )


def status(message: Message) -> FileSystemSnapshotStatus:
    """The state in a FileSystemSnapshot; unspecified for one that is not known here."""
    found = member(FileSystemSnapshotStatus, message["state"])
    return found or FileSystemSnapshotStatus.UNSPECIFIED


def bucket_config(message: Message) -> FileSystemSnapshotBucketConfig:
    """The public value of a FileSystemSnapshotBucketConfig."""
    return FileSystemSnapshotBucketConfig(
        mode=member(FileSystemSnapshotBucketMode, message["mode"])
        or FileSystemSnapshotBucketMode.UNSPECIFIED,
        bucket_name=message["bucket_name"],
        region=message["region"],
        effective_bucket_name=message["effective_bucket_name"],
    )
