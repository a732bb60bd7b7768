"""CPU, memory and GPU of a container, and the quantities they are written in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from cwsandbox._types import check

_SIDE_KEYS = frozenset({"cpu", "memory"})
_FLAT_KEYS = _SIDE_KEYS | {"gpu"}
_NESTED_KEYS = frozenset({"requests", "limits", "gpu"})
_GPU_KEYS = frozenset({"count", "type", "memory_gb"})

_QUANTITY = re.compile(
    r"\+?(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)"
    r"(?:(?P<exponent>[eE][+-]?[0-9]+)|\s*(?P<suffix>m|[KMGTPE]i|[kMGTPE]))?"
)
_EXPONENT_AND_SUFFIX = re.compile(r"\+?[0-9.]+[eE][+-]?[0-9]+\s*[A-Za-z]+")
# No quantity that anybody writes has more digits.
_EXACT = Context(prec=1000)
_SUFFIXES = {
    "m": Decimal("0.001"),
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
}


def parse_quantity(text: str) -> Decimal:
    """The amount a Kubernetes quantity says: "500m" is 0.5, "1Ki" 1024, "1k" 1000. ``ValueError`` names the text."""
    stripped = text.strip()
    if not stripped:
        raise ValueError("empty quantity")
    if stripped.startswith("-"):
        raise ValueError(f"negative quantities are not allowed: {check.shown(text)}")
    match = _QUANTITY.fullmatch(stripped)
    if match is None:
        if _EXPONENT_AND_SUFFIX.fullmatch(stripped):
            raise ValueError(f"scientific notation with suffix is not allowed: {check.shown(text)}")
        raise ValueError(
            f"unrecognized quantity {check.shown(text)}: write it as '2', '500m' or '1.5Gi'"
        )
    amount = Decimal(match["number"] + (match["exponent"] or ""))
    return _EXACT.multiply(amount, _SUFFIXES.get(match["suffix"], Decimal(1)))


@dataclass(frozen=True, kw_only=True)
class ResourceOptions:
    """What a container is guaranteed and may use at most.

    A side that is missing is copied from the other one.

    - ``requests``: what it is guaranteed: a dict with ``cpu`` and ``memory``, Kubernetes quantities as str, such as
      "500m" and "1.5Gi".
    - ``limits``: what it may use at most, likewise.
    - ``gpu``: a dict with ``count``, and ``type`` or ``memory_gb``.
    """

    requests: dict[str, str] | None = None
    limits: dict[str, str] | None = None
    gpu: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("requests", "limits", "gpu"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Mapping):
                raise TypeError(f"ResourceOptions.{name} must be a dict, got {check.shown(value)}")
            object.__setattr__(self, name, dict(value) if value else None)


def normalize(
    value: ResourceOptions | Mapping[str, Any] | None, what: str = "resources"
) -> ResourceOptions | None:
    """Checked options with both sides filled.

    A dict with ``cpu``, ``memory``, ``gpu`` sets requests and limits alike; one with ``requests`` or ``limits`` sets
    them apart. A missing side is copied from the other.
    """
    if value is None:
        return None
    if isinstance(value, ResourceOptions):
        return _filled(value, what)
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} must be ResourceOptions or dict, got {check.shown(value)}")
    if {"requests", "limits"} & value.keys():
        return _nested(value, what)
    if not _FLAT_KEYS & value.keys():
        raise TypeError(
            f"{what}: unrecognized resources dict keys: {', '.join(map(str, value)) or 'none at all'}; "
            "valid keys: cpu, memory, gpu or requests, limits, gpu"
        )
    check.keys(value, _FLAT_KEYS, f"{what}: unrecognized resource keys")
    side = {key: value[key] for key in ("cpu", "memory") if value.get(key) is not None}
    gpu: Any = value.get("gpu")
    if gpu is not None and not isinstance(gpu, Mapping):
        gpu = {"count": gpu}
    return _filled(ResourceOptions(requests=side, limits=dict(side), gpu=gpu), what)


def _nested(value: Mapping[str, Any], what: str) -> ResourceOptions:
    check.keys(value, _NESTED_KEYS, f"{what}: unrecognized resource keys")
    return _filled(ResourceOptions(**value), what)


def _filled(options: ResourceOptions, what: str) -> ResourceOptions:
    for side in ("requests", "limits"):
        check.keys(getattr(options, side) or (), _SIDE_KEYS, f"{what}: unrecognized keys in {side}")
    requests = options.requests or options.limits
    limits = options.limits or options.requests
    _compare(requests or {}, limits or {}, what)
    _check_gpu(options.gpu, what)
    return ResourceOptions(
        requests=dict(requests) if requests else None,
        limits=dict(limits) if limits else None,
        gpu=options.gpu,
    )


def _compare(requests: Mapping[str, str], limits: Mapping[str, str], what: str) -> None:
    for key in ("cpu", "memory"):
        for side in (requests, limits):
            if key in side and not isinstance(side[key], str):
                raise TypeError(
                    f"{what}: {key} must be a str such as '500m' or '2Gi', got {check.shown(side[key])}"
                )
        if (
            key in requests
            and key in limits
            and parse_quantity(requests[key]) > parse_quantity(limits[key])
        ):
            raise ValueError(
                f"{what}: {key} request {requests[key]!r} exceeds limit {limits[key]!r}"
            )


def _check_gpu(gpu: Mapping[str, Any] | None, what: str) -> None:
    if gpu is None:
        return
    check.keys(gpu, _GPU_KEYS, f"{what}: unrecognized GPU keys")
    for key in ("count", "memory_gb"):
        amount = gpu.get(key)
        if amount is not None and (
            isinstance(amount, bool) or not isinstance(amount, int) or amount < 1
        ):
            raise ValueError(f"{what}: gpu {key} must be a positive int, got {check.shown(amount)}")
    if gpu.get("type") is not None and not isinstance(gpu["type"], str):
        raise ValueError(f"{what}: gpu type must be a str, got {check.shown(gpu['type'])}")
    if gpu.get("type") is not None and gpu.get("memory_gb") is not None:
        raise ValueError(f"{what}: gpu is chosen by type or by memory_gb, not by both")
