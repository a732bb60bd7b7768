"""Volumes of a sandbox and where its containers see them."""

from __future__ import annotations

# What makes a dataclass looks into typing if that is there, also while another thread still loads it.
import typing  # noqa: F401
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cwsandbox._types import check
from cwsandbox._types.coerce import instance
from cwsandbox._types.enums import StorageMedium


@dataclass(frozen=True, kw_only=True)
class ScratchVolumeOptions:
    """A volume that lives as long as the sandbox.

    - ``name``: by which ``VolumeMount`` refers to it.
    - ``mount_path``: an absolute path where the (primary) container sees it. Default: it is only declared, for
      ``Container.volume_mounts``.
    - ``size``: a quantity such as "10Gi". Default: the platform's.
    - ``restore_from_snapshot_id``: the snapshot to fill it from. Default: it is empty.
    - ``medium``: "disk" or "memory". Default: the platform's.
    - ``sub_path``: the folder of the volume that is mounted, as a relative path. Default: all of it.
    - ``read_only``: whether it can only be read there.
    """

    name: str
    mount_path: str | None = None
    size: str | None = None
    restore_from_snapshot_id: str | None = None
    medium: StorageMedium | str | None = None
    sub_path: str | None = None
    read_only: bool = False

    def __post_init__(self) -> None:
        check.text(self.name, "ScratchVolumeOptions.name")
        if self.mount_path is not None:
            check.mount_path(self.mount_path, "ScratchVolumeOptions.mount_path")
        for name in ("size", "restore_from_snapshot_id"):
            value = check.optional_text(getattr(self, name), f"ScratchVolumeOptions.{name}")
            object.__setattr__(self, name, value)
        if self.medium is not None:
            medium = check.choice(self.medium, StorageMedium, "ScratchVolumeOptions.medium")
            object.__setattr__(self, "medium", medium)
        object.__setattr__(
            self, "sub_path", check.sub_path(self.sub_path, "ScratchVolumeOptions.sub_path")
        )
        check.boolean(self.read_only, "ScratchVolumeOptions.read_only")


@dataclass(frozen=True, kw_only=True)
class RegisteredVolumeOptions:
    """A mount of a volume that is registered with the service.

    - ``name``: by which ``VolumeMount`` refers to it.
    - ``volume_id``: the service's id of it.
    - ``mount_path``: an absolute path where the (primary) container sees it.
    - ``sub_path``: the folder of the volume that is mounted, as a relative path. Default: all of it.
    - ``read_only``: whether it can only be read there.
    """

    name: str
    volume_id: str
    mount_path: str
    sub_path: str | None = None
    read_only: bool = False

    def __post_init__(self) -> None:
        check.text(self.name, "RegisteredVolumeOptions.name")
        check.text(self.volume_id, "RegisteredVolumeOptions.volume_id")
        check.mount_path(self.mount_path, "RegisteredVolumeOptions.mount_path")
        object.__setattr__(
            self, "sub_path", check.sub_path(self.sub_path, "RegisteredVolumeOptions.sub_path")
        )
        check.boolean(self.read_only, "RegisteredVolumeOptions.read_only")


@dataclass(frozen=True, kw_only=True)
class DeclaredVolume:
    """A registered volume without a mount: what a dict with ``volume_id`` and no ``mount_path`` says."""

    name: str
    volume_id: str

    def __post_init__(self) -> None:
        check.text(self.name, "volumes: name")
        check.text(self.volume_id, "volumes: volume_id")


@dataclass(frozen=True, kw_only=True)
class VolumeMount:
    """A mount of a sandbox's volume in one container.

    - ``volume``: the volume's name.
    - ``mount_path``: an absolute path where the container sees it.
    - ``read_only``: whether it can only be read there.
    - ``sub_path``: the folder of the volume that is mounted, as a relative path. Default: all of it.
    """

    volume: str
    mount_path: str
    read_only: bool = False
    sub_path: str | None = None

    def __post_init__(self) -> None:
        check.text(self.volume, "VolumeMount.volume")
        check.mount_path(self.mount_path, "VolumeMount.mount_path")
        check.boolean(self.read_only, "VolumeMount.read_only")
        object.__setattr__(self, "sub_path", check.sub_path(self.sub_path, "VolumeMount.sub_path"))


@dataclass(frozen=True, kw_only=True)
class FileSystemSnapshotOptions:
    """A scratch volume, filled from a snapshot.

    - ``mount_path``: an absolute path where the (primary) container sees it. Default: it is only declared.
    - ``size``: a quantity such as "10Gi". Default: the platform's.
    - ``file_system_snapshot_id``: the snapshot. Default: it is empty.
    - ``name``: by which ``VolumeMount`` refers to it. Default: "workspace".
    """

    mount_path: str | None = None
    size: str | None = None
    file_system_snapshot_id: str | None = None
    name: str = "workspace"

    def __post_init__(self) -> None:
        check.text(self.name, "FileSystemSnapshotOptions.name")
        if self.mount_path is not None:
            check.mount_path(self.mount_path, "FileSystemSnapshotOptions.mount_path")
        for name in ("size", "file_system_snapshot_id"):
            value = check.optional_text(getattr(self, name), f"FileSystemSnapshotOptions.{name}")
            object.__setattr__(self, name, value)

    def to_scratch_volume(self) -> ScratchVolumeOptions:
        """The same as scratch volume options."""
        return ScratchVolumeOptions(
            name=self.name,
            mount_path=self.mount_path,
            size=self.size,
            restore_from_snapshot_id=self.file_system_snapshot_id,
        )


AnyVolume = ScratchVolumeOptions | RegisteredVolumeOptions | DeclaredVolume


def volumes(values: object, what: str) -> tuple[AnyVolume, ...]:
    """The items of a sequence of volume options; dicts with ``volume_id`` are registered volumes, others scratch."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Sequence):
        raise TypeError(
            f"{what} must be a sequence of volume options or dicts, got {check.shown(values)}"
        )
    return tuple(_volume(value, what) for value in values)


def _volume(value: object, what: str) -> AnyVolume:
    if isinstance(value, (ScratchVolumeOptions, RegisteredVolumeOptions, DeclaredVolume)):
        return value
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{what} must contain ScratchVolumeOptions, RegisteredVolumeOptions or dict, got {check.shown(value)}"
        )
    if "volume_id" not in value:
        return instance(value, ScratchVolumeOptions, what)
    if value.get("mount_path") is None:
        fields = {key: item for key, item in value.items() if key != "mount_path"}
        return instance(fields, DeclaredVolume, what)
    return instance(value, RegisteredVolumeOptions, what)
