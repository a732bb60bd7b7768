"""Runs both clients through the scenarios in turn and prints what they cost.

    scorecard.py --ours PYTHON --published PYTHON --server PROGRAM --floor PROGRAM --spawn PROGRAM [...]

In each round of a scenario every client has its turn, so that a machine that is slower for a while is so for all.
The figures are medians over the rounds; ± is half the distance of the extremes. The exit code is 1 if a client did
not come through a scenario.
"""

# ruff: noqa: RUF001  # the sign for times is meant
from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import daemon, h2load, scaling, table
from harness.figures import Medians, Run, Scenario
from harness.run import Clients, Failed
from harness.scenarios import SCENARIOS
from harness.server import Server


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ours", type=Path, required=True, help="a Python with this package")
    parser.add_argument("--published", type=Path, help="a Python with the published SDK")
    parser.add_argument("--pyqwest", type=Path, help="a Python with pyqwest")
    parser.add_argument("--server", type=Path, required=True)
    parser.add_argument("--floor", type=Path, required=True)
    parser.add_argument("--spawn", type=Path, help="measure the daemon, too, and this next to it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1, help="of the work of each run")
    parser.add_argument("--only", default="", help="scenarios whose name has this pattern")
    parser.add_argument("--scaling", action="store_true", help="measure from 1 to 10,000, too")
    parser.add_argument("--json", type=Path, help="the file for all runs; the tables go next to it")
    return parser.parse_args()


def measure(
    scenario: Scenario, clients: Clients, rounds: int, scale: float, medians: Medians
) -> tuple[dict[str, list[Run]], list[str]]:
    """All runs by client, and what went wrong."""
    runs: dict[str, list[Run]] = {}
    faults: list[str] = []
    for _ in range(rounds):
        for client in scenario.clients():
            if client != "floor" and client not in clients.pythons:
                continue
            try:
                with Server(clients.server) as server:
                    run = clients.run(scenario, client, server, scale)
                    run["server_cpu"] = server.cpu()
            except Failed as failure:
                faults.append(f"{scenario.name}, {client}: {failure}")
                continue
            runs.setdefault(client, []).append(run)
            for figure in scenario.figures:
                if client != "floor" or figure.of_floor:
                    medians.add(scenario.name, figure.name, client, figure.of(run))
    return runs, faults


def version(client: str, python: Path) -> str:
    package = client if client == "pyqwest" else "cwsandbox"
    code = f"import importlib.metadata as m, sys; print(m.version({package!r}), sys.version.split()[0])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return "{}, Python {}".format(*done.stdout.split())


def machine() -> dict[str, Any]:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
    }


class Scorecard:
    """All that is measured, and what is told of it."""

    def __init__(self, args: argparse.Namespace) -> None:
        pythons = {"ours": args.ours, "published": args.published, "pyqwest": args.pyqwest}
        self._args = args
        self._clients = Clients(
            {name: path.absolute() for name, path in pythons.items() if path},
            args.floor.resolve(),
            args.server.resolve(),
        )
        self._medians = Medians()
        self._told: list[str] = []
        self.faults: list[str] = []
        self.record: dict[str, Any] = {
            "machine": machine(),
            "versions": {name: version(name, path) for name, path in self._clients.pythons.items()},
            "rounds": args.rounds,
            "scale": args.scale,
            "scenarios": {},
            "faults": self.faults,
        }

    def tell(self, *paragraphs: str) -> None:
        for text in paragraphs:
            print(text + "\n", flush=True)
            self._told.append(text + "\n")

    def measure_clients(self) -> None:
        chosen = [s for s in SCENARIOS if re.search(self._args.only, s.name)]
        for scenario in chosen:
            print(f"{scenario.name} ...", file=sys.stderr)
            runs, faults = measure(
                scenario, self._clients, self._args.rounds, self._args.scale, self._medians
            )
            self.record["scenarios"][scenario.name] = runs
            self.faults += faults
        self.tell(table.text(table.rows(chosen, self._medians)))

    def measure_daemon(self) -> None:
        chosen = [s for s in daemon.SCENARIOS if re.search(self._args.only, s.name)]
        bench = daemon.Bench(self._clients, self._args.spawn.resolve())
        self.record["daemon"], faults = bench.rounds(
            chosen, self._args.rounds, self._args.scale, self._medians
        )
        self.faults += faults
        self.tell("The daemon:", table.text(table.rows(chosen, self._medians)))

    def measure_server(self) -> None:
        found = self.record["h2load"] = h2load.measure(self._clients, self._args.scale)
        self.tell("The server alone, asked by h2load:", h2load.text(found))

    def measure_scaling(self) -> None:
        found = self.record["scaling"] = scaling.measure(self._clients, self._args.scale)
        self.tell("CPU per operation as the number grows (µs):", scaling.text(found))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.record, indent=1) + "\n")
        path.with_suffix(".md").write_text("\n".join(self._told))


def main() -> int:
    args = options()
    card = Scorecard(args)
    about = card.record["machine"]
    card.tell(
        f"{about['cores']} × {about['cpu']}, Linux {about['kernel']}, load {about['load']:.1f}; "
        + "; ".join(f"{name}: {text}" for name, text in card.record["versions"].items())
        + f"; {args.rounds} rounds"
    )
    card.measure_clients()
    if args.spawn:
        card.measure_daemon()
    card.measure_server()
    if args.scaling:
        card.measure_scaling()
    if card.faults:
        card.tell("What went wrong:", "\n".join(f"- {fault}" for fault in card.faults))
    if args.json:
        card.save(args.json)
    return 1 if card.faults else 0


if __name__ == "__main__":
    sys.exit(main())
