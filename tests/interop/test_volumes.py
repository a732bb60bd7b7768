"""The published SDK and ours against a daemon with ``--volume-dir``: registered volumes in sandboxes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.env import Daemon

TOKEN = "a-token-0123456789"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="cwsd-") as name:
        folder = Path(name)
        (folder / "volumes").mkdir(mode=0o700)
        arguments = (f"--volume-dir={folder / 'volumes'}", f"--data-dir={folder / 'data'}")
        with Daemon(folder / "d", token=TOKEN, arguments=arguments) as daemon:
            yield daemon


def test_registered_volumes(run_both: Callable[..., str]) -> None:
    run_both("volumes.py")
