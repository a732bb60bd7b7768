"""What a sandbox's public object knows without asking the server."""

from __future__ import annotations

from cwsandbox._messages import echo
from cwsandbox._messages.parts import resource_gpu, resource_side
from cwsandbox._sandbox.naming import part_of_sandbox
from cwsandbox._types.annotations import on_demand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

    from cwsandbox._lifecycle.handle import Handle
    from cwsandbox._messages.config import Workload
    from cwsandbox._types.container import Container, ContainerStatus
    from cwsandbox._types.enums import SandboxControl, SandboxStatus
    from cwsandbox._types.network import EgressRule, IngressRule
    from cwsandbox._types.service import (
        EndpointShareToken,
        HttpsEndpointStatus,
        TlsPassthroughEndpointStatus,
    )


@part_of_sandbox
@on_demand
class SandboxProperties:
    """Values from the server's latest answer. Reading one never blocks and never sends anything."""

    if TYPE_CHECKING:
        _handle: Handle
        _workload: Workload | None

    @property
    def sandbox_id(self) -> str | None:
        """The server's id; None until the server has accepted the create."""
        return self._handle.sandbox_id

    @property
    def status(self) -> SandboxStatus | None:
        """The last known status; None until the server has accepted the create."""
        return self._handle.state.status

    @property
    def status_updated_at(self) -> datetime | None:
        """When the status was last confirmed, as an aware datetime in UTC."""
        return self._handle.state.confirmed_at

    @property
    def status_reason(self) -> str | None:
        """The server's explanation of the status."""
        return self._handle.echo.status.get("state_reason") or None

    @property
    def returncode(self) -> int | None:
        """The main process's exit code, once the sandbox has ended and the server knows it."""
        return self._handle.state.returncode

    @property
    def runner_id(self) -> str | None:
        """The runner that hosts the sandbox."""
        return self._handle.echo.runner_id

    @property
    def runner_group_id(self) -> str | None:
        """The group of that runner."""
        return self._handle.echo.runner_group_id

    @property
    def created_at(self) -> datetime | None:
        """When the server created the sandbox, as an aware datetime in UTC."""
        return self._handle.echo.created_at

    @property
    def started_at(self) -> datetime | None:
        """When the sandbox started to run: in UTC, but naive (without a time zone), unlike the other times."""
        started = self._handle.echo.started_at
        return None if started is None else started.replace(tzinfo=None)

    @property
    def tags(self) -> tuple[str, ...]:
        """Its labels: first those requested, later those the server reports."""
        if self._handle.echo.spec:
            return tuple(self._handle.echo.spec["tags"])
        return () if self._workload is None else self._workload.tags

    @property
    def control(self) -> SandboxControl | None:
        """Who manages the containers; None before the first answer."""
        return echo.control(self._handle.echo.message)

    @property
    def containers(self) -> tuple[Container, ...]:
        """The containers as the server has them."""
        from cwsandbox._messages import values

        return values.containers(self._handle.echo.spec)

    @property
    def container_statuses(self) -> tuple[ContainerStatus, ...]:
        """The observed state of each container."""
        from cwsandbox._messages import values

        return values.container_statuses(self._handle.echo.status)

    @property
    def effective_runtime_class(self) -> str | None:
        """The runtime class in effect."""
        return self._handle.echo.status.get("effective_runtime_class") or None

    @property
    def attached_volume_ids(self) -> tuple[str, ...]:
        """The registered volumes that are attached."""
        return tuple(self._handle.echo.status.get("attached_volume_ids", ()))

    @property
    def file_system_snapshot_id(self) -> str | None:
        """The snapshot that ``stop(snapshot_on_stop=True)`` made, the first of several; None without one."""
        ids = self._handle.snapshot_ids
        return ids[0] if ids else None

    @property
    def service_urls(self) -> tuple[tuple[int, str, str], ...]:
        """(port, name, URL) of each service that has a URL."""
        return echo.service_urls(self._handle.echo.status)

    @property
    def service_endpoints(self) -> tuple[HttpsEndpointStatus, ...]:
        """The HTTPS endpoints in effect."""
        from cwsandbox._messages import values

        return values.service_endpoints(self._handle.echo.status)

    @property
    def service_addresses(self) -> tuple[TlsPassthroughEndpointStatus, ...]:
        """The TLS passthrough endpoints in effect, while the sandbox starts or runs."""
        return self._handle.echo.service_addresses

    @property
    def endpoint_share_token(self) -> EndpointShareToken | None:
        """The credential for share-token endpoints. Only the object that created the sandbox has it."""
        return self._handle.echo.share_token

    @property
    def exposed_ports(self) -> tuple[tuple[int, str], ...] | None:
        """(port, name) of services that can be reached from outside; None until the server has reported any."""
        return self._handle.echo.exposed_ports

    @property
    def dns_egress_names(self) -> tuple[str, ...]:
        """Host names that the sandbox may connect to."""
        return self._handle.echo.dns_egress_names

    @property
    def effective_egress(self) -> tuple[EgressRule, ...]:
        """The outbound rules in effect."""
        from cwsandbox._messages import values

        return values.egress_rules(self._handle.echo.status)

    @property
    def effective_ingress(self) -> tuple[IngressRule, ...]:
        """The inbound rules in effect."""
        from cwsandbox._messages import values

        return values.ingress_rules(self._handle.echo.status)

    @property
    def resource_limits(self) -> dict[str, str] | None:
        """The cpu and memory limits in effect, as quantities."""
        return resource_side(self._handle.echo.resources, "limits")

    @property
    def resource_requests(self) -> dict[str, str] | None:
        """The guaranteed cpu and memory, as quantities."""
        return resource_side(self._handle.echo.resources, "requests")

    @property
    def resource_gpu(self) -> dict[str, Any] | None:
        """The gpu grant: count, and type or memory_gb."""
        return resource_gpu(self._handle.echo.resources)
