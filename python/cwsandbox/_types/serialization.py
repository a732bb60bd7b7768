"""How values travel. Not beside the other enums, which every program loads."""

from __future__ import annotations

from enum import StrEnum, unique


@unique
class Serialization(StrEnum):
    """How a remote function's arguments and result travel."""

    JSON = "json"
    PICKLE = "pickle"
