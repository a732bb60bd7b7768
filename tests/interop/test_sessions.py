"""Programs with sessions: the published SDK runs them against our daemon, and this package runs them unchanged."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CASES = ["batch", "gathered", "adopted"]


@pytest.mark.parametrize("case", CASES)
def test_published(run_published: Callable[..., str], case: str) -> None:
    run_published("sessions.py", case)


@pytest.mark.parametrize("case", CASES)
def test_ours(run_client: Callable[..., str], case: str) -> None:
    run_client(Path(sys.executable), "sessions.py", case)


def test_the_end_of_a_program(published: Path, run_client: Callable[..., str]) -> None:
    for python in (published, Path(sys.executable)):
        assert run_client(python, "sessions.py", "not_closed") == "3\n"
        run_client(python, "sessions.py", "nothing_left")
