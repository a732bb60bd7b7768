"""What is asked of the service about runners, and the public values that its answers are shown as."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cwsandbox._messages.echo import utc
from cwsandbox._messages.parts import part
from cwsandbox._types import check
from cwsandbox._types.enums import ServiceVisibility, member, number
from cwsandbox._types.runner import Runner, RunnerResources

if TYPE_CHECKING:
    from collections.abc import Mapping

    Message = dict[str, Any]

_BASIC, _FULL = 1, 2
_PAGE_SIZE = 100
_EPOCH = datetime.fromtimestamp(0, UTC)
_PREFIX = "visibility_"


def list_request(
    *, full: bool, healthy_only: bool, service_visibility: str | None, **filters: str | None
) -> Message:
    """The request for a first page. ``ValueError`` for a visibility that there is not."""
    request: Message = {
        "view": _FULL if full else _BASIC,
        "page_size": _PAGE_SIZE,
        "healthy_only": check.boolean(healthy_only, "healthy_only"),
        "service_visibility": number(_visibility(service_visibility)),
    }
    for name, value in filters.items():
        if check.optional_text(value, name) is not None:
            request[name] = value
    return request


def get_request(runner_id: str, organization_id: str) -> Message:
    """The request for one runner. ``ValueError`` naming the id that is blank."""
    ids = {"runner_id": runner_id, "organization_id": organization_id}
    for name, value in ids.items():
        if not check.text(value, name).strip():
            raise ValueError(f"{name} must not be blank, got {check.shown(value)}")
    return {**ids, "view": _FULL}


def _visibility(name: str | None) -> ServiceVisibility:
    if name is None:
        return ServiceVisibility.UNSPECIFIED
    if not isinstance(name, str):
        raise TypeError(f"service_visibility must be a str, got {check.shown(name)}")
    try:
        return ServiceVisibility(name.strip().lower().removeprefix(_PREFIX))
    except ValueError:
        known = ", ".join(one.value for one in ServiceVisibility)
        raise ValueError(
            f"unknown service_visibility: {check.shown(name)} (one of: {known})"
        ) from None


def runner(message: Mapping[str, Any]) -> Runner:
    """The public value of an AvailableRunner."""
    can = part(message, "capabilities")
    return Runner(
        runner_id=message["runner_id"],
        organization_id=message["organization_id"],
        runner_group_id=message["runner_group_id"],
        tags=tuple(message["tags"]),
        healthy=message["healthy"],
        is_shared=message["is_shared"],
        connected_at=utc(message.get("connected_at")) or _EPOCH,
        max_cpu_millicores=can.get("max_cpu_millicores", 0),
        max_memory_bytes=can.get("max_memory_bytes", 0),
        max_gpu_count=can.get("max_gpu_count", 0),
        supported_gpu_types=tuple(can.get("supported_gpu_types", ())),
        supported_architectures=tuple(can.get("supported_architectures", ())),
        supports_privileged=can.get("supports_privileged", False),
        available_storage_classes=tuple(can.get("available_storage_classes", ())),
        supported_service_visibilities=tuple(
            (member(ServiceVisibility, one) or ServiceVisibility.UNSPECIFIED).value
            for one in can.get("supported_service_visibilities", ())
        ),
        resources=_resources(message.get("resources")),
    )


def _resources(message: Mapping[str, Any] | None) -> RunnerResources | None:
    return None if message is None else RunnerResources(**message)
