"""What a server says about a refused request."""

from __future__ import annotations

# What makes a dataclass looks into typing if that is there, also while another thread still loads it.
import typing  # noqa: F401
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldViolation:
    """One field of a request that the server refused.

    - ``field``: its path in the request.
    - ``description``: why it was refused.
    """

    field: str = ""
    description: str = ""
