from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from conformance import protos
from conformance.direct_peer import KEY, Authority, DirectPeer, serve
from conformance.file_peer import Shell
from conformance.grpc_peer import GrpcPeer
from conformance.h2_peer import H2Peer, Script
from conformance.running import running
from conformance.small_disk import mounted
from cwsandbox import Sandbox, SandboxUnavailableError
from cwsandbox._lifecycle import data_plane
from cwsandbox._service import direct as service
from integration.env import Certs, Daemon, temporary_daemon

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
def direct_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No attempt fails because the machine is slow, none is repeated because the test is, and no test suffers from what
    another one's peer at the same port did."""
    ages = 3600.0  # longer than any test
    monkeypatch.setenv("CWSANDBOX_API_KEY", KEY)
    monkeypatch.setattr(data_plane, "CALL_LIMIT", ages)
    monkeypatch.setattr(data_plane, "CONNECT_LIMIT", ages)
    monkeypatch.setattr(service, "COOL_DOWN", ages)
    monkeypatch.setattr(data_plane, "_shared", {})


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Of the certificates for sandboxes' own endpoints."""
    return Authority()


@pytest.fixture
def make_direct(authority: Authority) -> Iterator[Callable[..., DirectPeer]]:
    """Starts endpoints that end with the test."""
    with ExitStack() as stack:

        def make(
            tls: tuple[bytes, bytes] | None = None,
            roots: bytes | None = None,
            name: bytes = b"direct",
        ) -> DirectPeer:
            own = authority.server("localhost", "127.0.0.1") if tls is None else tls
            peer = DirectPeer(tls=own, client_roots=authority.roots if roots is None else roots)
            stack.callback(peer.close)
            serve(peer, name)
            return peer

        yield make


@pytest.fixture
def direct(make_direct: Callable[..., DirectPeer]) -> DirectPeer:
    return make_direct()


@pytest.fixture
def gateway(grpc_peer: GrpcPeer, authority: Authority, direct: DirectPeer) -> GrpcPeer:
    """Gives certificates for the endpoint."""
    authority.requests.clear()
    serve(grpc_peer, b"gateway")
    grpc_peer.overrides["ConnectSandbox"] = authority.answer(direct.base_url)
    return grpc_peer


@pytest.fixture
def sandbox(grpc_peer: GrpcPeer) -> Iterator[Sandbox]:
    """A sandbox of this package on that server."""
    with Sandbox.run() as running:
        yield running


@pytest.fixture
def shell(grpc_peer: GrpcPeer) -> Shell:
    """Runs the commands by which the package transfers files there."""
    return Shell(grpc_peer)


@pytest.fixture(scope="module")
def default_daemon() -> Iterator[Daemon]:
    """A daemon with default options."""
    with temporary_daemon() as running:
        yield running


@pytest.fixture(scope="module")
def stub(default_daemon: Daemon) -> Iterator[Any]:
    """grpcio's client of it."""
    with grpc.insecure_channel(default_daemon.base_url) as channel:
        yield protos.stubs().SandboxServiceStub(channel)


@pytest.fixture
def sandbox_id(stub: Any) -> Iterator[str]:
    """A sandbox of that daemon, which runs."""
    pb = protos.messages()
    wanted = pb.Sandbox(spec=pb.SandboxSpec(containers=[pb.Container(name="main", image="any")]))
    made = stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=wanted))
    running(stub, made.sandbox_id)
    yield made.sandbox_id
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=made.sandbox_id, allow_missing=True))


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
            # A connection that is dropped after the command's end may take the stop with it.
            stack.enter_context(suppress(SandboxUnavailableError))
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


@pytest.fixture
def small_disk(short_folder: Path) -> Iterator[Path]:
    """A folder on a file system of 2 MiB."""
    with mounted(short_folder / "disk", "2M") as folder:
        yield folder
