"""Does an operation cost more when there are many? CPU of the client per operation, from 1 to 10,000 of them."""

# ruff: noqa: RUF001  # the signs for times and for a range are meant
from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .figures import Run
from .run import SCRIPTS, Clients, Failed, run_json
from .server import Server
from .table import number
from .table import text as table_text

Points = dict[str, dict[str, float]]
"""By client and by number (JSON has no other keys than text), microseconds of CPU per operation."""


@dataclass(frozen=True)
class Line:
    """One way to have many."""

    name: str
    title: str
    unit: str
    script: str
    numbers: Mapping[str, tuple[int, ...]]
    """By client: one that needs minutes for the last of them is spared it."""
    arguments: Callable[[int, float, str], dict[str, int | str]]
    """Of the number, the scale of the work, and the client."""
    of: Callable[[Run], float]


def execs(in_flight: int, scale: float, client: str) -> dict[str, int | str]:
    few, many = (2000, 3000) if client == "published" else (5000, 40_000)
    count = few if in_flight < 16 else many
    return {"in_flight": in_flight, "count": max(in_flight, int(count * scale))}


def boxes(sandboxes: int, scale: float, client: str) -> dict[str, int | str]:
    count = 2000 if client == "published" else 10_000
    return {"sandboxes": sandboxes, "execs": max(1, int(count * scale) // sandboxes)}


def outputs(tens_of_kb: int, scale: float, client: str) -> dict[str, int | str]:
    size = tens_of_kb * 10_000
    repeat = max(1, min(1000, int(100_000_000 * scale) // size))
    return {"bytes": size, "repeat": repeat, "read": "bytes"}


def per_exec(run: Run) -> float:
    return run["cpu"] / run["ops"] * 1e6


ALL = (1, 4, 16, 64, 256, 1024, 4096, 10_000)
LINES = (
    Line(
        "in-flight",
        "execs in flight",
        "per exec",
        "exec_async.py",
        {"ours": ALL, "published": ALL},
        execs,
        per_exec,
    ),
    Line(
        "sandboxes",
        "open sandboxes, one exec in flight in each",
        "per exec",
        "sandboxes.py",
        {"ours": (1, 10, 100, 1000, 10_000), "published": (1, 10, 100, 1000)},
        boxes,
        per_exec,
    ),
    Line(
        "output",
        "output of an exec, in 10 kB",
        "per 10 kB",
        "output.py",
        {"ours": (1, 10, 100, 1000, 10_000), "published": (1, 10, 100, 1000, 10_000)},
        outputs,
        lambda run: run["cpu"] / run["bytes"] * 10_000 * 1e6,
    ),
)


def measure(clients: Clients, scale: float) -> dict[str, Points]:
    found: dict[str, Points] = {}
    for line in LINES:
        points = found.setdefault(line.name, {})
        for many in line.numbers["ours"]:
            for client, python in clients.pythons.items():
                if many not in line.numbers.get(client, ()):
                    continue
                print(f"{line.name} {many} {client} ...", file=sys.stderr)
                command: list[str | Path] = [python, SCRIPTS / line.script]
                for name, argument in line.arguments(many, scale, client).items():
                    command += ["--" + name.replace("_", "-"), str(argument)]
                try:
                    with Server(clients.server) as server:
                        run = run_json(command, server.environment(tls=False))
                except Failed as failure:
                    print(f"  {failure}", file=sys.stderr)
                    continue
                points.setdefault(client, {})[str(many)] = line.of(run)
    return found


def text(found: Mapping[str, Points]) -> str:
    rows: list[tuple[str, ...]] = []
    for line in LINES:
        points = found.get(line.name, {})
        for at, many in enumerate(line.numbers["ours"]):
            figures = (points.get(client, {}).get(str(many)) for client in ("published", "ours"))
            cells = ("–" if figure is None else number(figure) for figure in figures)
            rows.append((f"{line.title}; {line.unit}" if at == 0 else "", f"{many:,}", *cells))
    return table_text(rows, ("of what", "number", "published", "ours"))
