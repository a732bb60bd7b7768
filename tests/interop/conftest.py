from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.env import Daemon, temporary_daemon

SCRIPTS = Path(__file__).parent / "scripts"
TOKEN = "a-token-0123456789"


@pytest.fixture(scope="session")
def published() -> Path:
    """The interpreter of an environment that has the published SDK, and nothing of ours."""
    python = os.environ.get("PUBLISHED_PYTHON", "")
    if not python or not Path(python).exists():
        pytest.skip("the published SDK is not installed: `make published`")
    return Path(python)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with temporary_daemon(token=TOKEN, arguments=("--max-written", "400M")) as daemon:
        yield daemon


@pytest.fixture
def run_published(published: Path, run_client: Callable[..., str]) -> Callable[..., str]:
    """Runs one function of a script with the published SDK, against our daemon; what it printed."""
    return functools.partial(run_client, published)


@pytest.fixture(params=["published", "ours"])
def run_both(request: pytest.FixtureRequest, run_client: Callable[..., str]) -> Callable[..., str]:
    """The same with each of the two clients in turn."""
    if request.param == "ours":
        return functools.partial(run_client, Path(sys.executable))
    return functools.partial(run_client, request.getfixturevalue("published"))


@pytest.fixture
def client_prefix() -> list[str]:
    """The beginning of the clients' command."""
    return []


@pytest.fixture
def run_client(daemon: Daemon, client_prefix: list[str]) -> Callable[..., str]:
    """The same with the interpreter of an environment."""

    def run(python: Path, script: str, *words: str) -> str:
        kept = {"PATH", "HOME", "LANG", "TMPDIR"}
        env = {name: value for name, value in os.environ.items() if name in kept}
        env |= {"CWSANDBOX_BASE_URL": daemon.base_url, "CWSANDBOX_API_KEY": TOKEN}
        done = subprocess.run(
            [*client_prefix, python, SCRIPTS / script, *words],
            capture_output=True,
            text=True,
            timeout=50,
            env=env,
            cwd="/",
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\ndaemon: {daemon.stderr}"
        return done.stdout

    return run
