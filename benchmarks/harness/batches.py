"""Batches next to what people write by hand, on the daemon."""

from __future__ import annotations

from .figures import Figure, Goal, Scenario
from .scenarios import MIB, cpu_each, rate

HAND = "daemon-by-hand"


def batch(name: str, title: str, kind: str, *, is_compared: bool = True) -> Scenario:
    cpu = Goal(lambda medians: medians(HAND, "CPU per job", "ours") + 60, "by hand + 60")
    fast = Goal(lambda medians: 0.9 * medians(HAND, "jobs/s", "ours"), "0.9 of by hand")
    return Scenario(
        name,
        title,
        "batch.py",
        (
            cpu_each("job", cpu if is_compared else None),
            rate("jobs", fast if is_compared else None),
            Figure("more RSS", "MiB", lambda run: run["peak"] / MIB),
        ),
        {"kind": kind},
        counts={"ours": 10_000},
    )


SCENARIOS = (
    batch(HAND, "10,000 jobs, 100 sandboxes, asyncio.gather by hand", "hand", is_compared=False),
    batch("daemon-batch", "the same by batch()", "none"),
    batch("daemon-batch-store", "the same by batch(), with a store", "store"),
)
