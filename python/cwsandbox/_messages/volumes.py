"""Registered volumes: what is asked of the service about them, and what its answers say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox._messages.echo import utc
from cwsandbox._messages.parts import part
from cwsandbox._types import check
from cwsandbox._types.enums import member, number
from cwsandbox._types.registered import PvcVolumeSource, VolumeLocality, VolumeState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Message = dict[str, Any]


def create_request(
    volume_id: str, pvc: PvcVolumeSource, read_only: bool, description: str, request_id: str
) -> Message:
    """The request to register a volume."""
    if not isinstance(pvc, PvcVolumeSource):
        raise TypeError(f"pvc must be a PvcVolumeSource, got {check.shown(pvc)}")
    source = {
        "runner_id": pvc.runner_id,
        "namespace": pvc.namespace,
        "claim_name": pvc.claim_name,
        "sub_path": pvc.sub_path or "",
    }
    spec = {
        "pvc": source,
        "read_only": check.boolean(read_only, "read_only"),
        "description": _description(description),
    }
    return {
        "volume": {"volume_id": check.text(volume_id, "volume_id"), "spec": spec},
        "request_id": request_id,
    }


def update_request(volume_id: str, description: str) -> Message:
    """The request for another description."""
    return {
        "volume_id": volume_id,
        "volume": {"volume_id": volume_id, "spec": {"description": _description(description)}},
        "update_mask": {"paths": ["spec.description"]},
    }


def _description(value: str) -> str:
    return check.optional_text(value, "description") or ""


def list_request(
    states: Sequence[VolumeState | str] | None, runner_ids: Sequence[str] | None
) -> Message:
    """The request for a first page."""
    request: Message = {}
    if states is not None:
        names = check.strings(states, "states")
        request["states"] = [number(check.choice(name, VolumeState, "states")) for name in names]
    if runner_ids is not None:
        request["runner_ids"] = [*check.strings(runner_ids, "runner_ids")]
    return request


def fields(message: Mapping[str, Any]) -> Message:
    """The attributes of a ``Volume`` that a Volume message tells. One without an id leaves the id as it is."""
    spec, status = part(message, "spec"), part(message, "status")
    told = {"volume_id": message["volume_id"]} if message["volume_id"] else {}
    return {
        **told,
        "pvc": _pvc(spec.get("pvc")),
        "read_only": spec.get("read_only", False),
        "description": spec.get("description", ""),
        "state": member(VolumeState, status.get("state", 0)) or VolumeState.UNSPECIFIED,
        "state_reason": status.get("state_reason", ""),
        "locality": member(VolumeLocality, status.get("locality", 0)) or VolumeLocality.UNSPECIFIED,
        "access_modes": tuple(status.get("access_modes", ())),
        "capacity": status.get("capacity", ""),
        "attached_sandbox_count": status.get("attached_sandbox_count", 0),
        "created_at": utc(status.get("create_time")),
        "updated_at": utc(status.get("update_time")),
        "last_validated_at": utc(status.get("last_validated_time")),
    }


def _pvc(source: Mapping[str, Any] | None) -> PvcVolumeSource | None:
    """None for a source that is not complete."""
    if source is None or not all(source[name] for name in ("runner_id", "namespace", "claim_name")):
        return None
    return PvcVolumeSource(**source)
