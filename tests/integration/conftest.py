from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from cwsandbox import Sandbox
from integration.env import Certs, Daemon, temporary_daemon


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every asynchronous test runs on asyncio's own loop and on uvloop."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """One daemon for all tests that do not harm it."""
    with temporary_daemon() as running:
        yield running


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    return Certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def base_url(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> str:
    """The daemon is where new sandboxes go."""
    monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
    return daemon.base_url


@pytest.fixture(scope="module")
def module_daemon() -> Iterator[Daemon]:
    with temporary_daemon() as running:
        yield running


@pytest.fixture
def own_daemon(module_daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> str:
    """New sandboxes go to a daemon that no other module uses, so that a test knows all that are there. Its address."""
    monkeypatch.setenv("CWSANDBOX_BASE_URL", module_daemon.base_url)
    return module_daemon.base_url


@pytest.fixture
def sandbox(base_url: str) -> Iterator[Sandbox]:
    with Sandbox.run() as running:
        yield running


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A temporary folder whose path leaves room for a Unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="cws-") as folder:
        yield Path(folder)
