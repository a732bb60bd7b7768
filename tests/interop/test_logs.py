"""The published SDK against our daemon: the main command's log."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize("case", ["window", "follow", "silent"])
def test_logs(run_published: Callable[..., str], case: str) -> None:
    run_published("logs.py", case)
