"""Holds the costs of the client against their budget.

    guard.py --python PYTHON --mark MARK.so [--path FOLDER] [--update]

Times say little on a machine that others use, too; the instructions of a program and its allocations are the same
each time. Both are counted by callgrind for each operation of workload.py, in the client process only, and compared
with budget.json. What costs more than its budget and the tolerance fails; what costs less is told. --update writes
the budget anew: a change of what things cost is then part of the commit, for all to see.

How the threads take turns still differs a little, by a few in a hundred: a run that is over the budget is repeated
and the least counts; a new budget is the median of several runs.

The numbers belong to one Python, compiler and set of libraries; elsewhere they are shown, not judged.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import TypedDict

HERE = Path(__file__).resolve().parent
BUDGET = HERE / "budget.json"
TOLERANCE = 0.05
RUNS = 3
ALLOCATORS = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"}
NAMED = re.compile(r"\((\d+)\)(?: (.*))?")


class Cost(TypedDict):
    """Of one operation."""

    instructions: int
    allocations: float


class Budget(TypedDict):
    machine: str
    costs: dict[str, Cost]


@dataclass
class Counts:
    """What callgrind counted in one part."""

    instructions: int
    allocations: int
    objects: Counter[str]
    """The instructions by the program or library they are of."""


def read_counts(path: Path) -> Counts:
    """Callgrind's format: costs follow the `fn=` they are of; the line after `calls=` is of what was called."""
    names: dict[tuple[str, str], str] = {}
    objects: Counter[str] = Counter()
    allocations = instructions = 0
    ob = cfn = ""
    of_call = False

    def name(kind: str, text: str) -> str:
        match = NAMED.fullmatch(text)
        if match is None:
            return text
        if match[2]:
            names[kind, match[1]] = match[2]
        return names[kind, match[1]]

    for line in path.read_text().splitlines():
        key, _, value = line.partition("=")
        if key in {"ob", "cob"}:
            found = name("ob", value)
            ob = found if key == "ob" else ob
        elif key in {"fn", "cfn"}:
            found = name("fn", value)
            cfn = found if key == "cfn" else cfn
        elif key == "calls":
            of_call = True
            if cfn.partition("'")[0] in ALLOCATORS:
                allocations += int(value.split()[0])
        elif line[:1] in "0123456789+-*" and line:
            if not of_call:
                objects[Path(ob).name] += int(line.split()[1])
            of_call = False
        elif line.startswith("totals:"):
            instructions = int(line.split()[1])
    return Counts(instructions, allocations, objects)


@contextmanager
def running_peer() -> Iterator[str]:
    """The URL of a peer that runs as long as the block."""
    peer = subprocess.Popen(
        [sys.executable, HERE / "peer.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert peer.stdout is not None
    try:
        yield f"http://127.0.0.1:{peer.stdout.readline().strip()}"
    finally:
        peer.communicate(timeout=30)


@dataclass
class Measured:
    """What one run of the workload says."""

    costs: dict[str, Cost]
    counts: dict[str, Counts]


def measure(python: str, mark: Path, path: Path | None) -> Measured:
    """Runs the workload once."""
    with tempfile.TemporaryDirectory() as folder, running_peer() as url:
        out = Path(folder, "out")
        command = [
            # Addresses are the same each time, and threads take turns in the order in which they ask.
            *("setarch", "-R", "valgrind", "--tool=callgrind", "--fair-sched=yes"),
            f"--callgrind-out-file={out}",
            *(python, str(HERE / "workload.py"), str(mark)),
        ]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONHASHSEED": "0",
            "CWSANDBOX_BASE_URL": url,
            **({"PYTHONPATH": str(path)} if path else {}),
        }
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"the workload failed:\n{done.stderr}")
        operations: dict[str, int] = json.loads(done.stdout)
        # The first dump is of what comes before the first mark.
        counts = {
            name: read_counts(Path(f"{out}.{at}")) for at, name in enumerate(operations, start=2)
        }
    costs: dict[str, Cost] = {
        name: {
            "instructions": round(counts[name].instructions / number),
            "allocations": round(counts[name].allocations / number, 2),
        }
        for name, number in operations.items()
    }
    return Measured(costs, counts)


def combine(runs: list[dict[str, Cost]], of: Callable[[list[float]], float]) -> dict[str, Cost]:
    return {
        name: {
            "instructions": round(of([run[name]["instructions"] for run in runs])),
            "allocations": of([run[name]["allocations"] for run in runs]),
        }
        for name in runs[0]
    }


def first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0].strip()


def machine(python: str) -> str:
    """What the numbers depend on."""
    minor = "import sys; print(sys.version_info.major, sys.version_info.minor, sep='.')"
    return ", ".join(
        (
            f"Python {first_line(python, '-c', minor)}",
            f"cc {first_line('cc', '-dumpversion')}",
            f"nghttp2 {first_line('pkg-config', '--modversion', 'libnghttp2')}",
            os.uname().machine,
        )
    )


def judge(costs: dict[str, Cost], budget: dict[str, Cost]) -> tuple[list[str], bool]:
    """The lines to print, and whether everything is within its budget."""
    lines, good = [], True
    for name in [*costs, *(name for name in budget if name not in costs)]:
        have, may = costs.get(name), budget.get(name)
        if have is None or may is None:
            lines.append(f"{name}: {'not measured' if have is None else 'has no budget'}")
            good = False
            continue
        parts = []
        for value, limit, what in (
            (have["instructions"], may["instructions"], "instructions"),
            (have["allocations"], may["allocations"], "allocations"),
        ):
            # Allocations do not depend on who comes first, but a buffer may grow once in a while.
            slack = limit * TOLERANCE if what == "instructions" else 0.05
            sign = (
                "TOO MUCH" if value > limit + slack else "less" if value < limit - slack else "ok"
            )
            good = good and sign != "TOO MUCH"
            parts.append(f"{value:,} of {limit:,} {what} {sign}")
        lines.append(f"{name}: {'; '.join(parts)}")
    return lines, good


def shares(counts: Counts) -> str:
    top = counts.objects.most_common(6)
    return ", ".join(f"{name} {value / counts.instructions:.0%}" for name, value in top)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", required=True)
    parser.add_argument("--mark", type=Path, required=True)
    parser.add_argument("--path", type=Path, help="where the package is, if the Python has it not")
    parser.add_argument("--update", action="store_true")
    return parser.parse_args()


def update(run: Callable[[], Measured], here: str) -> None:
    costs = combine([run().costs for _ in range(RUNS)], median)
    BUDGET.write_text(json.dumps({"machine": here, "costs": costs}, indent=2) + "\n")
    print(f"{BUDGET.name} is written; say in the commit why it changed")


def check(run: Callable[[], Measured], here: str) -> bool:
    budget: Budget = json.loads(BUDGET.read_text())
    runs: list[dict[str, Cost]] = []
    good = False
    while not good and len(runs) < RUNS:
        last = run()
        runs.append(last.costs)
        lines, good = judge(combine(runs, min), budget["costs"])
    for line, counts in zip_longest(lines, last.counts.values()):
        print(line)
        if counts:
            print(f"    {shares(counts)}")
    if budget["machine"] != here:
        print(f"not judged: the budget is of {budget['machine']}; this is {here}")
        return True
    if not good:
        print("Costs are over their budget. If that is meant: make guard-update, and say why.")
    return good


def main() -> int:
    args = options()
    here = machine(args.python)

    def run() -> Measured:
        return measure(args.python, args.mark.resolve(), args.path and args.path.resolve())

    if args.update:
        update(run, here)
        return 0
    return 0 if check(run, here) else 1


if __name__ == "__main__":
    sys.exit(main())
