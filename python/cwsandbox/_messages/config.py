"""What a sandbox is made of: explicit arguments merged with defaults, checked, ready to be put on the wire."""

from __future__ import annotations

from cwsandbox._messages.options import SINGLE_CONTAINER
from cwsandbox._types import check as _check
from cwsandbox._types.coerce import instance
from cwsandbox._types.enums import PlacementMode, PlacementSpillover
from cwsandbox._types.record import Record
from cwsandbox._types.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from cwsandbox._types.container import Container, SecurityContext
    from cwsandbox._types.defaults import SandboxDefaults
    from cwsandbox._types.enums import SandboxControl, SandboxFileType
    from cwsandbox._types.network import NetworkOptions
    from cwsandbox._types.resources import ResourceOptions
    from cwsandbox._types.secret import ImagePullCredentials, ObjectStorageAccess, Secret
    from cwsandbox._types.service import Service
    from cwsandbox._types.volume import AnyVolume

_FIRST_MODE = {
    PlacementSpillover.STRICT: None,
    PlacementSpillover.CKS_THEN_SERVERLESS: PlacementMode.CKS,
    PlacementSpillover.SERVERLESS_THEN_CKS: PlacementMode.SERVERLESS,
}


class Placement(Record):
    """Where a sandbox may run."""

    mode: PlacementMode | None
    runner_ids: tuple[str, ...]

    @property
    def wire_mode(self) -> PlacementMode:
        if self.mode in (None, PlacementMode.UNSPECIFIED):
            return PlacementMode.CKS if self.runner_ids else PlacementMode.UNSPECIFIED
        assert self.mode is not None
        return self.mode


class SingleContainer(Record):
    """The container of a sandbox that has one."""

    image: str
    command: str
    args: tuple[str, ...]
    environment_variables: Mapping[str, str]
    resources: ResourceOptions | None
    mounted_files: Sequence[Mapping[str, Any]]
    secrets: Sequence[Secret]
    image_pull_credentials: ImagePullCredentials | None
    security_context: SecurityContext | None
    working_dir: str | None


class SandboxFile(Record):
    """A file that describes the containers of a sandbox, and what to do otherwise than it says."""

    contents: bytes
    type: SandboxFileType
    primary_service: str | None
    control: SandboxControl
    image_pull_credentials: tuple[ImagePullCredentials, ...]
    image_overrides: Mapping[str, str]
    default_resources: ResourceOptions | None


class Workload(Record):
    """What to create. ``containers`` is one ``SingleContainer`` or a row of ``Container``.

    With ``template_id`` it is what to change in that template, and there may be no container; with ``file`` there is
    none.
    """

    containers: SingleContainer | tuple[Container, ...]
    placement: Placement
    spillover: PlacementSpillover
    tags: tuple[str, ...]
    annotations: Mapping[str, str]
    services: tuple[Service, ...]
    volumes: tuple[AnyVolume, ...]
    network: NetworkOptions | None
    max_lifetime_seconds: float | None
    runtime_class: str | None
    object_storage_access: ObjectStorageAccess | None
    template_id: str | None = None
    file: SandboxFile | None = None
    # Of the first create; None: a new one.
    request_id: str | None = None


def checked_defaults(value: Any) -> SandboxDefaults | None:
    """``value`` if it can stand for the defaults of a sandbox."""
    if value is None:
        return None
    from cwsandbox._types.defaults import SandboxDefaults

    if not isinstance(value, SandboxDefaults):
        raise TypeError(
            f"defaults must be SandboxDefaults, got {_check.shown(value)}; see SandboxDefaults.from_dict"
        )
    return value


def workload(given: Mapping[str, Any], defaults: SandboxDefaults | None) -> Workload:
    """The workload a sandbox's arguments and defaults describe; every fault in them is raised here."""
    if given.get("template_id") is not None:
        return _overrides(given, defaults)
    return _workload(given, defaults, _merged(given, defaults, "tags", ()))


def _overrides(given: Mapping[str, Any], defaults: SandboxDefaults | None) -> Workload:
    """What to change in a template: what is given, and the tags of the defaults."""
    template_id = _check.text(given["template_id"], "template_id")
    _check_strict(given, "template")
    made = _workload(given, None, _merged(given, defaults, "tags", ()), _changed_container)
    return made.changed(template_id=template_id)


# What a sandbox from a file takes from the defaults beside its tags and annotations, to which they are added.
_FOR_FILE = (
    "network",
    "placement_mode",
    "runner_ids",
    "object_storage_access",
    "max_lifetime_seconds",
)


def file_workload(
    given: Mapping[str, Any], defaults: SandboxDefaults | None, file: SandboxFile
) -> Workload:
    """What a file and the arguments beside it describe."""
    _check_strict(given, "file")
    value = settings(given, defaults)
    chosen = {name: value(name) for name in _FOR_FILE}
    chosen["annotations"] = _merged(given, defaults, "annotations", {})
    tags = _merged(given, defaults, "tags", ())
    made = _workload(chosen, None, tags, lambda given, defaults: ())
    return made.changed(
        file=file, request_id=_check.optional_text(given.get("request_id"), "request_id")
    )


def _check_strict(given: Mapping[str, Any], what: str) -> None:
    spillover = given.get("placement_spillover")
    if spillover is None:
        return
    chosen = _check.choice(spillover, PlacementSpillover, "placement_spillover")
    if chosen is not PlacementSpillover.STRICT:
        raise ValueError(
            f"placement_spillover must be STRICT for {what} sandboxes, got {_check.shown(spillover)}"
        )


def _changed_container(
    given: Mapping[str, Any], defaults: SandboxDefaults | None
) -> SingleContainer | tuple[Container, ...]:
    """A template's containers are replaced whole, so a new one needs to say what to run."""
    in_container = (*SINGLE_CONTAINER, "volumes", "file_system_snapshot")
    touched = [name for name in in_container if given.get(name)]
    if given.get("containers") is not None:
        return _containers(given, defaults)
    if given.get("container_image"):
        command = _check.optional_text(given.get("command"), "command") or ""
        args = () if given.get("args") is None else given["args"]
        return _single({**given, "args": args}, defaults).changed(command=command)
    if touched:
        raise TypeError(
            f"{', '.join(touched)} with a template require container_image: they belong to a container, and the "
            "template's containers are replaced, not changed"
        )
    return ()


def _workload(
    given: Mapping[str, Any],
    defaults: SandboxDefaults | None,
    tags: Any,
    containers: Callable[..., SingleContainer | tuple[Container, ...]] | None = None,
) -> Workload:
    value = settings(given, defaults)
    spillover = _check.choice(
        value("placement_spillover"), PlacementSpillover, "placement_spillover"
    )
    lifetime = value("max_lifetime_seconds")
    annotations = _merged(given, defaults, "annotations", {})
    return Workload(
        containers=(containers or _containers)(given, defaults),
        placement=_placement(value, spillover),
        spillover=spillover,
        tags=_check.strings(tags, "tags"),
        annotations=_check.string_map(annotations, "annotations"),
        services=_services(value("services")),
        volumes=_volumes(value("volumes"), value("file_system_snapshot")),
        network=_network(value("network")),
        max_lifetime_seconds=None
        if lifetime is None
        else _check.timeout(lifetime, "max_lifetime_seconds"),
        runtime_class=_check.optional_text(value("runtime_class"), "runtime_class"),
        object_storage_access=_object_storage_access(value("object_storage_access")),
    )


def _merged(
    given: Mapping[str, Any], defaults: SandboxDefaults | None, name: str, nothing: Any
) -> Any:
    """What is given, on top of what the defaults have."""
    added = given.get(name)
    if defaults is not None:
        return getattr(defaults, f"merge_{name}")(added)
    return nothing if added is None else added


def _placement(value: Callable[[str], Any], spillover: PlacementSpillover) -> Placement:
    chosen, runner_ids = value("placement_mode"), value("runner_ids")
    mode = None if chosen is None else _check.choice(chosen, PlacementMode, "placement_mode")
    pins = _check.strings(() if runner_ids is None else runner_ids, "runner_ids override")
    if mode is PlacementMode.UNSPECIFIED:
        mode = None
    _check_spillover(spillover, mode, pins)
    mode = mode or _FIRST_MODE[spillover]
    if pins and mode is PlacementMode.SERVERLESS:
        raise ValueError(f"runner_ids {list(pins)} requires placement_mode=CKS, not serverless")
    return Placement(mode, pins)


def _check_spillover(
    spillover: PlacementSpillover, mode: PlacementMode | None, pins: tuple[str, ...]
) -> None:
    first = _FIRST_MODE[spillover]
    if first is not None and mode not in (None, first):
        raise ValueError(
            f"placement_spillover {spillover.value!r} starts with {first}, not placement_mode {mode}"
        )
    if spillover is PlacementSpillover.SERVERLESS_THEN_CKS and pins:
        raise ValueError(
            f"placement_spillover {spillover.value!r} cannot be combined with runner_ids {list(pins)}"
        )


def _containers(
    given: Mapping[str, Any], defaults: SandboxDefaults | None
) -> SingleContainer | tuple[Container, ...]:
    rows = settings(given, defaults)("containers")
    if rows is None:
        return _single(given, defaults)
    both = [name for name in SINGLE_CONTAINER if given.get(name) is not None]
    if both:
        raise TypeError(
            f"containers and {', '.join(both)} are mutually exclusive: set them in each Container"
        )
    from cwsandbox._types.container import containers

    return containers(rows)


def _single(given: Mapping[str, Any], defaults: SandboxDefaults | None) -> SingleContainer:
    value, standard = settings(given, defaults), settings({}, defaults)
    variables = _merged(given, defaults, "environment_variables", {})
    image = given.get("container_image") or standard("container_image")
    return SingleContainer(
        image=_check.text(image, "container_image"),
        command=_check.text(given.get("command") or standard("command"), "command"),
        args=_check.strings(value("args"), "args"),
        environment_variables=_check.string_map(variables, "environment_variables"),
        resources=_resources(value("resources")),
        mounted_files=_mounted_files(given.get("mounted_files")),
        secrets=_secrets(standard("secrets"), given.get("secrets")),
        image_pull_credentials=_pull_credentials(given.get("image_pull_credentials")),
        security_context=_security_context(value("security_context")),
        working_dir=_check.optional_text(value("working_dir"), "working_dir"),
    )


# The option types are loaded only when something is given for them: most sandboxes need none, and one dataclass takes
# longer than all else that `from cwsandbox import Sandbox` loads.


def _resources(value: Any) -> ResourceOptions | None:
    if value is None:
        return None
    from cwsandbox._types.resources import normalize

    return normalize(value)


def _mounted_files(values: Any) -> Sequence[Mapping[str, Any]]:
    if values is None:
        return ()
    from cwsandbox._types.container import mounted_files

    return mounted_files(values)


def _secrets(inherited: Any, values: Any) -> Sequence[Secret]:
    if not inherited and not values:
        return ()
    from cwsandbox._types.secret import merge, secrets

    return merge(secrets(inherited or (), "secrets"), secrets(values or (), "secrets"))


def _pull_credentials(value: Any) -> ImagePullCredentials | None:
    if value is None:
        return None
    from cwsandbox._types.secret import ImagePullCredentials

    return instance(value, ImagePullCredentials, "image_pull_credentials")


def _security_context(value: Any) -> SecurityContext | None:
    if value is None:
        return None
    from cwsandbox._types.container import SecurityContext

    return instance(value, SecurityContext, "security_context")


def _services(values: Any) -> tuple[Service, ...]:
    if not values:
        return ()
    from cwsandbox._types.service import Service

    if not isinstance(values, (list, tuple)):
        raise TypeError(
            f"services must be a list or tuple of Service or dict, got {_check.shown(values)}"
        )
    return tuple(instance(value, Service, "services") for value in values)


def _volumes(values: Any, snapshot: Any) -> tuple[AnyVolume, ...]:
    if not values and snapshot is None:
        return ()
    from cwsandbox._types.volume import FileSystemSnapshotOptions, volumes

    declared = volumes(values or (), "volumes")
    if snapshot is None:
        return declared
    return (
        *declared,
        instance(snapshot, FileSystemSnapshotOptions, "file_system_snapshot").to_scratch_volume(),
    )


def _network(value: Any) -> NetworkOptions | None:
    if value is None:
        return None
    from cwsandbox._types.network import NetworkOptions

    return instance(value, NetworkOptions, "network")


def _object_storage_access(value: Any) -> ObjectStorageAccess | None:
    if value is None:
        return None
    from cwsandbox._types.secret import ObjectStorageAccess

    return instance(value, ObjectStorageAccess, "object_storage_access")
