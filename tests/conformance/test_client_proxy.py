"""Proxies by environment, from our client through a CONNECT proxy to a grpcio server."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import pytest

from conformance.connect_proxy import ConnectProxy
from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import Sandbox, SandboxUnavailableError
from integration.env import Certs


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    running = ConnectProxy()
    yield running
    running.close()


async def hello(call: Call) -> None:
    await call.out(b"hello\n")
    await call.exit(0)


def say_hello() -> str:
    with Sandbox.run() as sandbox:
        return sandbox.exec(["hello"]).result().stdout


@pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy"])
def test_through_a_proxy(
    grpc_peer: GrpcPeer, proxy: ConnectProxy, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grpc_peer.scripts["hello"] = hello
    monkeypatch.setenv(variable, proxy.url)
    assert say_hello() == "hello\n"
    authority = grpc_peer.base_url.removeprefix("http://")
    assert proxy.requests[0][0] == f"CONNECT {authority} HTTP/1.1"


def test_tls_goes_end_to_end_through_the_proxy(
    make_grpc_peer: Callable[..., GrpcPeer],
    proxy: ConnectProxy,
    certs: Certs,
    pem: Callable[[str], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = make_grpc_peer("localhost:0", tls=(pem("server_key"), pem("server_cert")))
    peer.scripts["hello"] = hello
    monkeypatch.setenv("CWSANDBOX_BASE_URL", peer.base_url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certs.ca))
    monkeypatch.setenv("https_proxy", proxy.url)
    assert say_hello() == "hello\n"
    assert len(proxy.requests) >= 1


def test_credentials_of_the_proxy(
    grpc_peer: GrpcPeer, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    grpc_peer.scripts["hello"] = hello
    monkeypatch.setenv("grpc_proxy", proxy.url.replace("http://", "http://user:pa%20ss@"))
    assert say_hello() == "hello\n"
    expected = base64.b64encode(b"user:pa ss").decode()
    headers = {
        line.partition(":")[0].lower(): line.partition(":")[2].strip()
        for line in proxy.requests[0][1:]
    }
    assert headers["proxy-authorization"] == f"Basic {expected}"


@pytest.mark.parametrize("value", ["localhost", "*", "example.org, localhost"])
def test_no_proxy(
    grpc_peer: GrpcPeer, proxy: ConnectProxy, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grpc_peer.scripts["hello"] = hello
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", value)
    assert say_hello() == "hello\n"
    assert proxy.requests == []


def test_a_proxy_that_refuses_is_named(
    grpc_peer: GrpcPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = ConnectProxy("HTTP/1.1 403 Forbidden by policy")
    monkeypatch.setenv("http_proxy", refusing.url)
    try:
        with pytest.raises(SandboxUnavailableError, match="403"):
            say_hello()
    finally:
        refusing.close()
