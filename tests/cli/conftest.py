from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.program import PATH, Program
from cli.shells import serve_shells
from cli.typist import Typist
from conformance.grpc_peer import GrpcPeer
from cwsandbox import Sandbox
from cwsandbox.cli import cli
from integration.env import Daemon, temporary_daemon


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """One daemon for all tests that do not harm it."""
    with temporary_daemon() as running:
        yield running


@pytest.fixture
def base_url(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> str:
    """The daemon is where new sandboxes go, those of the program, too."""
    monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
    return daemon.base_url


@pytest.fixture
def sandbox(base_url: str) -> Iterator[Sandbox]:
    with Sandbox.run() as running:
        yield running.wait()


@pytest.fixture
def sandbox_id(sandbox: Sandbox) -> str:
    assert sandbox.sandbox_id is not None
    return sandbox.sandbox_id


@pytest.fixture
def invoke() -> Callable[..., Result]:
    """A command within this process, for what needs no process of its own."""
    return lambda *words: CliRunner().invoke(cli, words)


@pytest.fixture
def program(base_url: str) -> Program:
    """The installed program as a process, against the daemon."""
    return Program()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A temporary folder whose path leaves room for a Unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="cws-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def shell_peer() -> Iterator[GrpcPeer]:
    with closing(GrpcPeer()) as peer:
        serve_shells(peer)
        yield peer


@pytest.fixture
def start(shell_peer: GrpcPeer) -> Iterator[Callable[..., Typist]]:
    started: list[Typist] = []

    def begin(*words: str, ignore: str = "", **env: str) -> Typist:
        program = ["env", f"--ignore-signal={ignore}", PATH] if ignore else [PATH]
        one = Typist(
            [*program, *words], CWSANDBOX_BASE_URL=shell_peer.base_url, NO_COLOR="1", **env
        )
        started.append(one)
        return one

    yield begin
    for one in started:
        with one:
            pass
