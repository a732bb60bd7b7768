"""Requests at an HTTPS endpoint that try to get past its share token, and odd ones that have it."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from cwsandbox import Sandbox
from integration.env import Daemon
from integration.test_https_endpoints import endpoint, port_of, trusted

pytestmark = pytest.mark.usefixtures("base_url")
__all__ = ["trusted"]

# Prints the bytes of each connection once it has ended, and answers each with its own.
RECORDER = """\
import socket
server = socket.create_server(("127.0.0.1", 8000))
print("ready", flush=True)
while True:
    peer, _ = server.accept()
    data = b""
    while more := peer.recv(65536):
        data += more
    print(repr(data), flush=True)
    peer.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n" + data)
    peer.close()
"""
HEADER = b"X-Sandbox-Share-Token"


class Guarded:
    """A sandbox with a token, whose program says what has come to it."""

    def __init__(self, sandbox: Sandbox, trusted: ssl.SSLContext) -> None:
        self.sandbox = sandbox
        self._trusted = trusted
        assert sandbox.endpoint_share_token is not None
        self.token = sandbox.endpoint_share_token.get_secret_value().encode()
        self._came = iter(sandbox.exec(["python3", "-c", RECORDER]).stdout)
        assert next(self._came) == "ready\n"

    def send(self, data: bytes) -> bytes:
        """All that comes back after this, and nothing more, was sent."""
        plain = socket.create_connection(("127.0.0.1", port_of(self.sandbox)), timeout=20)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._trusted.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        answer = b""
        with plain, contextlib.suppress(ConnectionError):
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    plain.sendall(outgoing.read())
                    incoming.write(plain.recv(65536))
            tls.write(data)
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.unwrap()  # close_notify alone: the answer is still to come
            plain.sendall(outgoing.read())
            while more := plain.recv(65536):
                incoming.write(more)
                with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                    while part := tls.read(65536):
                        answer += part
        return answer

    def next_to_come(self) -> bytes:
        return bytes(eval(next(self._came)))


@pytest.fixture(scope="module")
def guarded(daemon: Daemon) -> Iterator[Guarded]:
    (authority,) = daemon.state_dir.glob("*/endpoints-ca.pem")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
        with Sandbox.run(services=[endpoint("share_token")]) as sandbox:
            yield Guarded(sandbox, ssl.create_default_context(cafile=str(authority)))


WRONG = b"0" * 48
WITHOUT = {
    "plain": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute": b"GET http://127.0.0.1:8000/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "connect": b"CONNECT 127.0.0.1:8000 HTTP/1.1\r\nHost: x\r\n\r\n",
    "1.0": b"GET / HTTP/1.0\r\n\r\n",
    "0.9": b"GET /\r\n\r\n",
    "h2c": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "upgrade": b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "expect": b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    "lf": b"GET / HTTP/1.1\nHost: x\n\nGET / HTTP/1.1\r\n\r\n",
    "lengths": b"POST / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "nul": b"GET /\0 HTTP/1.1\r\nA: \0\r\n\r\n",
    "empty": HEADER.join([b"GET / HTTP/1.1\r\n", b":\r\n\r\n"]),
}
# As close as the token can come without being shown. TOKEN stands for it.
SMUGGLED = {
    "body": b"POST / HTTP/1.1\r\nContent-Length: 80\r\n\r\nX-Sandbox-Share-Token: TOKEN\r\n\r\n",
    "second": b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nX-Sandbox-Share-Token: TOKEN\r\n\r\n",
    "cookie": b"GET / HTTP/1.1\r\nCookie: share_token=TOKEN\r\n\r\n",
    "bearer": b"GET / HTTP/1.1\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    "path": b"GET /share_token=TOKEN HTTP/1.1\r\n\r\n",
    "fragment": b"GET /#?share_token=TOKEN HTTP/1.1\r\n\r\n",
    "encoded": b"GET /?share%5Ftoken=TOKEN HTTP/1.1\r\n\r\n",
    "truncated": b"GET / HTTP/1.1\r\nX-Sandbox-Share-Token: TOKEN\0\r\n\r\n",
    "longer": b"GET / HTTP/1.1\r\nX-Sandbox-Share-Token: TOKEN0\r\n\r\n",
    "space": b"GET / HTTP/1.1\r\nX-Sandbox-Share-Token : TOKEN\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nX-Sandbox-Share-Token:\r\n TOKEN\r\n\r\n",
    "another": b"GET / HTTP/1.1\r\nX-Sandbox-Share-Token: 0, TOKEN\r\n\r\n",
}


@pytest.mark.parametrize("sent", WITHOUT.values(), ids=WITHOUT)
def test_without_the_token_nothing_comes_in(guarded: Guarded, sent: bytes) -> None:
    assert guarded.send(sent).split()[1:2] in ([b"400"], [b"401"])
    assert_nothing_came(guarded)


@pytest.mark.parametrize("sent", SMUGGLED.values(), ids=SMUGGLED)
def test_where_it_does_not_belong_it_opens_nothing(guarded: Guarded, sent: bytes) -> None:
    assert guarded.send(sent.replace(b"TOKEN", guarded.token)).startswith(b"HTTP/1.1 401 ")
    assert_nothing_came(guarded)


def assert_nothing_came(guarded: Guarded) -> None:
    """What comes first is what is sent now."""
    last = with_token(guarded, b"GET /last HTTP/1.1\r\n\r\n")
    assert guarded.send(last).startswith(b"HTTP/1.1 200 ")
    assert guarded.next_to_come() == last


def with_token(guarded: Guarded, request: bytes) -> bytes:
    line, end, rest = request.partition(b"\r\n")
    return line + end + HEADER + b": " + guarded.token + b"\r\n" + rest


@pytest.mark.parametrize("name", [name for name in WITHOUT if name not in ("lf", "0.9")])
def test_with_it_the_program_gets_every_byte(guarded: Guarded, name: str) -> None:
    sent = with_token(guarded, WITHOUT[name]) + b"what follows\0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    assert guarded.send(sent) == b"HTTP/1.1 200 OK\r\n\r\n" + sent
    assert guarded.next_to_come() == sent


def test_the_token_of_another_sandbox(guarded: Guarded) -> None:
    with Sandbox.run(services=[endpoint("share_token")]) as other:
        assert other.endpoint_share_token is not None
        token = other.endpoint_share_token.get_secret_value().encode()
        request = b"GET / HTTP/1.1\r\n" + HEADER + b": %s\r\n\r\n"
        assert guarded.send(request % token).startswith(b"HTTP/1.1 401 ")
        assert guarded.send(request % token.upper()).startswith(b"HTTP/1.1 401 ")
        assert guarded.send(request % token[:-1]).startswith(b"HTTP/1.1 401 ")
    assert_nothing_came(guarded)


def addresses(daemon: Daemon, port: int) -> list[str]:
    """Those at which the daemon listens at this port, as the kernel writes them."""
    folder = Path(f"/proc/{daemon.pid}")
    links = set()
    for link in (folder / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # of one that is closed meanwhile
            links.add(os.readlink(link))
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in (folder / "net" / name).read_text().splitlines()[1:]
    ]
    return [
        row[1].partition(":")[0]
        for row in rows
        if row[1].endswith(f":{port:04X}") and row[3] == "0A" and f"socket:[{row[9]}]" in links
    ]


def test_no_other_address_leads_to_it(daemon: Daemon, guarded: Guarded) -> None:
    assert addresses(daemon, port_of(guarded.sandbox)) == ["0100007F"]


def test_the_token_ends_with_its_sandbox(daemon: Daemon, trusted: ssl.SSLContext) -> None:
    with Sandbox.run(services=[endpoint("share_token")]) as sandbox:
        guarded = Guarded(sandbox, trusted)
        request = with_token(guarded, b"GET / HTTP/1.1\r\n\r\n")
        assert guarded.send(request).startswith(b"HTTP/1.1 200 ")
        port = port_of(sandbox)
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        held = trusted.wrap_socket(plain, server_hostname="127.0.0.1")
        held.sendall(request)
        sandbox.stop().result()
        with held, contextlib.suppress(ConnectionError, ssl.SSLError):
            assert held.recv(100) == b""
        assert addresses(daemon, port) == []
