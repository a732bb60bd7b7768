"""The settings new sandboxes share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from cwsandbox._types import check
from cwsandbox._types.auth import AuthConfig
from cwsandbox._types.coerce import instance, instances
from cwsandbox._types.container import Container, SecurityContext
from cwsandbox._types.enums import DataPlaneMode, PlacementMode, PlacementSpillover
from cwsandbox._types.network import NetworkOptions
from cwsandbox._types.resources import ResourceOptions
from cwsandbox._types.secret import ObjectStorageAccess, Secret, secrets
from cwsandbox._types.service import Service
from cwsandbox._types.standard import (
    DEFAULT_ARGS,
    DEFAULT_BASE_URL,
    DEFAULT_COMMAND,
    DEFAULT_CONTAINER_IMAGE,
    DEFAULT_CREATE_RETRY_BUDGET_SECONDS,
    DEFAULT_POLL_RETRY_BUDGET_SECONDS,
    DEFAULT_POLL_RPC_TIMEOUT_SECONDS,
    DEFAULT_REQUEST_TIMEOUT_SECONDS,
    DEFAULT_TEMP_DIR,
)
from cwsandbox._types.volume import (
    FileSystemSnapshotOptions,
    RegisteredVolumeOptions,
    ScratchVolumeOptions,
    volumes,
)

# Keys that from_dict refuses, since dropping them would place sandboxes elsewhere than meant.
_REMOVED_KEYS = ("profile_ids", "profile_names")


@dataclass(frozen=True)
class SandboxDefaults:
    """Settings for sandboxes whose own arguments do not say otherwise.

    ``base_url`` is weaker than the environment's ``CWSANDBOX_BASE_URL``. ``request_timeout_seconds`` limits each
    call to the service and is also the time limit of commands and waits that are given none.
    ``create_retry_budget_seconds`` is how long to repeat a create that found no capacity (0: not at all),
    ``poll_retry_budget_seconds`` how long failing status requests are repeated, ``poll_rpc_timeout_seconds`` the
    limit of one. ``max_lifetime_seconds`` is enforced by the service (None: its default).
    """

    container_image: str = DEFAULT_CONTAINER_IMAGE
    command: str = DEFAULT_COMMAND
    args: tuple[str, ...] = DEFAULT_ARGS
    base_url: str = DEFAULT_BASE_URL
    auth: AuthConfig | None = field(default=None, repr=False)
    request_timeout_seconds: float = DEFAULT_REQUEST_TIMEOUT_SECONDS
    create_retry_budget_seconds: float = DEFAULT_CREATE_RETRY_BUDGET_SECONDS
    poll_retry_budget_seconds: float = DEFAULT_POLL_RETRY_BUDGET_SECONDS
    poll_rpc_timeout_seconds: float = DEFAULT_POLL_RPC_TIMEOUT_SECONDS
    max_lifetime_seconds: float | None = None
    temp_dir: str = DEFAULT_TEMP_DIR
    tags: tuple[str, ...] = field(default_factory=tuple)
    runner_ids: tuple[str, ...] | None = None
    placement_mode: PlacementMode | str | None = None
    placement_spillover: PlacementSpillover | str = PlacementSpillover.STRICT
    resources: ResourceOptions | dict[str, Any] | None = None
    network: NetworkOptions | None = None
    services: tuple[Service, ...] | None = None
    volumes: tuple[ScratchVolumeOptions | RegisteredVolumeOptions, ...] | None = None
    runtime_class: str | None = None
    security_context: SecurityContext | dict[str, Any] | None = None
    working_dir: str | None = None
    object_storage_access: ObjectStorageAccess | dict[str, Any] | None = None
    file_system_snapshot: FileSystemSnapshotOptions | dict[str, Any] | None = None
    containers: tuple[Container, ...] | None = None
    secrets: tuple[Secret, ...] | None = None
    environment_variables: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    data_plane_mode: DataPlaneMode | str = DataPlaneMode.AUTO

    def __post_init__(self) -> None:
        check.timeout(self.request_timeout_seconds, "request_timeout_seconds")
        check.budget(self.create_retry_budget_seconds, "create_retry_budget_seconds")
        check.budget(self.poll_retry_budget_seconds, "poll_retry_budget_seconds")
        check.rpc_timeout(self.poll_rpc_timeout_seconds, "poll_rpc_timeout_seconds")
        object.__setattr__(self, "tags", check.strings(self.tags, "tags"))
        object.__setattr__(self, "args", check.strings(self.args, "args"))
        if self.runner_ids is not None:
            object.__setattr__(self, "runner_ids", check.strings(self.runner_ids, "runner_ids"))
        spillover = check.choice(
            self.placement_spillover, PlacementSpillover, "placement_spillover"
        )
        object.__setattr__(self, "placement_spillover", spillover)
        object.__setattr__(self, "data_plane_mode", check.data_plane_mode(self.data_plane_mode))

    def merge_tags(self, additional: Iterable[str] | None) -> list[str]:
        """Own tags, then the additional ones."""
        return [*self.tags, *check.strings(additional if additional is not None else (), "tags")]

    def merge_environment_variables(self, additional: dict[str, str] | None) -> dict[str, str]:
        """Own variables, overlaid by the additional ones."""
        return {**self.environment_variables, **(additional or {})}

    def merge_annotations(self, additional: dict[str, str] | None) -> dict[str, str]:
        """Own annotations, overlaid by the additional ones."""
        return {**self.annotations, **(additional or {})}

    def with_overrides(self, **kwargs: Any) -> SandboxDefaults:
        """A copy with some fields replaced; ``TypeError`` for an unknown one."""
        known = [item.name for item in fields(self)]
        unknown = [name for name in kwargs if name not in known]
        if unknown:
            raise TypeError(
                f"SandboxDefaults has no field {', '.join(unknown)}; "
                f"its fields: {', '.join(sorted(known))}"
            )
        return replace(self, **kwargs)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any] | None) -> SandboxDefaults:
        """Defaults from a mapping such as a parsed configuration file.

        Unknown keys are ignored, None means the field's default. Lists become tuples, nested mappings the option types.
        """
        given = dict(d or {})
        for key in _REMOVED_KEYS:
            if key in given:
                raise TypeError(f"SandboxDefaults has no {key!r} any more; use runner_ids")
        values: dict[str, Any] = {}
        for item in fields(cls):
            value = given.get(item.name)
            if value is not None:
                values[item.name] = _from_plain(item.name, value)
        return cls(**values)


def _from_plain(name: str, value: Any) -> Any:
    if name in ("args", "tags", "runner_ids"):
        return check.strings(value, name)
    if name in ("environment_variables", "annotations"):
        return check.string_map(value, name)
    if name == "resources":
        return dict(value) if isinstance(value, Mapping) else value
    coerce = _coercions().get(name)
    return coerce(value) if coerce is not None else value


def _coercions() -> dict[str, Any]:
    return {
        "network": lambda value: instance(value, NetworkOptions, "network"),
        "security_context": lambda value: instance(value, SecurityContext, "security_context"),
        "object_storage_access": lambda value: instance(
            value, ObjectStorageAccess, "object_storage_access"
        ),
        "file_system_snapshot": lambda value: instance(
            value, FileSystemSnapshotOptions, "file_system_snapshot"
        ),
        "services": lambda value: instances(value, Service, "services"),
        # How they go together is checked when a sandbox is made of them.
        "containers": lambda value: instances(value, Container, "containers"),
        "volumes": lambda value: volumes(value, "volumes"),
        "secrets": lambda value: secrets(value, "secrets"),
    }
