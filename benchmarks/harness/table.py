"""The table that people read."""

# ruff: noqa: RUF001  # the signs for times and for a range are meant
from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan

from .figures import Figure, Medians, Scenario

HEADINGS = (
    "scenario",
    "figure",
    "published",
    "ours",
    "±",
    "better",
    "pyqwest",
    "floor",
    "to reach",
    "",
)


def number(value: float) -> str:
    """Three digits that count, and no more than a reader wants."""
    if isnan(value):
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(values: Sequence[float]) -> str:
    """Half of the way from the least to the most, in percent of the middle."""
    if len(values) < 2:
        return ""
    middle = (max(values) + min(values)) / 2
    return f"{(max(values) - min(values)) / 2 / middle:.0%}" if middle else ""


def row(scenario: Scenario, figure: Figure, medians: Medians) -> tuple[str, ...]:
    ours, published, pyqwest, floor = (
        medians(scenario.name, figure.name, client)
        for client in ("ours", "published", "pyqwest", "floor")
    )
    better = figure.times_better(ours, published)
    unit = f" ({figure.unit})" if figure.unit else ""
    return (
        scenario.title,
        figure.name + unit,
        number(published),
        number(ours),
        spread(medians.values(scenario.name, figure.name, "ours")),
        "" if isnan(better) else f"{number(better)}×",
        "" if isnan(pyqwest) else number(pyqwest),
        "" if isnan(floor) else number(floor),
        figure.rule(),
        figure.verdict(medians, scenario.name),
    )


def rows(scenarios: Iterable[Scenario], medians: Medians) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for scenario in scenarios:
        for at, figure in enumerate(scenario.figures):
            line = row(scenario, figure, medians)
            found.append(line if at == 0 else ("", *line[1:]))
    return found


def text(lines: Sequence[Sequence[str]], headings: Sequence[str] = HEADINGS) -> str:
    """As a Markdown table, with its columns in line: readable in a terminal and in a document."""
    table = [tuple(headings), *map(tuple, lines)]
    widths = [max(len(line[column]) for line in table) for column in range(len(headings))]
    numeric = {"published", "ours", "±", "better", "pyqwest", "floor", "before", "after", "change"}

    def join(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if heading in numeric else cell.ljust(width)
            for cell, width, heading in zip(cells, widths, headings, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = "|".join(
        "-" * (width + 1) + (":" if heading in numeric else "-")
        for width, heading in zip(widths, headings, strict=True)
    )
    return "\n".join([join(table[0]), f"|{rule}|", *map(join, table[1:])])
