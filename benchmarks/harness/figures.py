"""What is read from a run, and what is to be reached."""

# ruff: noqa: RUF001  # the sign for times is meant
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isnan
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
    times_better: float = 0
    """By how much that beats the published SDK where the goal was set; 0: it does not depend on the machine."""


def value(limit: float, published: float = 0) -> Goal:
    """A limit that was set where the published SDK's figure was the other one."""
    times = max(limit / published, published / limit) if published else 0
    return Goal(lambda _: limit, f"{limit:,g}", times)


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

    def verdict(self, medians: Medians, scenario: str) -> str:
        """Whether the goal is reached: by itself, or else by the ratio to the published SDK in the same measurement,
        which a slow machine leaves as it is."""
        ours, published = (medians(scenario, self.name, client) for client in ("ours", "published"))
        if self.goal is None or isnan(ours):
            return ""
        limit = self.goal.limit(medians)
        if ours >= limit if self.more_is_better else ours <= limit:
            return "yes"
        times = self.goal.times_better
        return "by ratio" if times and self.times_better(ours, published) >= times else "NO"

    def times_better(self, mine: float, other: float) -> float:
        over, under = (mine, other) if self.more_is_better else (other, mine)
        return over / under if under else float("nan")

    def rule(self) -> str:
        if self.goal is None:
            return ""
        ratio = f", {self.goal.times_better:.3g}×" if self.goal.times_better else ""
        return f"{'≥' if self.more_is_better else '≤'} {self.goal.words}{ratio}"


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
    scales: bool = True
    """Whether the count is an amount of work; otherwise it is what the scenario is about."""

    def clients(self) -> tuple[str, ...]:
        more = ("pyqwest",) if "pyqwest" in self.counts else ()
        return ("ours", "published", *more, "floor") if self.floor else ("ours", "published", *more)
