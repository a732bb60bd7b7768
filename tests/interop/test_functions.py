"""The published SDK against our daemon: remote functions, with its own script inside."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize("case", ["values", "failures"])
def test_functions(run_published: Callable[..., str], case: str) -> None:
    run_published("functions.py", case)
