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

    Times are in seconds. Immutable: ``with_overrides()`` makes a copy. Wrong values raise ``TypeError`` or
    ``ValueError``, here or where a sandbox is made of them.

    - ``container_image``: the image to run, "python:3.11" by default.
    - ``command``: the program whose end ends a sandbox. Default: a shell that waits to be stopped.
    - ``args``: the arguments of ``command``, also where a sandbox names another command and no arguments. Default:
      those of the default command.
    - ``base_url``: the service's address, weaker than the environment's ``CWSANDBOX_BASE_URL``; "local" is a daemon
      on this host, started when needed. Default: "https://api.cwsandbox.com".
    - ``auth``: credentials: ``AuthStrategy``, ``AuthHeaders`` or an object with ``resolve_auth``. Default: those of
      ``set_auth_mode()``, else the key in ``CWSANDBOX_API_KEY`` of the environment.
    - ``request_timeout_seconds``: limit of each call to the service, and of commands and waits that are given none.
      Default: 300; ``math.inf``: no limit.
    - ``create_retry_budget_seconds``: how long to repeat a create that found no room. Default: 0, not at all.
    - ``poll_retry_budget_seconds``: how long to repeat status requests that fail. Default: 30.
    - ``poll_rpc_timeout_seconds``: limit of one status request. Default: 15.
    - ``max_lifetime_seconds``: when it has existed for so long, the service ends it. Default: the service's limit.
    - ``temp_dir``: where in a sandbox the package's temporary files go. Default: "/tmp".
    - ``tags``: labels by which ``Sandbox.list()`` finds it; a sandbox's own are added. Default: none.
    - ``runner_ids``: the only runners that sandboxes may run on. Default: any.
    - ``placement_mode``: "serverless" or "cks": the kind of runner. Default: the service's choice.
    - ``placement_spillover``: whether a create that finds no room may try the other kind: "strict" (no, the default),
      "cks_then_serverless" or "serverless_then_cks".
    - ``resources``: CPU, memory and GPU, as ``{"cpu": "500m", "memory": "1Gi"}`` or ``ResourceOptions``. Default: the
      service's.
    - ``network``: ``NetworkOptions`` or a dict: where it may connect to, and who may connect to it. Default: the
      service's rules.
    - ``services``: ``Service`` or dicts: ports it listens on, and who may reach them. Default: none.
    - ``volumes``: ``ScratchVolumeOptions``, ``RegisteredVolumeOptions`` or dicts. Default: none.
    - ``runtime_class``: the name of the runtime that isolates it. Default: the service's.
    - ``security_context``: ``SecurityContext`` or a dict: user, group and rights of the processes.
    - ``working_dir``: the directory that the main process starts in. Default: the image's.
    - ``object_storage_access``: ``ObjectStorageAccess`` or a dict: credentials for buckets that its containers are
      given.
    - ``file_system_snapshot``: ``FileSystemSnapshotOptions`` or a dict: one more scratch volume, filled from a
      snapshot.
    - ``containers``: several ``Container`` objects instead of one; see ``Sandbox``.
    - ``secrets``: ``Secret`` objects: put into environment variables; a sandbox's own are added.
    - ``environment_variables``: variables of the main process and of all commands, as a dict; a sandbox's own are
      added. Default: none.
    - ``annotations``: texts by name that the service keeps with it; a sandbox's own are added. Default: none.
    - ``data_plane_mode``: how commands, logs and files reach the sandbox: "auto" (the default), "gateway" or "direct".

    ::

        defaults = SandboxDefaults(container_image="python:3.12", tags=("nightly",))
        with Sandbox.run(defaults=defaults, tags=["job-7"]) as sandbox:  # has both tags
            ...
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
        """Own tags, then the ``additional`` ones. ``TypeError`` for a bare string."""
        return [*self.tags, *check.strings(additional if additional is not None else (), "tags")]

    def merge_environment_variables(self, additional: dict[str, str] | None) -> dict[str, str]:
        """Own variables, overlaid by the ``additional`` ones."""
        return {**self.environment_variables, **(additional or {})}

    def merge_annotations(self, additional: dict[str, str] | None) -> dict[str, str]:
        """Own annotations, overlaid by the ``additional`` ones."""
        return {**self.annotations, **(additional or {})}

    def with_overrides(self, **kwargs: Any) -> SandboxDefaults:
        """A copy in which the fields of ``kwargs`` have other values; ``TypeError`` for an unknown field."""
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
        """Defaults from a mapping ``d``, such as a parsed configuration file.

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
