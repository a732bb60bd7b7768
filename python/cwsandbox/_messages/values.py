"""The public values that the server's answers are shown as. None of these functions fails on what it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from cwsandbox._messages.parts import NOTHING, resource_gpu, resource_side, services
from cwsandbox._types.container import Container, ContainerStatus
from cwsandbox._types.enums import EndpointAuth, EndpointKind, SandboxStatus, TenantScope, member
from cwsandbox._types.network import EgressRule, IngressRule
from cwsandbox._types.resources import ResourceOptions
from cwsandbox._types.secret import ImagePullCredentials, Secret
from cwsandbox._types.service import HttpsEndpointStatus
from cwsandbox._types.volume import VolumeMount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Message = Mapping[str, Any]

_T = TypeVar("_T")
_TERMINAL_STATES = (SandboxStatus.COMPLETED, SandboxStatus.FAILED, SandboxStatus.TERMINATED)


# ---- services ----


def service_endpoints(status: Message) -> tuple[HttpsEndpointStatus, ...]:
    """The HTTPS endpoints in effect."""
    found = []
    for service, endpoint in services(status):
        auth = member(EndpointAuth, endpoint.get("auth", 0))
        timeout = endpoint.get("request_timeout_seconds", 0)
        if (
            member(EndpointKind, endpoint.get("kind", 0)) is EndpointKind.HTTPS
            and auth
            and timeout > 0
        ):
            found.append(
                HttpsEndpointStatus(
                    port=service["port"],
                    name=service["name"],
                    kind=EndpointKind.HTTPS,
                    auth=auth,
                    url=endpoint["url"],
                    request_timeout_seconds=timeout,
                )
            )
    return tuple(found)


# ---- containers ----


def containers(spec: Message) -> tuple[Container, ...]:
    """The rows of the spec; the first is marked primary if none is."""
    rows = spec.get("containers", ())
    primary = next((index for index, row in enumerate(rows) if row.get("primary")), 0)
    return tuple(_container(row, index == primary) for index, row in enumerate(rows))


def _container(row: Message, primary: bool) -> Container:
    requirements = row.get("resource_requirements") or NOTHING
    requests, limits = (
        resource_side(requirements, "requests"),
        resource_side(requirements, "limits"),
    )
    gpu = resource_gpu(requirements)
    fields = {
        "image": row.get("image", ""),
        "name": row.get("name") or None,
        "command": row.get("command") or None,
        "args": tuple(row.get("args", ())) or None,
        "environment_variables": row.get("environment_variables") or None,
        "resources": ResourceOptions(requests=requests, limits=limits, gpu=gpu)
        if requests or limits or gpu
        else None,
        "mounted_files": tuple(_mounted_file(file) for file in row.get("files", ())) or None,
        "volume_mounts": tuple(_mount(mount) for mount in row.get("volume_mounts", ())) or None,
        "secrets": tuple(_secrets(row.get("secret_stores", ()))) or None,
        "working_dir": row.get("working_dir") or None,
        "image_pull_credentials": _pull_credentials(row.get("image_pull_credentials")),
        "primary": primary,
    }
    return _unchecked(Container, fields)


def _mounted_file(file: Message) -> Message:
    mode = {"file_mode": file["mode"]} if "mode" in file else {}
    return {"mount_path": file["path"], "file_content": file["content"], **mode}


def _unchecked(cls: type[_T], fields: Message) -> _T:
    # The server may name things as no caller may, and its word is not to be refused.
    made = object.__new__(cls)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def _mount(mount: Message) -> Any:
    return _unchecked(VolumeMount, {**mount, "sub_path": mount.get("sub_path") or None})


def _secrets(stores: Iterable[Message]) -> Iterator[Any]:
    for store in stores:
        for entry in store["secrets"]:
            variable = entry["env_var"] or entry["path"]
            fields = {"store": store["store_name"], "name": entry["path"], "field": entry["field"]}
            yield _unchecked(Secret, {**fields, "env_var": variable})


def _pull_credentials(credentials: Message | None) -> Any:
    if not credentials:
        return None
    source = credentials.get("credentials") or NOTHING
    fields = {"store": source.get("store_name", ""), "name": source.get("path", "")}
    registry = credentials.get("registry", "")
    return _unchecked(
        ImagePullCredentials, {**fields, "registry": registry, "field": source.get("field", "")}
    )


def container_statuses(status: Message) -> tuple[ContainerStatus, ...]:
    """The observed state of each container."""
    found = []
    for row in status.get("container_statuses", ()):
        state = SandboxStatus.from_proto(row["state"])
        exit_code = row["exit_code"] if state in _TERMINAL_STATES else None
        restarts = row["restart_count"]
        found.append(
            ContainerStatus(
                name=row["name"], state=state, exit_code=exit_code, restart_count=restarts
            )
        )
    return tuple(found)


# ---- network ----


def egress_rules(status: Message) -> tuple[EgressRule, ...]:
    """The outbound rules in effect, without those this package has no form for."""
    return tuple(_rules(EgressRule, status.get("effective_egress", ())))


def ingress_rules(status: Message) -> tuple[IngressRule, ...]:
    """The inbound rules in effect, without those this package has no form for."""
    return tuple(_rules(IngressRule, status.get("effective_ingress", ())))


def _rules(cls: type[Any], rules: Iterable[Message]) -> Iterator[Any]:
    for rule in rules:
        try:
            yield cls(**_rule_fields(rule))
        except (ValueError, TypeError):
            continue


def _rule_fields(rule: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if rule.get("cidr"):
        fields["cidr"] = {
            "cidr": rule["cidr"]["cidr"],
            "except_cidrs": tuple(rule["cidr"]["except"]),
        }
    if "tenant" in rule:
        fields["tenant"] = member(TenantScope, rule["tenant"]) or TenantScope.UNSPECIFIED
    if rule.get("any"):
        fields["any"] = True
    if rule.get("https_hostname"):
        fields["dns_name"] = rule["https_hostname"]
    if rule.get("https_hostname_except"):
        fields["dns_name_except"] = tuple(rule["https_hostname_except"])
    if rule.get("selector"):
        fields["selector"] = {
            "pod_labels": rule["selector"]["pod_labels"],
            "namespace_labels": rule["selector"]["namespace_labels"] or None,
        }
    if rule.get("ports"):
        fields["ports"] = tuple(
            {
                "port": item["port"],
                "end_port": item["end_port"] or None,
                "protocol": item["protocol"] or None,
            }
            for item in rule["ports"]
        )
    return fields
