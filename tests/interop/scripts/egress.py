"""Sandboxes that reach other networks, with the published SDK. It is imported here, so nothing of ours may be.

The arguments after the case are addresses of a small internet: one that is granted, another one, and the path of the
certificate of its authority.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from cwsandbox import EgressRule, NetworkOptions, Sandbox

# Each argument is HOST:PORT. Whether somebody answers there.
PROBE = """
import socket, sys
for where in sys.argv[1:]:
    host, _, port = where.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=3) as one:
            print("reached" if one.recv(1) else "silent")
    except OSError:
        print("not reached")
"""
# The name of a server of TLS. What it says.
FETCH = """
import socket, ssl, sys
context = ssl.create_default_context(cafile="/ca.pem")
with socket.create_connection((sys.argv[1], 443), timeout=10) as plain:
    with context.wrap_socket(plain, server_hostname=sys.argv[1]) as tls:
        print(tls.recv(100).decode().strip())
"""

GRANTED, OTHER, CA = sys.argv[2:]


def running(**options: Any) -> Any:
    return Sandbox.run(container_image="python:3.11", **options)


def probe(sandbox: Sandbox, *where: str) -> list[bool]:
    result = sandbox.exec(["python3", "-c", PROBE, *where], check=True).result()
    return [line == "reached" for line in result.stdout.splitlines()]


def closed() -> None:
    for network in (None, NetworkOptions(deny_egress=True)):
        with running(network=network) as sandbox:
            assert probe(sandbox, f"{GRANTED}:80") == [False]
            assert sandbox.effective_egress == ()


def opened() -> None:
    with running(network=NetworkOptions(deny_egress=False)) as sandbox:
        assert probe(sandbox, f"{GRANTED}:80", f"{OTHER}:80") == [True, True]
        assert sandbox.effective_egress == (EgressRule(any=True),)


def ruled() -> None:
    rules = [EgressRule(cidr=f"{GRANTED}/32", ports=[8000])]
    with running(network=NetworkOptions(egress=rules)) as sandbox:
        where = (f"{GRANTED}:8000", f"{GRANTED}:80", f"{OTHER}:8000")
        assert probe(sandbox, *where) == [True, False, False]
        assert sandbox.effective_egress == tuple(rules)


def named() -> None:
    rule = EgressRule(dns_name="granted.example.org")
    with running(network=NetworkOptions(egress=[rule])) as sandbox:
        assert sandbox.wait().dns_egress_names == ("granted.example.org",)
        sandbox.write_file("/ca.pem", Path(CA).read_bytes()).result()
        fetched = sandbox.exec(["python3", "-c", FETCH, "granted.example.org"]).result()
        assert fetched.stdout.strip() == "hello", fetched.stderr
        assert sandbox.exec(["python3", "-c", FETCH, "other.example.org"]).result().returncode != 0
        assert probe(sandbox, f"{GRANTED}:80") == [False]


globals()[sys.argv[1]]()
