"""Parts of a message that may be absent."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    Message = Mapping[str, Any]

NOTHING: dict[str, Any] = {}


def part(message: Message | None, name: str) -> Message:
    """The message in this field, an empty one if there is none."""
    found: Message = (message or NOTHING).get(name) or NOTHING
    return found


def services(status: Message) -> Iterator[tuple[Message, Message]]:
    """Each service of a status, and its endpoint."""
    for service in status.get("services", ()):
        yield service, service.get("endpoint") or NOTHING


def resource_side(resources: Message, side: str) -> dict[str, str] | None:
    """The cpu and memory of "requests" or "limits"."""
    amounts = resources.get(side) or NOTHING
    found = {key: amounts[key] for key in ("cpu", "memory") if amounts.get(key)}
    return found or None


def resource_gpu(resources: Message) -> dict[str, Any] | None:
    """The gpu grant with its count, and type or memory_gb."""
    for side in ("limits", "requests"):
        gpu = (resources.get(side) or NOTHING).get("gpu")
        if gpu:
            return {key: gpu[key] for key in ("count", "type", "memory_gb") if gpu.get(key)}
    return None
