"""Two records of the scorecard next to each other: `compare.py BEFORE.json AFTER.json [--client ours]`.

A change is marked if the runs of before and after do not overlap at all, which chance does seldom.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from harness import daemon, table
from harness.figures import Figure, Run, Scenario
from harness.scenarios import SCENARIOS

HEADINGS = ("scenario", "figure", "before", "after", "change", "")


def runs(record: dict[str, Any], scenario: Scenario, client: str) -> list[Run]:
    if scenario in daemon.SCENARIOS:
        found: list[Run] = (
            record.get("daemon", {}).get(scenario.name, []) if client == "ours" else []
        )
    else:
        found = record["scenarios"].get(scenario.name, {}).get(client, [])
    return found


def verdict(figure: Figure, before: list[float], after: list[float]) -> str:
    if min(after) > max(before):
        return "better" if figure.more_is_better else "WORSE"
    if max(after) < min(before):
        return "WORSE" if figure.more_is_better else "better"
    return ""


def rows(before: dict[str, Any], after: dict[str, Any], client: str) -> Iterator[tuple[str, ...]]:
    for scenario in (*SCENARIOS, *daemon.SCENARIOS):
        old_runs, new_runs = runs(before, scenario, client), runs(after, scenario, client)
        if not old_runs or not new_runs:
            continue
        for at, figure in enumerate(scenario.figures):
            old, new = [figure.of(run) for run in old_runs], [figure.of(run) for run in new_runs]
            change = f"{median(new) / median(old) - 1:+.0%}" if median(old) else ""
            unit = f" ({figure.unit})" if figure.unit else ""
            yield (
                "" if at else scenario.title,
                figure.name + unit,
                table.number(median(old)),
                table.number(median(new)),
                change,
                verdict(figure, old, new),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--client", default="ours", choices=("ours", "published", "floor"))
    args = parser.parse_args()
    before, after = (json.loads(path.read_text()) for path in (args.before, args.after))
    print(table.text(list(rows(before, after, args.client)), HEADINGS))


if __name__ == "__main__":
    main()
