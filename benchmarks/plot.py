# ruff: noqa: RUF001  # the sign for times is meant
"""Draws a record of the scorecard: `plot.py RECORD.json FOLDER` writes cost.svg and, if measured, scaling.svg."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from html import escape
from math import floor, log10
from pathlib import Path
from statistics import median
from typing import Any

from harness.figures import Scenario
from harness.scaling import LINES, Line, Points
from harness.scenarios import SCENARIOS
from harness.table import number

CLIENTS = {
    "published": ("published SDK", "#b9770e"),
    "pyqwest": ("pyqwest, by hand", "#7f8c8d"),
    "ours": ("this package", "#1f618d"),
}
FONT = "font-family='system-ui, sans-serif' font-size='12'"
INK, GRID = "#333", "#ddd"

COSTS = (
    ("sync", "CPU per exec", "one exec after the other"),
    ("async-64", "CPU per exec", "exec, 64 awaits at once"),
    ("async-4096", "CPU per exec", "exec, 4,096 awaits at once"),
    ("threads-8", "CPU per exec", "exec, 8 threads"),
    ("sandboxes-200", "CPU per exec", "exec, in 200 sandboxes"),
    ("sync-tls", "CPU per exec", "one exec after the other, TLS"),
    ("line-frames-sync", "CPU per line", "a line on its own"),
    ("wait", "CPU per process", "wait(10 of 2,000), a process"),
)
"""What is drawn as bars, all in microseconds: scenario, figure, words."""


class Scale:
    """Positions on a logarithmic axis."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.first, self.last = floor(log10(low)), -floor(-log10(high))
        if self.last == self.first:
            self.last += 1
        self._start, self._per_decade = start, (end - start) / (self.last - self.first)

    def __call__(self, value: float) -> float:
        return self._start + (log10(value) - self.first) * self._per_decade

    def decades(self) -> list[float]:
        return [10.0**power for power in range(self.first, self.last + 1)]


def words(x: float, y: float, text: str, anchor: str = "start", more: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='{INK}' {more}>{escape(text)}</text>"


def rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f"<path d='M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}' stroke='{GRID}'/>"


def picture(width: int, height: int, parts: Iterable[str]) -> str:
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' {FONT}>"
    return "\n".join([head, "<rect width='100%' height='100%' fill='#fff'/>", *parts, "</svg>\n"])


def legend(x: float, y: float, clients: Iterable[str]) -> list[str]:
    parts: list[str] = []
    for at, (name, colour) in enumerate(CLIENTS[client] for client in clients):
        parts.append(
            f"<rect x='{x + at * 130}' y='{y - 9}' width='10' height='10' fill='{colour}'/>"
        )
        parts.append(words(x + at * 130 + 15, y, name))
    return parts


def medians(record: Mapping[str, Any], scenario: Scenario, figure: str) -> dict[str, float]:
    (wanted,) = (f for f in scenario.figures if f.name == figure)
    runs = record["scenarios"].get(scenario.name, {})
    return {c: median(map(wanted.of, runs[c])) for c in CLIENTS if runs.get(c)}


def saving(client: str, values: Mapping[str, float]) -> str:
    """The end of a bar: what it says, and for ours how much that is less."""
    said = number(values[client])
    if client != "ours" or "published" not in values:
        return said
    return f"{said} ({number(round(values['published'] / values['ours']))}× less)"


def cost(record: Mapping[str, Any]) -> str:
    """Bars: what an operation costs."""
    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    bars = [(text, medians(record, by_name[name], figure)) for name, figure, text in COSTS]
    bars = [(text, values) for text, values in bars if values]
    every = [value for _, values in bars for value in values.values()]
    drawn = [client for client in CLIENTS if any(client in values for _, values in bars)]
    left, top, step, width = 220, 62, 16 * len(drawn) + 12, 800
    bottom = top + step * len(bars)
    scale = Scale(min(every) / 1.5, max(every) * 1.5, left, width - 110)
    parts = [
        words(
            left,
            22,
            "CPU of the client per operation, µs (logarithmic; less is better)",
            more="font-weight='bold'",
        )
    ]
    parts += legend(left, 44, drawn)
    for decade in scale.decades():
        parts.append(rule(scale(decade), top - 6, scale(decade), bottom))
        parts.append(words(scale(decade), bottom + 16, f"{decade:g}", "middle"))
    for at, (text, values) in enumerate(bars):
        y = top + at * step
        parts.append(words(left - 10, y + 8 * len(drawn) + 4, text, "end"))
        for row, client in enumerate(client for client in drawn if client in values):
            end, colour = scale(values[client]), CLIENTS[client][1]
            parts.append(
                f"<rect x='{left}' y='{y + row * 16}' width='{end - left:.1f}' height='14' fill='{colour}'/>"
            )
            parts.append(words(end + 5, y + row * 16 + 11, saving(client, values)))
    return picture(width, bottom + 30, parts)


def panel(
    line: Line, points: Points, left: float, top: float, width: float, height: float
) -> list[str]:
    """One graph: the cost of an operation over how many there are."""
    every = [value for values in points.values() for value in values.values()]
    across = Scale(1, 10_000, left, left + width)
    up = Scale(min(every) / 1.2, max(every) * 1.2, top + height, top)
    parts = [words(left, top - 10, f"CPU {line.unit}, µs", more="font-weight='bold'")]
    for decade in across.decades():
        parts.append(rule(across(decade), top, across(decade), top + height))
        parts.append(words(across(decade), top + height + 16, f"{decade:,g}", "middle"))
    for decade in up.decades():
        parts.append(rule(left, up(decade), left + width, up(decade)))
        parts.append(words(left - 6, up(decade) + 4, f"{decade:,g}", "end"))
    parts.append(words(left + width / 2, top + height + 34, line.title, "middle"))
    for client, values in points.items():
        colour = CLIENTS[client][1]
        spots = [(across(int(many)), up(value)) for many, value in values.items()]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        parts.append(f"<path d='M{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}'/>" for x, y in spots]
    return parts


def scaling(found: Mapping[str, Points]) -> str:
    width, height, gap = 250, 200, 65
    parts = legend(gap, 22, [client for client in CLIENTS if client != "pyqwest"])
    drawn = [line for line in LINES if found.get(line.name)]
    for at, line in enumerate(drawn):
        parts += panel(line, found[line.name], gap + at * (width + gap), 60, width, height)
    return picture(len(drawn) * (width + gap) + 30, height + 110, parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    record = json.loads(args.record.read_text())
    (args.folder / "cost.svg").write_text(cost(record))
    if record.get("scaling"):
        (args.folder / "scaling.svg").write_text(scaling(record["scaling"]))


if __name__ == "__main__":
    main()
