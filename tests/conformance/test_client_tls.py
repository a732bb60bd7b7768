"""Our client's TLS against a grpcio server: trust, names, client certificates."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import Sandbox, SandboxUnavailableError
from cwsandbox._cwsandbox import Channel, RpcError
from integration.env import Certs

Make = Callable[..., GrpcPeer]
Pem = Callable[[str], bytes]
GET = "SandboxService/GetSandbox"


@pytest.fixture
def tls_peer(make_grpc_peer: Make, pem: Pem, monkeypatch: pytest.MonkeyPatch) -> GrpcPeer:
    peer = make_grpc_peer("localhost:0", tls=(pem("server_key"), pem("server_cert")))
    monkeypatch.setenv("CWSANDBOX_BASE_URL", peer.base_url)

    @peer.command("hello")
    async def hello(call: Call) -> None:
        await call.out(b"hello\n")
        await call.exit(0)

    return peer


def say_hello() -> str:
    with Sandbox.run() as sandbox:
        return sandbox.exec(["hello"]).result().stdout


@pytest.mark.parametrize("variable", ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "SSL_CERT_FILE"])
@pytest.mark.usefixtures("tls_peer")
def test_private_authority_by_environment(
    variable: str, certs: Certs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(certs.ca))
    assert say_hello() == "hello\n"


@pytest.mark.usefixtures("tls_peer")
def test_unknown_authority_is_refused(certs: Certs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certs.other_ca))
    with pytest.raises(SandboxUnavailableError, match="certificate"):
        say_hello()


@pytest.mark.usefixtures("tls_peer")
def test_system_roots_do_not_trust_a_private_authority() -> None:
    with pytest.raises(SandboxUnavailableError, match="certificate"):
        say_hello()


def test_wrong_host_name_is_refused(make_grpc_peer: Make, pem: Pem) -> None:
    peer = make_grpc_peer("localhost:0", tls=(pem("wrong_name_key"), pem("wrong_name_cert")))
    channel = Channel(peer.base_url, roots_pem=pem("ca"))
    with pytest.raises(RpcError) as caught:
        channel.unary(GET, {"sandbox_id": "x"}, 20.0).result()
    assert caught.value.code_name == "UNAVAILABLE"
    assert "localhost" in caught.value.message or "mismatch" in caught.value.message


def test_ip_address_is_checked_against_the_certificate(tls_peer: GrpcPeer, pem: Pem) -> None:
    url = tls_peer.base_url.replace("localhost", "127.0.0.1")
    channel = Channel(url, roots_pem=pem("ca"))
    reply = channel.unary(GET, {"sandbox_id": "x"}, 20.0).result()
    assert reply["sandbox_id"] == "x"


def test_client_certificate(make_grpc_peer: Make, pem: Pem) -> None:
    identity = (pem("server_key"), pem("server_cert"))
    peer = make_grpc_peer("localhost:0", tls=identity, client_roots=pem("ca"))
    mutual = Channel(
        peer.base_url,
        roots_pem=pem("ca"),
        cert_chain_pem=pem("client_cert"),
        private_key_pem=pem("client_key"),
    )
    assert mutual.unary(GET, {"sandbox_id": "x"}, 20.0).result()["sandbox_id"] == "x"
    # Not from the same pool: without a certificate the server turns the caller away.
    bare = Channel(peer.base_url, roots_pem=pem("ca"))
    with pytest.raises(RpcError) as caught:
        bare.unary(GET, {"sandbox_id": "x"}, 20.0).result()
    assert caught.value.code_name == "UNAVAILABLE"


def test_plaintext_client_at_a_tls_port(tls_peer: GrpcPeer) -> None:
    channel = Channel(tls_peer.base_url.replace("https", "http"))
    with pytest.raises(RpcError) as caught:
        channel.unary(GET, {"sandbox_id": "x"}, 20.0).result()
    assert caught.value.code_name in {"UNAVAILABLE", "INTERNAL"}


def test_tls_client_at_a_plaintext_port(make_grpc_peer: Make, pem: Pem) -> None:
    peer = make_grpc_peer("localhost:0")
    channel = Channel(peer.base_url.replace("http", "https"), roots_pem=pem("ca"))
    with pytest.raises(RpcError) as caught:
        channel.unary(GET, {"sandbox_id": "x"}, 20.0).result()
    assert caught.value.code_name == "UNAVAILABLE"
