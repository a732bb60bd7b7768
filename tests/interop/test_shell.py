"""The published SDK against our daemon: terminals."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize("case", ["shell", "keys", "everything"])
def test_shell(run_published: Callable[..., str], case: str) -> None:
    run_published("shell.py", case)
