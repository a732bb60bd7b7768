"""Runs both clients through the scenarios in turn and prints what they cost.

    scorecard.py --ours PYTHON --published PYTHON --server PROGRAM --floor PROGRAM --spawn PROGRAM [...]

In each round of a scenario every client has its turn, so that a machine that is slower for a while is so for all.
The figures are medians over the rounds; ± is half the distance of the extremes. The exit code is 1 if a client did
not come through a scenario.
"""

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
    parser.add_argument("--server", type=Path, required=True)
    parser.add_argument("--floor", type=Path, required=True)
    parser.add_argument("--spawn", type=Path, help="measure the daemon, too, and this next to it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1, help="of the work of each run")
    parser.add_argument("--only", default="", help="scenarios whose name has this pattern")
    parser.add_argument("--scaling", action="store_true", help="measure from 1 to 10,000, too")
    parser.add_argument("--json", type=Path, help="the file for all that was measured")
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


def version(python: Path) -> str:
    code = (
        "import importlib.metadata as m, sys; print(m.version('cwsandbox'), sys.version.split()[0])"
    )
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


def main() -> int:
    args = options()
    pythons = {"ours": args.ours, "published": args.published}
    clients = Clients(
        {name: path.absolute() for name, path in pythons.items() if path},
        args.floor.resolve(),
        args.server.resolve(),
    )
    about: dict[str, Any] = {
        "machine": machine(),
        "versions": {name: version(path) for name, path in clients.pythons.items()},
        "rounds": args.rounds,
        "scale": args.scale,
    }
    print(json.dumps(about, indent=1), file=sys.stderr)
    medians = Medians()
    record: dict[str, Any] = {**about, "scenarios": {}, "faults": []}
    chosen = [s for s in SCENARIOS if re.search(args.only, s.name)]
    for scenario in chosen:
        print(f"{scenario.name} ...", file=sys.stderr)
        runs, faults = measure(scenario, clients, args.rounds, args.scale, medians)
        record["scenarios"][scenario.name] = runs
        record["faults"] += faults
        print("".join(f"  {fault}\n" for fault in faults), end="", file=sys.stderr)
    print(table.text(table.rows(chosen, medians)))
    if args.spawn:
        daemons = [s for s in daemon.SCENARIOS if re.search(args.only, s.name)]
        bench = daemon.Bench(clients, args.spawn.resolve())
        record["daemon"], faults = bench.rounds(daemons, args.rounds, args.scale, medians)
        record["faults"] += faults
        print("\nThe daemon:\n")
        print(table.text(table.rows(daemons, medians)))
    record["h2load"] = h2load.measure(clients, args.scale)
    print("\nThe server alone, asked by h2load:\n")
    print(h2load.text(record["h2load"]))
    if args.scaling:
        record["scaling"] = scaling.measure(clients, args.scale)
        print("\nCPU per operation as the number grows (µs):\n")
        print(scaling.text(record["scaling"]))
    if record["faults"]:
        print("\nWhat went wrong:\n" + "\n".join(f"- {fault}" for fault in record["faults"]))
    if args.json:
        args.json.write_text(json.dumps(record, indent=1) + "\n")
    return 1 if record["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
