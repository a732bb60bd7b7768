from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from conformance.grpc_peer import GrpcPeer
from conformance.h2_peer import H2Peer, Script
from cwsandbox import Sandbox
from integration.env import Certs

FROM_ENVIRONMENT = (
    *("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"),
)


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust and proxies are what the test says."""
    for name in FROM_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    return Certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def make_grpc_peer() -> Iterator[Callable[..., GrpcPeer]]:
    """Starts grpcio servers that end with the test."""
    with ExitStack() as stack:

        def make(*arguments: Any, **options: Any) -> GrpcPeer:
            peer = GrpcPeer(*arguments, **options)
            stack.callback(peer.close)
            return peer

        yield make


@pytest.fixture
def grpc_peer(make_grpc_peer: Callable[..., GrpcPeer], monkeypatch: pytest.MonkeyPatch) -> GrpcPeer:
    """A plaintext grpcio server that new sandboxes go to."""
    peer = make_grpc_peer()
    monkeypatch.setenv("CWSANDBOX_BASE_URL", peer.base_url)
    return peer


@pytest.fixture
def make_h2_peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., H2Peer]]:
    """Starts frame-by-frame servers that end with the test; the newest is where new sandboxes go."""
    with ExitStack() as stack:

        def make(script: Script | None = None, settings: dict[int, int] | None = None) -> H2Peer:
            peer = H2Peer(script, settings)
            stack.callback(peer.close)
            monkeypatch.setenv("CWSANDBOX_BASE_URL", peer.base_url)
            return peer

        yield make


@pytest.fixture
def hostile(make_h2_peer: Callable[..., H2Peer]) -> Iterator[Callable[..., tuple[H2Peer, Sandbox]]]:
    """``hostile(script)`` gives a peer with that script and a running sandbox on it."""
    with ExitStack() as stack:

        def make(script: Script, settings: dict[int, int] | None = None) -> tuple[H2Peer, Sandbox]:
            peer = make_h2_peer(script, settings)
            sandbox = stack.enter_context(Sandbox.run())
            sandbox.wait()
            return peer, sandbox

        yield make


@pytest.fixture
def pem(certs: Certs) -> Callable[[str], bytes]:
    """The bytes of one of the certificate files."""

    def read(name: str) -> bytes:
        path: Path = getattr(certs, name)
        return path.read_bytes()

    return read


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A temporary folder whose path leaves room for a Unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="cws-") as folder:
        yield Path(folder)
