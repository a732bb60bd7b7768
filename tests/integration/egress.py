"""What the tests of ``--egress`` have in common: servers of a small internet, and what a sandbox reaches of them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cwsandbox import Container, EgressRule, NetworkOptions, Sandbox
from integration.internet import FOURTH, GRANTED, HOST, THIRD, Internet, Network

OPEN = NetworkOptions(deny_egress=False)
METADATA = "169.254.169.254"

# Each argument is HOST:PORT. What came of it: what the server says, or the name of an error.
PROBE = """
import json, socket, sys
found = []
for where in sys.argv[1:]:
    host, _, port = where.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=3) as one:
            found.append(one.makefile().readline().strip())
    except OSError as error:
        found.append(type(error).__name__)
print(json.dumps(found))
"""

# The address and the name of a server of TLS. What it says.
FETCH = """
import socket, ssl, sys
context = ssl.create_default_context(cafile="/ca.pem")
with socket.create_connection((sys.argv[1], 443), timeout=10) as plain:
    with context.wrap_socket(plain, server_hostname=sys.argv[2]) as tls:
        print(tls.recv(100).decode().strip())
"""


def serve(network: Network, address: str, port: int, greeting: str) -> socket.socket:
    """A server that greets and says who called."""
    listener = network.socket(socket.SOCK_STREAM)
    listener.bind((address, port))
    listener.listen()

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, caller = listener.accept()
                with connection, suppress(OSError):
                    connection.sendall(f"{greeting} {caller[0]}\n".encode())

    threading.Thread(target=accept, daemon=True).start()
    return listener


@contextmanager
def others(folder: Path) -> Iterator[Internet]:
    """An internet whose hosts have names and servers. The host of the sandboxes serves at port 80, too."""
    with Internet(folder) as made:
        made.names = {"granted.example.org": [GRANTED], "other.example.org": [THIRD]}
        made.serve_tls(GRANTED, ["granted.example.org"], lambda tls: tls.sendall(b"hello\n"))
        made.serve_tls(THIRD, ["other.example.org"], lambda tls: tls.sendall(b"hello\n"))
        # Somebody else's metadata service, which a host with a default route would lead to.
        made.others.ip("addr", "add", f"{METADATA}/32", "dev", "lo")
        listeners = [
            serve(made.others, address, port, f"{address}:{port}")
            for address in (GRANTED, THIRD, FOURTH, METADATA)
            for port in (80, 8000, 8001)
        ]
        listeners.append(serve(made.host, "0.0.0.0", 80, "the host"))
        yield made
        for listener in listeners:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def probe(sandbox: Sandbox, *where: str) -> list[str]:
    result = sandbox.exec(["python3", "-c", PROBE, *where], timeout_seconds=60).result()
    assert result.returncode == 0, result.stderr
    found: list[str] = json.loads(result.stdout)
    return found


def reaches(sandbox: Sandbox, *where: str) -> list[bool]:
    return [" " in said for said in probe(sandbox, *where)]


def assert_network_is_fixed() -> None:
    """A sandbox cannot change its network, nor the rules in it."""
    attempts = (
        "ip addr add 203.0.113.99/24 dev eth0",
        "ip link set eth0 down",
        "ip route add 203.0.113.0/24 dev lo",
        "nft flush ruleset",
        "nft delete table inet cwsandbox",
    )
    with Sandbox.run(network=NetworkOptions(egress=[EgressRule(cidr=f"{GRANTED}/32")])) as sandbox:
        for attempt in attempts:
            assert sandbox.exec(attempt.split()).result().returncode != 0, attempt
        raw = "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)"
        assert "PermissionError" in sandbox.exec(["python3", "-c", raw]).result().stderr
        assert reaches(sandbox, f"{GRANTED}:80", f"{THIRD}:80") == [True, False]


def run_two_containers() -> Sandbox:
    """A sandbox with a way out whose two containers share it."""
    small = {"cpu": "100m", "memory": "64Mi"}
    containers = [
        Container(name=name, image="host", primary=name == "main", resources=small)
        for name in ("main", "second")
    ]
    return Sandbox.run(containers=containers, network=OPEN)


def assert_both_reach(sandbox: Sandbox) -> None:
    for name in ("main", "second"):
        command = ["python3", "-c", PROBE, f"{GRANTED}:80"]
        said = sandbox.exec(command, container=name).result().stdout
        assert json.loads(said) == [f"{GRANTED}:80 {HOST}"]
