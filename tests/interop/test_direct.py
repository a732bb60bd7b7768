"""The published SDK against our daemon: the direct data plane."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize("case", ["direct", "auto", "ended"])
def test_direct(run_published: Callable[..., str], case: str) -> None:
    run_published("direct.py", case)
