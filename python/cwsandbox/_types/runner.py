"""Runners: the machines that sandboxes run on, and amounts of what they have as text."""

from __future__ import annotations

# What makes a dataclass looks into typing if that is there, also while another thread still loads it.
import typing  # noqa: F401
from dataclasses import dataclass
from datetime import datetime

_BINARY_UNITS = ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)
_LISTS = (
    "tags",
    "supported_gpu_types",
    "supported_architectures",
    "available_storage_classes",
    "supported_service_visibilities",
)


def format_bytes(value: int) -> str:
    """An amount of memory as text: "512 B", "1.5 GiB".

    - ``value``: a number of bytes. From 1 KiB on it is told with one decimal, in KiB, MiB, GiB or TiB.
    """
    for unit, size in _BINARY_UNITS:
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value} B"


def format_cpu(millicores: int) -> str:
    """A share of processors as text: "1.5 vCPU".

    - ``millicores``: thousandths of a processor. Told in whole processors, with one decimal.
    """
    return f"{millicores / 1000:.1f} vCPU"


@dataclass(frozen=True, kw_only=True)
class RunnerResources:
    """What a runner has free.

    - ``available_cpu_millicores``: thousandths of a processor that nothing is reserved for.
    - ``available_memory_bytes``: bytes of memory.
    - ``available_gpu_count``: GPUs.
    - ``running_sandboxes``: how many sandboxes run there.
    """

    available_cpu_millicores: int
    available_memory_bytes: int
    available_gpu_count: int
    running_sandboxes: int


@dataclass(frozen=True, kw_only=True)
class Runner:
    """A machine, or a group of them, that sandboxes run on. ``list_runners()`` and ``get_runner()`` give them.

    - ``runner_id``: its id, unique in its organization. The option ``runner_ids`` of a sandbox takes it.
    - ``organization_id``: whose it is.
    - ``runner_group_id``: the group it belongs to.
    - ``tags``: its labels.
    - ``healthy``: whether it takes sandboxes now.
    - ``is_shared``: whether other organizations use it, too.
    - ``connected_at``: since when the service knows it, in UTC.
    - ``max_cpu_millicores``: thousandths of a processor that a sandbox can have at most.
    - ``max_memory_bytes``: bytes of memory that a sandbox can have at most.
    - ``max_gpu_count``: how many GPUs a sandbox can have at most.
    - ``supported_gpu_types``: the kinds of its GPUs.
    - ``supported_architectures``: its processors' architectures, such as "amd64".
    - ``supports_privileged``: whether privileged containers are possible.
    - ``available_storage_classes``: kinds of storage for volumes.
    - ``supported_service_visibilities``: who can be let in to a sandbox's services: "public", "private", "custom".
    - ``resources``: what it has free. Default: None, not asked for or not told.
    """

    runner_id: str
    organization_id: str
    runner_group_id: str
    tags: tuple[str, ...]
    healthy: bool
    is_shared: bool
    connected_at: datetime
    max_cpu_millicores: int
    max_memory_bytes: int
    max_gpu_count: int
    supported_gpu_types: tuple[str, ...]
    supported_architectures: tuple[str, ...]
    supports_privileged: bool
    available_storage_classes: tuple[str, ...]
    supported_service_visibilities: tuple[str, ...]
    resources: RunnerResources | None = None

    def __post_init__(self) -> None:
        for name in _LISTS:
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))

    def __repr__(self) -> str:
        shown = (
            f"runner_id={self.runner_id!r}",
            f"organization_id={self.organization_id!r}",
            f"healthy={self.healthy!r}",
            f"cpu={format_cpu(self.max_cpu_millicores)}",
            f"memory={format_bytes(self.max_memory_bytes)}",
            f"gpus={self.max_gpu_count}",
            f"visibilities={[*self.supported_service_visibilities]!r}",
        )
        return f"Runner({', '.join(shown)})"
