"""The published SDK against our daemon: files, through ReadFile and WriteFile and through its own shell scripts."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize("case", ["unary", "errors", "streaming", "over_the_caps"])
def test_files(run_published: Callable[..., str], case: str) -> None:
    run_published("files.py", case)
