"""h2load against the server: what the server can do, to see that it is not what limits the clients."""

from __future__ import annotations

import re
import resource
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import TypedDict

from .run import Clients
from .server import Server
from .table import number
from .table import text as table_text

CASES = (
    ("", False, 1, 10_000),
    ("", False, 64, 150_000),
    (", TLS", True, 1, 10_000),
    (", TLS", True, 64, 100_000),
)
PATH = "/coreweave.sandbox.v1.SandboxService/StreamExec"


class Result(TypedDict):
    case: str
    rate: float
    client_cpu: float
    server_cpu: float


def field(number: int, value: bytes) -> bytes:
    """A length-delimited field of less than 128 bytes."""
    return bytes((number << 3 | 2, len(value))) + value


def request() -> bytes:
    """The gRPC message that runs `true` in the sandbox that the server has from the start."""
    message = field(1, field(1, b"floor") + field(2, b"true"))
    return b"\0" + len(message).to_bytes(4, "big") + message


@dataclass
class Usage:
    seconds: float

    @classmethod
    def of_children(cls) -> Usage:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(usage.ru_utime + usage.ru_stime)


def one(server: Server, tls: bool, streams: int, count: int, body: Path) -> tuple[float, float]:
    """Requests per second, and seconds of CPU of h2load."""
    before = Usage.of_children()
    done = subprocess.run(
        [
            "h2load",
            *("-n", str(count), "-c", "1", "-m", str(streams), "-d", str(body)),
            *("-H", "content-type: application/grpc", "-H", "te: trailers"),
            server.url(tls) + PATH,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    rate = re.search(r"finished in [^,]*, ([0-9.]+) req/s", done.stdout)
    succeeded = re.search(r"([0-9]+) succeeded", done.stdout)
    if rate is None or succeeded is None or int(succeeded[1]) != count:
        raise RuntimeError(f"h2load did not do its {count} requests:\n{done.stdout}")
    return float(rate[1]), Usage.of_children().seconds - before.seconds


def measure(clients: Clients, scale: float) -> list[Result]:
    """Nothing where there is no h2load."""
    if which("h2load") is None:
        return []
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder, Server(clients.server) as server:
        body = Path(folder, "request")
        body.write_bytes(request())
        for suffix, tls, streams, full in CASES:
            count = max(streams, int(full * scale))
            before = server.cpu()
            rate, cpu = one(server, tls, streams, count, body)
            results.append(
                {
                    "case": f"{streams} at once{suffix}",
                    "rate": rate,
                    "client_cpu": cpu / count,
                    "server_cpu": (server.cpu() - before) / count,
                }
            )
    return results


def text(results: list[Result]) -> str:
    rows = [
        (r["case"], number(r["rate"]), number(r["client_cpu"] * 1e6), number(r["server_cpu"] * 1e6))
        for r in results
    ]
    headings = ("execs", "per second", "client CPU each (µs)", "server CPU each (µs)")
    return table_text(rows, headings) if rows else "(h2load is not installed)"
