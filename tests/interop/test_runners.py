"""The published SDK against our daemon: runners."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize("case", ["everything", "missing"])
def test_runners(run_published: Callable[..., str], case: str) -> None:
    run_published("runners.py", case)
