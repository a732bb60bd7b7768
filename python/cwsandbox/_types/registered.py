"""What a registered volume is made of, and where it is in its life."""

from __future__ import annotations

from enum import StrEnum, unique

from cwsandbox._types import check
from cwsandbox._types.annotations import on_demand
from cwsandbox._types.enums import numbered


@unique
class VolumeState(StrEnum):
    """Where a registered volume is in its life. Only one that is ready can be attached."""

    UNSPECIFIED = "unspecified"
    VALIDATING = "validating"
    READY = "ready"
    ERROR = "error"
    DELETING = "deleting"


@unique
class VolumeLocality(StrEnum):
    """Whether a volume can be reached from one cluster only, so that its sandboxes run there."""

    UNSPECIFIED = "unspecified"
    CLUSTER_LOCAL = "cluster_local"
    GLOBAL = "global"


numbered(*VolumeState)
numbered(*VolumeLocality)


@on_demand
class PvcVolumeSource:
    """The persistent volume claim behind a registered volume. It must exist already.

    - ``runner_id``: the runner whose cluster it is in.
    - ``namespace``: its namespace there.
    - ``claim_name``: its name.
    - ``sub_path``: the folder of the claim that is the volume. Default: all of it.
    """

    runner_id: str
    namespace: str
    claim_name: str
    sub_path: str | None

    def __init__(
        self, *, runner_id: str, namespace: str, claim_name: str, sub_path: str | None = None
    ) -> None:
        self.runner_id = check.text(runner_id, "PvcVolumeSource.runner_id")
        self.namespace = check.text(namespace, "PvcVolumeSource.namespace")
        self.claim_name = check.text(claim_name, "PvcVolumeSource.claim_name")
        self.sub_path = check.optional_text(sub_path, "PvcVolumeSource.sub_path")
