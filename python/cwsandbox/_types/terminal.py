"""How a terminal session ended."""

from __future__ import annotations

# What makes a dataclass looks into typing if that is there, also while another thread still loads it.
import typing  # noqa: F401
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TerminalResult:
    """The outcome of a terminal session: ``returncode`` is the exit code of its ``command``, the argv that was run.

    Default of ``command``: an empty list.
    """

    returncode: int
    command: list[str] = field(default_factory=list)
