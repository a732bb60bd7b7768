"""What a server says about a refused request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldViolation:
    """One refused field: its path in the request, and why."""

    field: str = ""
    description: str = ""
