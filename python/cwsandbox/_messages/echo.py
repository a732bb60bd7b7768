"""What the server's answers say about a sandbox beside its state.

``Echo`` keeps the latest Sandbox message as a dict, and what later answers may leave out. The functions below read such
a message; none of them fails on what they do not know.
"""

from __future__ import annotations

from cwsandbox._messages.observation import Observation
from cwsandbox._types.enums import (
    EndpointAuth,
    EndpointKind,
    SandboxControl,
    SandboxStatus,
    ServiceVisibility,
    TenantScope,
    member,
)
from cwsandbox._types.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from typing import Any, TypeVar

    from cwsandbox._types.container import Container, ContainerStatus
    from cwsandbox._types.network import EgressRule, IngressRule
    from cwsandbox._types.service import (
        EndpointShareToken,
        HttpsEndpointStatus,
        TlsPassthroughEndpointStatus,
    )

    Message = Mapping[str, Any]
    _T = TypeVar("_T")

_NOTHING: dict[str, Any] = {}
_ADDRESS_STATES = (SandboxStatus.CREATING, SandboxStatus.RUNNING)
_TERMINAL_STATES = (SandboxStatus.COMPLETED, SandboxStatus.FAILED, SandboxStatus.TERMINATED)


class Echo(Record):
    """Everything known of a sandbox but its state. ``message`` is the latest Sandbox message, None before any."""

    message: Message | None = None
    runner_id: str | None = None
    runner_group_id: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    resources: Message = _NOTHING
    dns_egress_names: tuple[str, ...] = ()
    exposed_ports: tuple[tuple[int, str], ...] | None = None
    service_addresses: tuple[TlsPassthroughEndpointStatus, ...] = ()
    share_token: EndpointShareToken | None = None

    @property
    def spec(self) -> Message:
        return _part(self.message, "spec")

    @property
    def status(self) -> Message:
        return _part(self.message, "status")

    def updated(self, message: Message) -> Echo:
        """With a newer message. What it leaves out but is known stays."""
        status = _part(message, "status")
        return Echo(
            message=message,
            runner_id=status.get("runner_id") or self.runner_id,
            runner_group_id=status.get("runner_group_id") or self.runner_group_id,
            created_at=utc(status.get("create_time")) or self.created_at,
            started_at=utc(status.get("start_time")) or self.started_at,
            resources=_effective_resources(status) or self.resources,
            dns_egress_names=_dns_names(status) or self.dns_egress_names,
            exposed_ports=self.exposed_ports
            if (ports := _exposed_ports(status)) is None
            else ports,
            service_addresses=_addresses(status, self.service_addresses),
            share_token=_share_token(message) or self.share_token,
        )


def observation(message: Message) -> Observation:
    """The state in a Sandbox message. One without status says nothing, which is unspecified."""
    status = _part(message, "status")
    return Observation(
        status.get("state", 0), status.get("exit_code"), status.get("state_reason", "")
    )


def _part(message: Message | None, name: str) -> Message:
    found: Message = (message or _NOTHING).get(name) or _NOTHING
    return found


def utc(timestamp: Message | None) -> datetime | None:
    """An aware time; None when absent or out of the range of datetime."""
    if timestamp is None:
        return None
    from datetime import UTC, datetime, timedelta

    try:
        seconds = datetime.fromtimestamp(timestamp["seconds"], UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return seconds + timedelta(microseconds=timestamp["nanos"] // 1000)


# ---- services ----


def _services(status: Message) -> Iterator[tuple[Message, Message]]:
    for service in status.get("services", ()):
        yield service, service.get("endpoint") or _NOTHING


def service_urls(status: Message) -> tuple[tuple[int, str, str], ...]:
    """(port, name, URL) of services that have one: the endpoint's for HTTPS, else the service's own."""
    found = []
    for service, endpoint in _services(status):
        source = service
        if endpoint:
            is_https = member(EndpointKind, endpoint["kind"]) is EndpointKind.HTTPS
            source = endpoint if is_https else _NOTHING
        if source.get("url"):
            found.append((service["port"], service["name"], source["url"]))
    return tuple(found)


def service_endpoints(status: Message) -> tuple[HttpsEndpointStatus, ...]:
    """The HTTPS endpoints in effect."""
    from cwsandbox._types.service import HttpsEndpointStatus

    found = []
    for service, endpoint in _services(status):
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


def wants_share_token(message: Message) -> bool:
    """Whether a create's answer has an endpoint that needs the share token, but lacks it."""
    spec = _part(message, "spec").get("services", ())
    status = _part(message, "status").get("services", ())
    auths = (_part(service, "endpoint").get("auth", 0) for service in (*spec, *status))
    wanted = any(member(EndpointAuth, auth) is EndpointAuth.SHARE_TOKEN for auth in auths)
    return wanted and not message.get("endpoint_share_token")


def _share_token(message: Message) -> EndpointShareToken | None:
    value = message.get("endpoint_share_token")
    if not value:
        return None
    from cwsandbox._types.service import EndpointShareToken

    return EndpointShareToken(value)


def _exposed_ports(status: Message) -> tuple[tuple[int, str], ...] | None:
    services = status.get("services")
    if not services:
        return None
    unspecified = ServiceVisibility.UNSPECIFIED
    return tuple(
        (service["port"], service["name"])
        for service in services
        if member(ServiceVisibility, service["visibility"]) not in (None, unspecified)
    )


def _addresses(
    status: Message, known: tuple[TlsPassthroughEndpointStatus, ...]
) -> tuple[TlsPassthroughEndpointStatus, ...]:
    """The TLS passthrough addresses. A known one stays while the service is listed and the sandbox comes up or runs."""
    if member(SandboxStatus, status.get("state", 0)) not in _ADDRESS_STATES:
        return ()
    before = {(row.port, row.name): row for row in known}
    found = []
    for service, endpoint in _services(status):
        key = (service["port"], service["name"])
        if (
            member(EndpointKind, endpoint.get("kind", 0)) is EndpointKind.TLS_PASSTHROUGH
            and endpoint["address"]
        ):
            found.append(_passthrough(service, endpoint))
        elif key in before:
            found.append(before[key])
    return tuple(found)


def _passthrough(service: Message, endpoint: Message) -> TlsPassthroughEndpointStatus:
    from cwsandbox._types.service import TlsPassthroughEndpointStatus

    return TlsPassthroughEndpointStatus(
        port=service["port"],
        name=service["name"],
        kind=EndpointKind.TLS_PASSTHROUGH,
        address=endpoint["address"],
    )


# ---- resources ----


def _effective_resources(status: Message) -> Message:
    requirements = status.get("effective_resource_requirements")
    if requirements:
        return dict(requirements)
    older = status.get("effective_resources")
    return {"requests": older, "limits": older} if older else _NOTHING


def resource_side(resources: Message, side: str) -> dict[str, str] | None:
    """The cpu and memory of "requests" or "limits"."""
    amounts = resources.get(side) or _NOTHING
    found = {key: amounts[key] for key in ("cpu", "memory") if amounts.get(key)}
    return found or None


def resource_gpu(resources: Message) -> dict[str, Any] | None:
    """The gpu grant with its count, and type or memory_gb."""
    for side in ("limits", "requests"):
        gpu = (resources.get(side) or _NOTHING).get("gpu")
        if gpu:
            return {key: gpu[key] for key in ("count", "type", "memory_gb") if gpu.get(key)}
    return None


# ---- containers ----


def containers(spec: Message) -> tuple[Container, ...]:
    """The rows of the spec; the first is marked primary if none is."""
    rows = spec.get("containers", ())
    primary = next((index for index, row in enumerate(rows) if row.get("primary")), 0)
    return tuple(_container(row, index == primary) for index, row in enumerate(rows))


def _container(row: Message, primary: bool) -> Container:
    from cwsandbox._types.container import Container
    from cwsandbox._types.resources import ResourceOptions

    requirements = row.get("resource_requirements") or _NOTHING
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
        "mounted_files": tuple(
            {"mount_path": file["path"], "file_content": file["content"]}
            for file in row.get("files", ())
        )
        or None,
        "volume_mounts": tuple(_mount(mount) for mount in row.get("volume_mounts", ())) or None,
        "secrets": tuple(_secrets(row.get("secret_stores", ()))) or None,
        "working_dir": row.get("working_dir") or None,
        "image_pull_credentials": _pull_credentials(row.get("image_pull_credentials")),
        "primary": primary,
    }
    return _unchecked(Container, fields)


def _unchecked(cls: type[_T], fields: Message) -> _T:
    # The server may name things as no caller may, and its word is not to be refused.
    made = object.__new__(cls)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def _mount(mount: Message) -> Any:
    from cwsandbox._types.volume import VolumeMount

    return _unchecked(VolumeMount, {**mount, "sub_path": mount.get("sub_path") or None})


def _secrets(stores: Iterable[Message]) -> Iterator[Any]:
    from cwsandbox._types.secret import Secret

    for store in stores:
        for entry in store["secrets"]:
            variable = entry["env_var"] or entry["path"]
            fields = {"store": store["store_name"], "name": entry["path"], "field": entry["field"]}
            yield _unchecked(Secret, {**fields, "env_var": variable})


def _pull_credentials(credentials: Message | None) -> Any:
    if not credentials:
        return None
    from cwsandbox._types.secret import ImagePullCredentials

    source = credentials.get("credentials") or _NOTHING
    fields = {"store": source.get("store_name", ""), "name": source.get("path", "")}
    registry = credentials.get("registry", "")
    return _unchecked(
        ImagePullCredentials, {**fields, "registry": registry, "field": source.get("field", "")}
    )


def container_statuses(status: Message) -> tuple[ContainerStatus, ...]:
    """The observed state of each container."""
    from cwsandbox._types.container import ContainerStatus

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


def _dns_names(status: Message) -> tuple[str, ...]:
    rules = status.get("effective_egress", ())
    return tuple(rule["https_hostname"] for rule in rules if rule.get("https_hostname"))


def egress_rules(status: Message) -> tuple[EgressRule, ...]:
    """The outbound rules in effect, without those this package has no form for."""
    from cwsandbox._types.network import EgressRule

    return tuple(_rules(EgressRule, status.get("effective_egress", ())))


def ingress_rules(status: Message) -> tuple[IngressRule, ...]:
    """The inbound rules in effect, without those this package has no form for."""
    from cwsandbox._types.network import IngressRule

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


def control(message: Message | None) -> SandboxControl | None:
    """Who manages the containers; None before any answer."""
    if message is None:
        return None
    return member(SandboxControl, message.get("control", 0)) or SandboxControl.UNSPECIFIED
