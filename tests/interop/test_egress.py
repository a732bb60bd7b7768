"""The published SDK and ours against a daemon with ``--egress``, on a small internet of the test's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.egress import others
from integration.env import Daemon
from integration.internet import GRANTED, THIRD, Internet, missing

TOKEN = "a-token-0123456789"
WHY_NOT = missing() or (None if shutil.which("nft") else "nft is not installed")
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    with others(tmp_path_factory.mktemp("internet")) as made:
        yield made


@pytest.fixture(scope="module")
def daemon(internet: Internet) -> Iterator[Daemon]:
    with (
        tempfile.TemporaryDirectory(prefix="cwsd-") as folder,
        Daemon(
            Path(folder),
            token=TOKEN,
            command_prefix=tuple(internet.on_host()),
            arguments=("--egress", "auto"),
        ) as daemon,
    ):
        yield daemon


@pytest.fixture
def client_prefix(internet: Internet) -> list[str]:
    """The daemon listens at a loopback address of that host."""
    return internet.host.enter()


@pytest.mark.parametrize("case", ["closed", "opened", "ruled", "named"])
def test_egress(run_both: Callable[..., str], internet: Internet, case: str) -> None:
    run_both("egress.py", case, GRANTED, THIRD, str(internet.ca))
