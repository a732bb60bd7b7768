"""How many sandboxes there may be, and how fast they may be asked for."""

from __future__ import annotations

# What makes a dataclass looks into typing if that is there, also while another thread still loads it.
import typing  # noqa: F401
from dataclasses import dataclass
from math import isfinite

from cwsandbox._types import check


@dataclass(frozen=True)
class Limits:
    """Limits on the sandboxes of a batch or a pool. None: no limit.

    - ``alive``: how many exist at once, those included that start or are being stopped.
    - ``starting``: how many start at once.
    - ``per_second``: how many are asked for in a second.
    """

    alive: int | None = None
    starting: int | None = None
    per_second: float | None = None

    def __post_init__(self) -> None:
        for name in ("alive", "starting"):
            value = getattr(self, name)
            if value is not None and check.integer(value, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        if self.per_second is not None:
            rate = check.number(self.per_second, "per_second")
            if not isfinite(rate) or rate <= 0:
                raise ValueError(f"per_second must be finite and > 0, got {self.per_second}")
