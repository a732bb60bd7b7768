"""Options as request messages: plain dicts of fields, as the native layer packs them. Unset fields are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox._messages.config import SingleContainer
from cwsandbox._types.enums import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cwsandbox._messages.config import Placement, SandboxFile, Workload
    from cwsandbox._types.container import Container, SecurityContext
    from cwsandbox._types.network import (
        CidrBlock,
        EgressRule,
        IngressRule,
        NetworkOptions,
        PortRange,
    )
    from cwsandbox._types.resources import ResourceOptions
    from cwsandbox._types.secret import ImagePullCredentials, ObjectStorageAccess, Secret
    from cwsandbox._types.service import Endpoint, Service
    from cwsandbox._types.volume import AnyVolume, VolumeMount

    Message = dict[str, Any]

_MAIN = "main"


def create_call(workload: Workload, placement: Placement, request_id: str) -> tuple[str, Message]:
    """The method that creates such a sandbox, and its request."""
    asked = spec(workload, placement)
    if workload.file is not None:
        request = {**asked, **_file(workload.file), "request_id": request_id}
        return "CreateSandboxFromFile", request
    if workload.template_id is not None:
        return "CreateSandboxFromTemplate", {
            "template_id": workload.template_id,
            "overrides": asked,
            "request_id": request_id,
        }
    return "CreateSandbox", {"sandbox": {"spec": asked}, "request_id": request_id}


def _file(file: SandboxFile) -> Message:
    credentials = [_pull_credentials(one) for one in file.image_pull_credentials]
    return {
        "type": number(file.type),
        "contents": file.contents,
        **_given(
            primary_service=file.primary_service,
            image_overrides=dict(file.image_overrides),
            default_resources=_requirements(file.default_resources),
            control=number(file.control),
            image_pull_credentials=credentials,
        ),
    }


def _given(**fields: Any) -> Message:
    """The fields that say something; false and zero say nothing, as proto3 has it."""
    return {name: value for name, value in fields.items() if value}


def spec(workload: Workload, placement: Placement) -> Message:
    """The spec that is asked for; with a template or a file, what it does not say."""
    access = workload.object_storage_access
    return _given(
        containers=_containers(workload),
        volumes=[_volume(volume) for volume in workload.volumes],
        services=[_service(service) for service in workload.services],
        max_lifetime_seconds=int(workload.max_lifetime_seconds or 0),
        object_storage_access=None if access is None else _object_storage_access(access),
        tags=list(workload.tags),
        runner_ids=list(placement.runner_ids),
        network=None if workload.network is None else _network(workload.network),
        annotations=dict(workload.annotations),
        mode=number(placement.wire_mode),
        runtime_class=workload.runtime_class,
    )


# ---- containers ----


def _containers(workload: Workload) -> list[Message]:
    mounts = [mount for volume in workload.volumes if (mount := _own_mount(volume)) is not None]
    if isinstance(workload.containers, SingleContainer):
        return [{**_single(workload.containers), **_given(volume_mounts=mounts)}]
    rows = [_row(row) for row in workload.containers]
    if not rows:
        return []
    primary = next((row for row in rows if row.get("primary")), rows[0])
    present = {(mount["volume"], mount["mount_path"]) for mount in primary.get("volume_mounts", ())}
    missing = [mount for mount in mounts if (mount["volume"], mount["mount_path"]) not in present]
    if missing:
        primary["volume_mounts"] = [*primary.get("volume_mounts", ()), *missing]
    return rows


def _single(container: SingleContainer) -> Message:
    return _given(
        name=_MAIN,
        image=container.image,
        command=container.command,
        args=list(container.args),
        environment_variables=dict(container.environment_variables),
        files=_files(container.mounted_files),
        secret_stores=_secret_stores(container.secrets),
        working_dir=container.working_dir,
        resource_requirements=_requirements(container.resources),
        security_context=_security_context(container.security_context),
        image_pull_credentials=_pull_credentials(container.image_pull_credentials),
    )


def _row(row: Container) -> Message:
    # The types of a row's fields are those of its coerced form.
    resources: Any = row.resources
    mounts: Any = row.volume_mounts
    secrets: Any = row.secrets
    credentials: Any = row.image_pull_credentials
    return _given(
        name=row.name,
        image=row.image,
        command=row.command,
        args=list(row.args or ()),
        environment_variables=dict(row.environment_variables or {}),
        files=_files(row.mounted_files or ()),
        volume_mounts=[_mount(mount) for mount in mounts or ()],
        secret_stores=_secret_stores(secrets or ()),
        working_dir=row.working_dir,
        resource_requirements=_requirements(resources),
        image_pull_credentials=_pull_credentials(credentials),
        primary=row.primary,
    )


def _files(files: Iterable[Mapping[str, Any]]) -> list[Message]:
    return [_file_mount(file) for file in files]


def _file_mount(file: Mapping[str, Any]) -> Message:
    message = {"path": file["mount_path"], "content": file["file_content"]}
    if "file_mode" in file:
        message["mode"] = file["file_mode"]
    return message


def has_file_modes(spec: Message) -> bool:
    """Whether a spec needs a service that gives mounted files their modes."""
    files = (file for row in spec.get("containers", ()) for file in row.get("files", ()))
    return any("mode" in file for file in files)


def _requirements(resources: ResourceOptions | None) -> Message | None:
    if resources is None:
        return None
    gpu = _given(**resources.gpu) if resources.gpu else None
    return _given(
        requests=_given(**(resources.requests or {}), gpu=gpu),
        limits=_given(**(resources.limits or {}), gpu=gpu),
    )


def _secret_stores(secrets: Iterable[Secret]) -> list[Message]:
    stores: dict[str, list[Message]] = {}
    for secret in secrets:
        entry = _given(path=secret.name, field=secret.field, env_var=secret.env_var)
        stores.setdefault(secret.store, []).append(entry)
    return [{"store_name": store, "secrets": entries} for store, entries in stores.items()]


def _pull_credentials(credentials: ImagePullCredentials | None) -> Message | None:
    if credentials is None:
        return None
    source = _given(store_name=credentials.store, path=credentials.name, field=credentials.field)
    return {"registry": credentials.registry, "credentials": source}


def _security_context(context: SecurityContext | None) -> Message | None:
    if context is None:
        return None
    tri_state = (
        "run_as_user",
        "run_as_group",
        "privileged",
        "allow_privilege_escalation",
        "read_only_root_filesystem",
    )
    present = {
        name: getattr(context, name) for name in tri_state if getattr(context, name) is not None
    }
    return present | _given(
        capabilities_add=list(context.capabilities_add or ()),
        capabilities_drop=list(context.capabilities_drop or ()),
        seccomp_profile=context.seccomp_profile,
    )


# ---- volumes ----


def _volume(volume: AnyVolume) -> Message:
    volume_id = getattr(volume, "volume_id", None)
    if volume_id is not None:
        return {"name": volume.name, "volume_id": volume_id}
    scratch: Any = volume
    source = _given(
        size=scratch.size,
        medium=number(scratch.medium) if scratch.medium is not None else 0,
        restore_from_snapshot_id=scratch.restore_from_snapshot_id,
    )
    # Present even when it says nothing: it is what makes the volume a scratch volume.
    return {"name": volume.name, "scratch": source}


def _own_mount(volume: AnyVolume) -> Message | None:
    path = getattr(volume, "mount_path", None)
    if path is None:
        return None
    options: Any = volume
    return _given(
        volume=volume.name, mount_path=path, read_only=options.read_only, sub_path=options.sub_path
    )


def _mount(mount: VolumeMount) -> Message:
    return _given(
        volume=mount.volume,
        mount_path=mount.mount_path,
        read_only=mount.read_only,
        sub_path=mount.sub_path,
    )


def _object_storage_access(access: ObjectStorageAccess) -> Message:
    permission: Any = access.permission
    return _given(
        buckets=list(access.buckets),
        permission=number(permission) if permission is not None else 0,
        object_prefix=access.object_prefix,
    )


# ---- services and network ----


def _service(service: Service) -> Message:
    protocol: Any = service.protocol
    visibility: Any = service.visibility
    endpoint: Any = service.endpoint
    return _given(
        port=service.port,
        name=service.name,
        protocol=number(protocol) if protocol is not None else 0,
        visibility=number(visibility) if visibility is not None else 0,
        endpoint=_endpoint(endpoint) if endpoint is not None else None,
    )


def _endpoint(endpoint: Endpoint) -> Message:
    kind: Any = endpoint.kind
    auth: Any = endpoint.auth
    return _given(
        kind=number(kind),
        auth=number(auth) if auth is not None else 0,
        request_timeout_seconds=endpoint.request_timeout_seconds,
    )


def _network(network: NetworkOptions) -> Message:
    egress: Any = network.egress
    ingress: Any = network.ingress
    flags = {"deny_egress": network.deny_egress, "deny_ingress": network.deny_ingress}
    # False and unset differ here.
    present = {name: value for name, value in flags.items() if value is not None}
    return present | _given(
        egress=[_egress(rule) for rule in egress or ()],
        ingress=[_rule(rule) for rule in ingress or ()],
    )


def _egress(rule: EgressRule) -> Message:
    selector: Any = rule.selector
    if rule.dns_name is not None:
        return _given(https_hostname=rule.dns_name, ports=_ports(rule.ports))
    if selector is not None:
        labels = _given(pod_labels=selector.pod_labels, namespace_labels=selector.namespace_labels)
        return _given(selector=labels, ports=_ports(rule.ports))
    return _rule(rule)


def _rule(rule: EgressRule | IngressRule) -> Message:
    cidr: Any = rule.cidr
    tenant: Any = rule.tenant
    form: Message
    if cidr is not None:
        form = {"cidr": _cidr(cidr)}
    elif tenant is not None:
        form = {"tenant": number(tenant)}
    else:
        form = {"any": True}
    return form | _given(ports=_ports(rule.ports))


def _cidr(block: CidrBlock) -> Message:
    return _given(cidr=block.cidr, **{"except": list(block.except_cidrs)})


def _ports(ports: Any) -> list[Message]:
    ranges: Sequence[PortRange] = ports or ()
    return [
        _given(protocol=item.protocol, port=item.port, end_port=item.end_port) for item in ranges
    ]
