"""HTTPS endpoints of the daemon's own authority, open and with the share token."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest
from websockets.sync.client import connect as open_websocket

from cwsandbox import EndpointAuth, Sandbox, Service
from integration.env import Daemon
from integration.test_services import SHOUT, WEB, WEBSOCKET, take

# Says how many bytes it has got, when it has got all.
AFTER_THE_END = """\
import socket
server = socket.create_server(("127.0.0.1", 8000))
print("ready", flush=True)
peer, _ = server.accept()
count = 0
while data := peer.recv(65536):
    count += len(data)
peer.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n%d" % count)
peer.close()
"""

# Answers, ends its sending, and prints how much came with and after the request.
LISTENER = """\
import socket
server = socket.create_server(("127.0.0.1", 8000))
print("ready", flush=True)
peer, _ = server.accept()
total = len(peer.recv(4096))
peer.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\nover to you")
peer.shutdown(socket.SHUT_WR)
while data := peer.recv(65536):
    total += len(data)
print(total, flush=True)
"""

pytestmark = pytest.mark.usefixtures("base_url")


def endpoint(auth: str, **more: int) -> Service:
    return Service(
        port=8000,
        name="web",
        visibility="public",
        endpoint={"kind": "https", "auth": auth, **more},
    )


@pytest.fixture
def trusted(daemon: Daemon) -> ssl.SSLContext:
    (authority,) = daemon.state_dir.glob("*/endpoints-ca.pem")
    return ssl.create_default_context(cafile=str(authority))


@contextlib.contextmanager
def serving(script: str, service: Service) -> Iterator[Sandbox]:
    with Sandbox.run(services=[service]) as sandbox:
        process = sandbox.exec(["python3", "-c", script])
        assert next(iter(process.stdout)) == "ready\n"
        yield sandbox


def port_of(sandbox: Sandbox) -> int:
    ((_, _, url),) = sandbox.service_urls
    prefix, port = url.rsplit(":", 1)
    assert prefix == "https://127.0.0.1"
    return int(port)


def dial(sandbox: Sandbox, trusted: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("127.0.0.1", port_of(sandbox), context=trusted, timeout=20)


def get(client: http.client.HTTPSConnection, path: str, **headers: str) -> tuple[int, bytes]:
    client.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = client.getresponse()
    return answer.status, answer.read()


def test_open(trusted: ssl.SSLContext) -> None:
    with serving(WEB, endpoint("open", request_timeout_seconds=30)) as sandbox:
        (status,) = sandbox.service_endpoints
        assert (status.port, status.name, status.auth) == (8000, "web", EndpointAuth.OPEN)
        assert (status.url, status.request_timeout_seconds) == (sandbox.service_urls[0][2], 30)
        assert sandbox.endpoint_share_token is None
        client = dial(sandbox, trusted)
        for size in (1, 5_000_000, 3):
            code, body = get(client, f"/{size}")
            assert (code, len(body)) == (200, size)
        client.close()


def test_a_client_that_says_it_sends_no_more_gets_the_answer(trusted: ssl.SSLContext) -> None:
    """The program answers once it has seen the end of the request, which is the client's close_notify."""
    with (
        serving(AFTER_THE_END, endpoint("open")) as sandbox,
        socket.create_connection(("127.0.0.1", port_of(sandbox)), timeout=20) as peer,
    ):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusted.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")

        def until_done(step: Callable[[], object]) -> object:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    peer.sendall(outgoing.read())
                    incoming.write(peer.recv(65536))

        until_done(tls.do_handshake)
        tls.write(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        assert until_done(lambda: tls.read(100)) == b"HTTP/1.1 200 OK\r\n\r\n18"


def test_a_program_that_sends_no_more_gets_what_is_sent(trusted: ssl.SSLContext) -> None:
    """Its end comes as close_notify, while the other direction goes on."""
    request, more = b"POST / HTTP/1.1\r\n\r\n", bytes(3_000_000)
    with Sandbox.run(services=[endpoint("open")]) as sandbox:
        lines = iter(sandbox.exec(["python3", "-c", LISTENER]).stdout)
        assert next(lines) == "ready\n"
        with (
            socket.create_connection(("127.0.0.1", port_of(sandbox)), timeout=20) as plain,
            trusted.wrap_socket(
                plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False
            ) as peer,
        ):
            peer.sendall(request)
            assert take(peer, 1 << 20) == b"HTTP/1.1 200 OK\r\n\r\nover to you"
            peer.sendall(more)
            peer.unwrap()
            assert next(lines) == f"{len(request) + len(more)}\n"


def test_who_does_not_trust_the_authority_connects_to_nobody() -> None:
    with serving(WEB, endpoint("open")) as sandbox:
        client = dial(sandbox, ssl.create_default_context())
        with pytest.raises(ssl.SSLCertVerificationError):
            get(client, "/")


def test_the_token_opens_the_endpoint(trusted: ssl.SSLContext) -> None:
    with serving(WEB, endpoint("share_token")) as sandbox:
        token = sandbox.endpoint_share_token
        assert token is not None
        assert token.get_secret_value() not in repr(sandbox) + repr(token)
        for path, headers, expected in (
            ("/3", {}, 401),
            ("/3", {"X_Sandbox_Share_Token": "0" * 48}, 401),
            ("/3", {"X_Sandbox_Share_Token": token.get_secret_value()}, 200),
            ("/3?share_token=1", {}, 401),
        ):
            client = dial(sandbox, trusted)
            assert get(client, path, **headers)[0] == expected
            client.close()


def test_the_token_may_be_in_the_query(trusted: ssl.SSLContext) -> None:
    script = WEB.replace("int(self.path[1:] or 5)", "5")
    with serving(script, endpoint("share_token")) as sandbox:
        token = sandbox.endpoint_share_token
        assert token is not None
        client = dial(sandbox, trusted)
        assert get(client, f"/?share_token={token.get_secret_value()}")[0] == 200
        assert get(client, "/")[0] == 200  # the connection has shown it
        client.close()


def test_only_who_creates_the_sandbox_is_told_the_token() -> None:
    with Sandbox.run(services=[endpoint("share_token")]) as sandbox:
        assert sandbox.sandbox_id is not None
        assert sandbox.endpoint_share_token is not None
        found = Sandbox.from_id(sandbox.sandbox_id).result()
        assert found.endpoint_share_token is None
        assert found.service_urls == sandbox.service_urls


def test_sandboxes_have_tokens_of_their_own() -> None:
    service = endpoint("share_token")
    with Sandbox.run(services=[service]) as one, Sandbox.run(services=[service]) as other:
        assert one.endpoint_share_token != other.endpoint_share_token


def test_strangers_are_not_told_whether_somebody_listens(trusted: ssl.SSLContext) -> None:
    with Sandbox.run(services=[endpoint("share_token")]) as sandbox:
        token = sandbox.endpoint_share_token
        assert token is not None
        client = dial(sandbox, trusted)
        assert get(client, "/")[0] == 401
        client.close()
        client = dial(sandbox, trusted)
        assert get(client, "/", X_Sandbox_Share_Token=token.get_secret_value())[0] == 502
        client.close()


def test_websocket(trusted: ssl.SSLContext) -> None:
    with serving(WEBSOCKET, endpoint("open")) as sandbox:
        url = f"wss://127.0.0.1:{port_of(sandbox)}/"
        with open_websocket(url, ssl=trusted, open_timeout=20) as websocket:
            websocket.send("hello")
            assert websocket.recv(timeout=20) == "HELLO"


def tls(sandbox: Sandbox, trusted: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port_of(sandbox)), 20)
    return trusted.wrap_socket(plain, server_hostname="127.0.0.1")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000, b"431"),
    ],
)
def test_what_is_no_request_does_not_reach_the_program(
    trusted: ssl.SSLContext, sent: bytes, code: bytes
) -> None:
    with serving(SHOUT, endpoint("open")) as sandbox, tls(sandbox, trusted) as peer:
        peer.sendall(sent)
        answer = b""
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            while data := peer.recv(4096):
                answer += data
        assert answer.startswith(b"HTTP/1.1 " + code)


def test_http_without_tls_is_no_way_in() -> None:
    with (
        serving(WEB, endpoint("open")) as sandbox,
        socket.create_connection(("127.0.0.1", port_of(sandbox)), 20) as peer,
    ):
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
        answer = b""
        with contextlib.suppress(ConnectionError):
            while data := peer.recv(4096):
                answer += data
        assert b"HTTP/1.1 200" not in answer
