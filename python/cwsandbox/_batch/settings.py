"""How a batch is to be run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cwsandbox._batch.retry import Retry

Rerun = Literal["missing", "infra", "failed", "all"]


@dataclass(frozen=True)
class Settings:
    """What ``batch()`` was told."""

    concurrency: int
    retry: Retry
    rerun: Rerun
    max_output_bytes: int
    max_artifact_bytes: int
