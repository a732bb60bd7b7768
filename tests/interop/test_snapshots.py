"""The published SDK and ours against our daemon: scratch volumes and their snapshots."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize("case", ["taken_and_restored", "on_stop", "conflict"])
def test_snapshots(run_both: Callable[..., str], case: str) -> None:
    run_both("snapshots.py", case)
