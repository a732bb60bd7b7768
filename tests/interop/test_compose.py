"""The published SDK against our daemon: sandboxes out of Compose files."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize("case", ["everything", "refused"])
def test_compose(run_published: Callable[..., str], case: str) -> None:
    run_published("compose.py", case)
