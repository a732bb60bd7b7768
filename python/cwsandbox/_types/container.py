"""Containers of a sandbox: what each runs, with which rights, and how it fares."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cwsandbox._types import check
from cwsandbox._types.coerce import instance, instances, optional
from cwsandbox._types.enums import SandboxStatus
from cwsandbox._types.resources import ResourceOptions, normalize
from cwsandbox._types.secret import ImagePullCredentials, Secret, merge, secrets
from cwsandbox._types.volume import VolumeMount

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_RESERVED_NAMES = frozenset(
    {
        "cw-object-store-agent",
        "cw-object-store-agent-restore",
        "cws-engine",
        "dns-egress",
        "dns-egress-probe",
    }
)
_RESERVED_PREFIX = "cw-object-store-agent-restore-"
_ID_MAX = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class SecurityContext:
    """Rights of the container's processes.

    None leaves what the image or the service says; False is sent.

    - ``run_as_user``: the user id of the processes, 0 to 4294967295.
    - ``run_as_group``: their group id, likewise.
    - ``privileged``: whether they have all rights on the runner.
    - ``allow_privilege_escalation``: whether they may gain rights that their parents do not have.
    - ``read_only_root_filesystem``: whether only volumes can be written to.
    - ``capabilities_add``: names of capabilities that they have besides, such as ["NET_ADMIN"].
    - ``capabilities_drop``: names of capabilities that they do not have.
    - ``seccomp_profile``: the name of the filter for their system calls.
    """

    run_as_user: int | None = None
    run_as_group: int | None = None
    privileged: bool | None = None
    allow_privilege_escalation: bool | None = None
    read_only_root_filesystem: bool | None = None
    capabilities_add: Sequence[str] | None = None
    capabilities_drop: Sequence[str] | None = None
    seccomp_profile: str | None = None

    def __post_init__(self) -> None:
        for name in ("run_as_user", "run_as_group"):
            value = getattr(self, name)
            if (
                value is not None
                and not 0 <= check.integer(value, f"SecurityContext.{name}") <= _ID_MAX
            ):
                raise ValueError(f"SecurityContext.{name} must be in 0-{_ID_MAX}, got {value}")
        for name in ("privileged", "allow_privilege_escalation", "read_only_root_filesystem"):
            if getattr(self, name) is not None:
                check.boolean(getattr(self, name), f"SecurityContext.{name}")
        for name in ("capabilities_add", "capabilities_drop"):
            if getattr(self, name) is not None:
                object.__setattr__(
                    self, name, check.strings(getattr(self, name), f"SecurityContext.{name}")
                )
        profile = check.optional_text(self.seccomp_profile, "SecurityContext.seccomp_profile")
        object.__setattr__(self, "seccomp_profile", profile)


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of a sandbox that has several.

    Wrong values raise ``TypeError`` or ``ValueError``; how the containers go together is checked by ``Sandbox``.

    - ``image``: the image to run.
    - ``name``: by which ``exec(container=...)`` and the statuses call it: lower-case letters, digits and hyphens, at
      most 63. Needed where there are several; the empty string is none.
    - ``command``: the executable. Default: the image's entry point.
    - ``args``: its arguments.
    - ``environment_variables``: variables of its processes, as a dict.
    - ``resources``: CPU, memory and GPU, as ``{"cpu": "500m", "memory": "1Gi"}`` or ``ResourceOptions``. Needed where
      there are several containers; only the primary one may have a GPU.
    - ``mounted_files``: files that are there before it starts: dicts with ``mount_path`` and ``file_content`` (bytes,
      or a str that is sent as UTF-8), and on ``cwsandboxd`` ``file_mode`` (such as 0o755; default 0o444); or a mapping
      from path to content.
    - ``volume_mounts``: ``VolumeMount`` or dicts: which of the sandbox's volumes it sees, and where.
    - ``secrets``: ``Secret`` or dicts, put into environment variables.
    - ``working_dir``: an absolute path to start in. Default: the image's.
    - ``image_pull_credentials``: ``ImagePullCredentials`` or a dict, for an image in a private registry.
    - ``primary``: whether its end decides the outcome of the sandbox. True for exactly one of several.
    """

    image: str
    name: str | None = None
    command: str | None = None
    args: Sequence[str] | None = None
    environment_variables: Mapping[str, str] | None = None
    resources: ResourceOptions | dict[str, Any] | None = None
    mounted_files: Sequence[Mapping[str, Any]] | None = None
    volume_mounts: Sequence[VolumeMount | Mapping[str, Any]] | None = None
    secrets: Sequence[Secret | Mapping[str, Any]] | None = None
    working_dir: str | None = None
    image_pull_credentials: ImagePullCredentials | Mapping[str, Any] | None = None
    primary: bool = False

    def __post_init__(self) -> None:
        check.text(self.image, "Container.image")
        if self.name == "":
            object.__setattr__(self, "name", None)
        if self.name is not None:
            _check_name(self.name)
        check.optional_text(self.command, "Container.command")
        if self.working_dir is not None:
            check.mount_path(self.working_dir, "Container.working_dir")
        check.boolean(self.primary, "Container.primary")
        for name, value in _coerced(self).items():
            object.__setattr__(self, name, value)


def _coerced(row: Container) -> dict[str, Any]:
    changed: dict[str, Any] = {
        "resources": normalize(row.resources, "Container.resources"),
        "image_pull_credentials": optional(
            row.image_pull_credentials, ImagePullCredentials, "Container.image_pull_credentials"
        ),
    }
    if row.args is not None:
        changed["args"] = check.strings(row.args, "Container.args")
    if row.environment_variables is not None:
        what = "Container.environment_variables"
        changed["environment_variables"] = check.string_map(row.environment_variables, what)
    if row.mounted_files is not None:
        changed["mounted_files"] = mounted_files(row.mounted_files, "Container.mounted_files")
    if row.volume_mounts is not None:
        what = "Container.volume_mounts"
        changed["volume_mounts"] = tuple(
            instance(mount, VolumeMount, what) for mount in row.volume_mounts
        )
    if row.secrets is not None:
        changed["secrets"] = merge(secrets(row.secrets, "Container.secrets"), ())
    return changed


def _check_name(name: Any) -> None:
    check.text(name, "Container.name")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"Container.name {check.shown(name)} must be a DNS-1123 label of at most 63 characters"
        )
    if name in _RESERVED_NAMES or name.startswith(_RESERVED_PREFIX):
        raise ValueError(f"Container.name {name!r} is reserved")


@dataclass(frozen=True, kw_only=True)
class ContainerStatus:
    """The observed state of one container.

    - ``name``: of the container.
    - ``state``: where it is in its life.
    - ``exit_code``: of its main process, once the state is a final one.
    - ``restart_count``: how often it was started again.
    """

    name: str
    state: SandboxStatus
    exit_code: int | None = None
    restart_count: int = 0


def containers(values: object, what: str = "containers") -> tuple[Container, ...]:
    """The rows of a sandbox with several containers, checked together."""
    rows = instances(values, Container, what)
    if not rows:
        raise ValueError(f"{what} must not be empty")
    if len(rows) > 1:
        _check_several(rows, what)
    return rows


def _check_several(rows: Sequence[Container], what: str) -> None:
    names = [row.name for row in rows]
    if None in names:
        raise ValueError(f"{what}: every one of several containers needs a name")
    if len(set(names)) != len(names):
        raise ValueError(f"{what}: names must be unique, got {names}")
    if sum(row.primary for row in rows) != 1:
        raise ValueError(f"{what}: exactly one of several containers must have primary=True")
    for row in rows:
        resources = normalize(row.resources)
        if resources is None or not resources.requests:
            raise ValueError(
                f"{what}: every one of several containers needs resources; {row.name!r} has none"
            )
        if resources.gpu and not row.primary:
            raise ValueError(
                f"{what}: only the primary container may have a GPU; {row.name!r} asks for one"
            )


def mounted_files(values: object, what: str = "mounted_files") -> tuple[Mapping[str, Any], ...]:
    """Files written before the container starts, each as a dict with ``mount_path`` and ``file_content`` (bytes).

    ``file_mode`` may stand beside them. Also takes a mapping from path to content. Text is encoded as UTF-8.
    """
    if isinstance(values, Mapping):
        values = [{"mount_path": path, "file_content": content} for path, content in values.items()]
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise TypeError(f"{what} must be a sequence of dicts, got {check.shown(values)}")
    return tuple(_mounted_file(value, f"{what}[{at}]") for at, value in enumerate(values))


def _mounted_file(value: object, what: str) -> dict[str, Any]:
    needed = "mount_path and file_content"
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} must be a dict with {needed}, got {check.shown(value)}")
    if not {"mount_path", "file_content"} <= value.keys():
        given = ", ".join(sorted(map(str, value))) or "nothing"
        raise ValueError(f"{what} needs {needed}; given: {given}")
    if unknown := value.keys() - {"mount_path", "file_content", "file_mode"}:
        raise ValueError(
            f"{what} has {', '.join(sorted(map(repr, unknown)))}; "
            "a file has mount_path, file_content and file_mode"
        )
    content = value["file_content"]
    if isinstance(content, str):
        content = content.encode()
    if not isinstance(content, (bytes, bytearray, memoryview)):
        # Not the content itself: files hold secrets.
        raise TypeError(f"{what}: file_content must be bytes or str, got {type(content).__name__}")
    path = check.text(value["mount_path"], f"{what}: mount_path")
    file: dict[str, Any] = {"mount_path": path, "file_content": bytes(content)}
    if value.get("file_mode") is not None:
        file["file_mode"] = _file_mode(value["file_mode"], f"{what}: file_mode")
    return file


def _file_mode(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an int such as 0o755, got {check.shown(value)}")
    if not 0 <= value <= 0o777:
        raise ValueError(f"{what} must be from 0 to 0o777, got {value:#o}")
    return value
