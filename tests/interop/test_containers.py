"""The published SDK against our daemon: several containers in one sandbox."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize("case", ["everything", "unknown", "only"])
def test_containers(run_published: Callable[..., str], case: str) -> None:
    run_published("containers.py", case)
