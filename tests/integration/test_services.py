"""Ports inside a sandbox, reached from outside."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect as open_websocket

from code_blocks import blocks
from cwsandbox import Sandbox, SandboxStatus, Service
from cwsandbox.exceptions import SandboxError
from integration.env import Certs, Daemon, eventually

MOST_CONNECTIONS = 256
PUBLIC = Service(port=8000, name="web", visibility="public")

WEB = """\
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = os.urandom(1) * int(self.path[1:] or 5)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        length = int(self.headers["Content-Length"])
        total = 0
        while total < length:
            total += len(self.rfile.read(min(65536, length - total)))
        body = str(total).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler)
print("ready", flush=True)
server.serve_forever()
"""

# Takes one connection after the other: says hello, answers the upper case of what it is sent, byte by byte.
SHOUT = """\
import socket, threading
server = socket.create_server(("0.0.0.0", 8000))
print("ready", flush=True)
def serve(peer):
    peer.sendall(b"hello ")
    while data := peer.recv(65536):
        peer.sendall(data.upper())
while True:
    threading.Thread(target=serve, args=(server.accept()[0],)).start()
"""

WEBSOCKET = """\
import base64, hashlib, socket
server = socket.create_server(("127.0.0.1", 8000))
print("ready", flush=True)
peer, _ = server.accept()
head = b""
while b"\\r\\n\\r\\n" not in head:
    head += peer.recv(4096)
key = next(l for l in head.split(b"\\r\\n") if l.lower().startswith(b"sec-websocket-key")).split(b": ")[1]
accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
peer.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
             b"Sec-WebSocket-Accept: " + accept + b"\\r\\n\\r\\n")
frame = peer.recv(4096)
mask, data = frame[2:6], frame[6:]
text = bytes(b ^ mask[i % 4] for i, b in enumerate(data)).upper()
peer.sendall(bytes([0x81, len(text)]) + text)
peer.recv(4096)
"""


# Says what it has to say, ends its sending, and prints what still comes.
LISTENER = """\
import socket
server = socket.create_server(("127.0.0.1", 8000))
print("ready", flush=True)
peer, _ = server.accept()
peer.sendall(b"over to you")
peer.shutdown(socket.SHUT_WR)
total = 0
while data := peer.recv(65536):
    total += len(data)
print(total, flush=True)
"""


@contextlib.contextmanager
def serving(script: str, *services: Service) -> Iterator[Sandbox]:
    """A sandbox in which this program listens."""
    with Sandbox.run(services=[*services] or [PUBLIC]) as sandbox:
        process = sandbox.exec(["python3", "-c", script])
        assert next(iter(process.stdout)) == "ready\n"
        yield sandbox


def url_of(sandbox: Sandbox) -> str:
    ((port, name, url),) = sandbox.service_urls
    assert (port, name) == (8000, "web")
    return url


def address_of(sandbox: Sandbox) -> tuple[str, int]:
    parts = urlsplit(url_of(sandbox))
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def take(peer: socket.socket, size: int) -> bytes:
    """This many bytes, however they come."""
    data = b""
    while len(data) < size and (part := peer.recv(size - len(data))):
        data += part
    return data


pytestmark = pytest.mark.usefixtures("base_url")


def test_http(base_url: str) -> None:
    with serving(WEB) as sandbox:
        with urllib.request.urlopen(url_of(sandbox), timeout=20) as answer:
            assert len(answer.read()) == 5
        assert sandbox.sandbox_id is not None
        found = Sandbox.from_id(sandbox.sandbox_id).result()
        assert found.service_urls == sandbox.service_urls
        assert sandbox.exposed_ports == ((8000, "web"),)


def test_a_connection_is_used_again() -> None:
    with serving(WEB) as sandbox:
        client = http.client.HTTPConnection(*address_of(sandbox), timeout=20)
        for size in (1, 10_000_000, 3):
            client.request("GET", f"/{size}")
            assert len(client.getresponse().read()) == size
        client.request("POST", "/", body=b"x" * 20_000_000)
        assert client.getresponse().read() == b"20000000"
        client.close()


def test_websocket() -> None:
    with serving(WEBSOCKET) as sandbox:
        host, port = address_of(sandbox)
        with open_websocket(f"ws://{host}:{port}/", open_timeout=20) as websocket:
            websocket.send("hello")
            assert websocket.recv(timeout=20) == "HELLO"


def test_any_protocol_may_speak_first() -> None:
    with serving(SHOUT) as sandbox, socket.create_connection(address_of(sandbox), 20) as peer:
        assert take(peer, 6) == b"hello "
        peer.sendall(b"abc")
        assert take(peer, 3) == b"ABC"


def test_a_program_that_sends_no_more_gets_what_is_sent() -> None:
    """Its end comes as one, while the other direction goes on."""
    size = 3_000_000
    with Sandbox.run(services=[PUBLIC]) as sandbox:
        process = sandbox.exec(["python3", "-c", LISTENER])
        lines = iter(process.stdout)
        assert next(lines) == "ready\n"
        with socket.create_connection(address_of(sandbox), timeout=20) as peer:
            assert take(peer, 1 << 20) == b"over to you"
            peer.sendall(bytes(size))
            peer.shutdown(socket.SHUT_WR)
            assert next(lines) == f"{size}\n"


def test_many_connections_at_once() -> None:
    with serving(SHOUT) as sandbox, contextlib.ExitStack() as open_peers:
        peers = [
            open_peers.enter_context(socket.create_connection(address_of(sandbox), 20))
            for _ in range(50)
        ]
        for number, peer in enumerate(peers):
            peer.sendall(f"n{number:03}".encode())
        for number, peer in enumerate(peers):
            assert take(peer, 10) == f"hello N{number:03}".encode()


def test_a_slow_reader_holds_the_sandbox_back() -> None:
    with serving(WEB) as sandbox, socket.create_connection(address_of(sandbox), 20) as peer:
        size = 64_000_000
        peer.sendall(f"GET /{size} HTTP/1.0\r\n\r\n".encode())
        head = peer.recv(100)
        assert sandbox.exec(["echo", "others go on"]).result().stdout == "others go on\n"
        rest = 0
        while data := peer.recv(1 << 20):
            rest += len(data)
            if b"\r\n\r\n" in data:
                break
        while rest < size and (data := peer.recv(1 << 20)):
            rest += len(data)
        assert size <= rest + len(head) < size + 1000


def test_a_port_that_nobody_listens_on_answers_502() -> None:
    with Sandbox.run(services=[PUBLIC]) as sandbox:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url_of(sandbox), timeout=20)
        assert caught.value.code == 502
        with socket.create_connection(address_of(sandbox), 20) as peer:
            peer.sendall(b"\x16\x03\x01 no HTTP")
            assert peer.recv(100) == b""
        with socket.create_connection(address_of(sandbox), 20) as peer:
            assert peer.recv(100) == b""  # says nothing, and waits to be told something


def test_a_service_has_so_many_connections() -> None:
    with contextlib.ExitStack() as stack, serving(SHOUT) as sandbox:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(address_of(sandbox), timeout=20))

        def is_served(peer: socket.socket) -> bool:
            return take(peer, 6) == b"hello "

        held = [connect() for _ in range(MOST_CONNECTIONS)]
        assert all(is_served(peer) for peer in held)
        assert not is_served(connect())
        held[0].close()
        eventually(lambda: is_served(connect()), "there is room again")
        held[1].sendall(b"still here")
        assert take(held[1], 10) == b"STILL HERE"


def test_the_end_of_the_sandbox_ends_connections() -> None:
    with serving(SHOUT) as sandbox:
        address = address_of(sandbox)
        with socket.create_connection(address, 20) as peer:
            assert take(peer, 6) == b"hello "
            sandbox.stop().result()
            with contextlib.suppress(ConnectionResetError):
                assert peer.recv(1) == b""
        with pytest.raises(OSError):
            socket.create_connection(address, 5)
        assert sandbox.service_urls == ()


def test_a_client_that_leaves_is_noticed_inside() -> None:
    script = SHOUT.replace("        peer.sendall(data.upper())", "        pass\n    print('left')")
    with Sandbox.run(services=[PUBLIC]) as sandbox:
        process = sandbox.exec(["python3", "-u", "-c", script])
        lines = iter(process.stdout)
        assert next(lines) == "ready\n"
        with socket.create_connection(address_of(sandbox), 20) as peer:
            assert take(peer, 6) == b"hello "
        assert next(lines) == "left\n"


def test_connections_leave_no_process_and_count_as_no_command() -> None:
    with serving(SHOUT) as sandbox:
        # Without a process beside the shell, which might be counted or not.
        count = ["sh", "-c", "set -- /proc/[0-9]*; echo $#"]
        before = sandbox.exec(count).result().stdout
        with socket.create_connection(address_of(sandbox), 20) as peer:
            assert take(peer, 6) == b"hello "
            assert sandbox.exec(count).result().stdout != before
        eventually(lambda: sandbox.exec(count).result().stdout == before, "the process ends")


def test_tls_passes_through(certs: Certs, tmp_path: Path) -> None:
    passthrough = Service(
        port=8000, name="web", visibility="public", endpoint={"kind": "tls_passthrough"}
    )
    script = SHOUT.replace(
        "server = socket",
        "import ssl\ncontext = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
        "context.load_cert_chain('/tmp/cert', '/tmp/key')\nserver = socket",
    ).replace(
        '    peer.sendall(b"hello ")', "    peer = context.wrap_socket(peer, server_side=True)"
    )
    with Sandbox.run(services=[passthrough]) as sandbox:
        assert sandbox.service_urls == ()
        (status,) = sandbox.service_addresses
        host, port = status.address.split(":")
        sandbox.write_file("/tmp/cert", certs.server_cert.read_bytes()).result()
        sandbox.write_file("/tmp/key", certs.server_key.read_bytes()).result()
        process = sandbox.exec(["python3", "-u", "-c", script])
        assert next(iter(process.stdout)) == "ready\n"
        context = ssl.create_default_context(cafile=str(certs.ca))
        context.check_hostname = False
        with (
            socket.create_connection((host, int(port)), 20) as plain,
            context.wrap_socket(plain) as peer,
        ):
            peer.sendall(b"abc")
            assert peer.recv(3) == b"ABC"


def test_sandboxes_have_ports_of_their_own() -> None:
    with serving(SHOUT) as one, serving(WEB) as other:
        assert address_of(one) != address_of(other)
        with socket.create_connection(address_of(one), 20) as peer:
            assert take(peer, 6) == b"hello "


def test_unexposed_services_have_no_address() -> None:
    with Sandbox.run(services=[Service(port=8000), Service(port=8001)]) as sandbox:
        assert sandbox.service_urls == ()
        assert sandbox.exposed_ports in ((), None)


def test_a_mix_is_refused() -> None:
    services = [PUBLIC, Service(port=8001, visibility="private")]
    with pytest.raises(SandboxError) as caught:
        Sandbox.run(services=services).wait()
    assert caught.value.reason == "CWSANDBOX_NOT_IMPLEMENTED"


def test_clients_come_and_go_while_it_stops() -> None:
    """However the two meet, the daemon goes on and the sandbox ends."""
    for _ in range(3):
        with serving(SHOUT) as sandbox:
            address, ended = address_of(sandbox), threading.Event()

            def knock(address: tuple[str, int] = address, ended: threading.Event = ended) -> None:
                while not ended.is_set():
                    with contextlib.suppress(OSError), socket.create_connection(address, 5) as peer:
                        peer.sendall(b"x")
                        peer.recv(1)

            knocking = [threading.Thread(target=knock) for _ in range(4)]
            for thread in knocking:
                thread.start()
            sandbox.stop().result()
            assert sandbox.status is not SandboxStatus.RUNNING
            ended.set()
            for thread in knocking:
                thread.join()


def test_the_guide(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, https = blocks("docs/guide/services.md", count=2)
    exec(compile(plain, "services.md", "exec"), {})
    assert capsys.readouterr().out == "8000 web 200\n"
    (authority,) = daemon.state_dir.glob("*/endpoints-ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    exec(compile(https, "services.md", "exec"), {})
    assert capsys.readouterr().out == "200\n200\n"
