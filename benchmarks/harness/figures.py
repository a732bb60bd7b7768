"""What is read from a run, and what is to be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

Run = Mapping[str, float]
"""One run of one client: what a scenario printed."""


class Medians:
    """What was measured; called, the median: `medians("async-64", "CPU per exec", "ours")`."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, str], list[float]] = {}

    def add(self, scenario: str, figure: str, client: str, value: float) -> None:
        self._values.setdefault((scenario, figure, client), []).append(value)

    def values(self, scenario: str, figure: str, client: str) -> list[float]:
        return self._values.get((scenario, figure, client), [])

    def __call__(self, scenario: str, figure: str, client: str) -> float:
        """NaN where nothing was measured, which reaches nothing."""
        values = self.values(scenario, figure, client)
        return median(values) if values else float("nan")


@dataclass(frozen=True)
class Goal:
    """What a figure is to reach, from other medians of the same measurement."""

    limit: Callable[[Medians], float]
    words: str


def value(limit: float) -> Goal:
    return Goal(lambda _: limit, f"{limit:,g}")


@dataclass(frozen=True)
class Figure:
    """A number that is made of a run, and how to read it."""

    name: str
    unit: str
    of: Callable[[Run], float]
    goal: Goal | None = None
    more_is_better: bool = False
    of_floor: bool = True
    """Whether the floor client's run has it too."""

    def reached(self, median: float, medians: Medians) -> bool | None:
        """None where nothing is to be reached."""
        if self.goal is None:
            return None
        limit = self.goal.limit(medians)
        return median >= limit if self.more_is_better else median <= limit

    def times_better(self, mine: float, other: float) -> float:
        over, under = (mine, other) if self.more_is_better else (other, mine)
        return over / under if under else float("nan")

    def rule(self) -> str:
        if self.goal is None:
            return ""
        return f"{'≥' if self.more_is_better else '≤'} {self.goal.words}"


@dataclass(frozen=True)
class Scenario:
    """A script with its arguments, and the figures that come of it."""

    name: str
    title: str
    script: str
    figures: tuple[Figure, ...]
    arguments: Mapping[str, int | str] = field(default_factory=dict)
    count_option: str = "count"
    counts: Mapping[str, int] = field(default_factory=dict)
    """By client, the value of count_option: a fast client needs more work to be measured."""
    floor: tuple[str, ...] = ()
    """Arguments of the floor client for the same work, with {count} for its count; empty: it cannot do it."""
    tls: bool = False

    def clients(self) -> tuple[str, ...]:
        return ("ours", "published", "floor") if self.floor else ("ours", "published")
