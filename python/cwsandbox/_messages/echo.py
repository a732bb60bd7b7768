"""What the server's answers say about a sandbox, apart from its state.

``Echo`` keeps the latest Sandbox message as a dict, and those values that later answers may leave out. The functions
below read such a message. None of them fails on a value that it does not know.
"""

from __future__ import annotations

from cwsandbox._messages.observation import Observation
from cwsandbox._messages.parts import NOTHING, part, services
from cwsandbox._types.enums import (
    EndpointAuth,
    EndpointKind,
    SandboxControl,
    SandboxStatus,
    ServiceVisibility,
    member,
)
from cwsandbox._types.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from typing import Any

    from cwsandbox._types.service import EndpointShareToken, TlsPassthroughEndpointStatus

    Message = Mapping[str, Any]

_ADDRESS_STATES = (SandboxStatus.CREATING, SandboxStatus.RUNNING)


class Echo(Record):
    """Everything known about a sandbox except its state. ``message`` is the latest Sandbox message; None: none yet."""

    message: Message | None = None
    runner_id: str | None = None
    runner_group_id: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    resources: Message = NOTHING
    dns_egress_names: tuple[str, ...] = ()
    exposed_ports: tuple[tuple[int, str], ...] | None = None
    service_addresses: tuple[TlsPassthroughEndpointStatus, ...] = ()
    share_token: EndpointShareToken | None = None
    # The names of the volumes that can be saved; None until an answer has had the spec.
    scratch_volumes: tuple[str, ...] | None = None

    @property
    def spec(self) -> Message:
        return part(self.message, "spec")

    @property
    def status(self) -> Message:
        return part(self.message, "status")

    def updated(self, message: Message) -> Echo:
        """With a newer message. Values that it leaves out are kept."""
        status = part(message, "status")
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
            scratch_volumes=self.scratch_volumes
            if "spec" not in message
            else _scratch_volumes(message["spec"]),
        )


def observation(message: Message) -> Observation:
    """The state in a Sandbox message. One without status says nothing, which is unspecified."""
    status = part(message, "status")
    return Observation(
        status.get("state", 0), status.get("exit_code"), status.get("state_reason", "")
    )


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


def service_urls(status: Message) -> tuple[tuple[int, str, str], ...]:
    """(port, name, URL) of the services with a URL: the endpoint's for HTTPS, otherwise the service's own."""
    found = []
    for service, endpoint in services(status):
        source = service
        if endpoint:
            is_https = member(EndpointKind, endpoint["kind"]) is EndpointKind.HTTPS
            source = endpoint if is_https else NOTHING
        if source.get("url"):
            found.append((service["port"], service["name"], source["url"]))
    return tuple(found)


def wants_share_token(message: Message) -> bool:
    """Whether a create's answer has an endpoint that needs the share token, but lacks it."""
    spec = part(message, "spec").get("services", ())
    status = part(message, "status").get("services", ())
    auths = (part(service, "endpoint").get("auth", 0) for service in (*spec, *status))
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
    for service, endpoint in services(status):
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


# ---- volumes ----


def _scratch_volumes(spec: Message) -> tuple[str, ...]:
    """A volume without a source is a scratch volume, too."""
    volumes = spec.get("volumes", ())
    return tuple(volume["name"] for volume in volumes if "volume_id" not in volume)


def smaller_volumes(asked: Message, given: Message) -> Iterator[tuple[str, str, str]]:
    """(name, size asked for, actual size) of the scratch volumes that are smaller than asked for."""
    sizes = {one["name"]: part(one, "scratch").get("size") for one in given.get("volumes", ())}
    for volume in asked.get("volumes", ()):
        wanted, has = part(volume, "scratch").get("size"), sizes.get(volume["name"])
        if wanted and has and wanted != has and _is_less(has, wanted):
            yield volume["name"], wanted, has


def _is_less(size: str, other: str) -> bool:
    from cwsandbox._types.resources import parse_quantity

    try:
        return parse_quantity(size) < parse_quantity(other)
    except ValueError:
        return False  # a service may accept quantities that we cannot parse


# ---- resources ----


def _effective_resources(status: Message) -> Message:
    requirements = status.get("effective_resource_requirements")
    if requirements:
        return dict(requirements)
    older = status.get("effective_resources")
    return {"requests": older, "limits": older} if older else NOTHING


# ---- network ----


def _dns_names(status: Message) -> tuple[str, ...]:
    rules = status.get("effective_egress", ())
    return tuple(rule["https_hostname"] for rule in rules if rule.get("https_hostname"))


def control(message: Message | None) -> SandboxControl | None:
    """Who manages the containers; None before the first answer."""
    if message is None:
        return None
    return member(SandboxControl, message.get("control", 0)) or SandboxControl.UNSPECIFIED
