"""`cwsandbox serve-fusion` and clients that hang up, send what is no request, come in crowds, or outlive it."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest

from cli.program import PATH
from cwsandbox import Sandbox, SandboxError
from integration.env import Daemon, eventually

SECONDS = 50
HANGING = {"language": "bash", "code": "touch /tmp/begun; sleep 1000", "run_timeout": 1000}


class Client:
    """One connection, byte by byte."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.socket = socket.create_connection((parts.hostname, parts.port), SECONDS)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, dict]:
        response = HTTPResponse(self.socket, method="POST")
        response.begin()
        return response.status, json.loads(response.read())

    def is_hung_up_on(self) -> bool:
        return self.socket.recv(1) == b""

    # ---- three ways to hang up ----

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def end(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    url: str

    def connect(self) -> Client:
        return Client(self.url)

    def begin(self, request: dict | None = None, more: bytes = b"") -> Client:
        """A client that has sent this."""
        client = self.connect()
        client.send(post(HANGING if request is None else request) + more)
        return client

    def accept_all(self) -> None:
        """Returns once it has accepted all connections that were begun: it does so in their order."""
        last = self.connect()
        last.send(b"GET /v1/ping HTTP/1.1\r\n\r\n")
        assert last.answer() == (200, "pong")
        last.close()

    def ask(self, code: str = "echo done") -> str:
        client = self.begin({"language": "bash", "code": code})
        status, answer = client.answer()
        client.close()
        assert status == 200, answer
        return answer["run_result"]["stdout"]

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(SECONDS)


def post(request: dict, *headers: str) -> bytes:
    body = json.dumps(request).encode()
    lines = ["POST /run_code HTTP/1.1", "Host: here", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def begun() -> Sandbox:
    """The sandbox of a hanging command, once that has begun. Beside it one may still be about to end."""
    found: list[Sandbox] = []

    def has_begun(sandbox: Sandbox) -> bool:
        try:
            return sandbox.exec(["test", "-e", "/tmp/begun"]).result().returncode == 0
        except SandboxError:
            return False

    def look() -> bool:
        found[:] = filter(has_begun, Sandbox.list(status="running").result())
        return bool(found)

    eventually(look, "a command has begun", SECONDS)
    return found[0]


def ids(**which: Any) -> set[str | None]:
    return {one.sandbox_id for one in Sandbox.list(**which).result()}


def all_ids() -> set[str | None]:
    return ids(show_terminated=True)


@contextmanager
def serving(daemon: Daemon, alive: int = 1, **options: Any) -> Iterator[Server]:
    """One that has nothing to complain about."""
    words = [PATH, "serve-fusion", "--port", "0", "--ready", "0", "--alive", str(alive)]
    environment = {**os.environ, "CWSANDBOX_BASE_URL": daemon.base_url}
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=complaints, env=environment, **options
        ) as process,
    ):
        try:
            assert process.stdout is not None
            yield Server(process, process.stdout.readline().decode().strip())
        finally:
            process.terminate()
        assert process.wait(SECONDS) == 0
        complaints.seek(0)
        assert complaints.read() == b""


@pytest.fixture(scope="module")
def lasting(daemon: Daemon) -> Iterator[Server]:
    with serving(daemon) as server:
        yield server


@pytest.fixture
def server(lasting: Server, base_url: str) -> Server:
    """It has one sandbox at most, so whoever waits has it only after the others. No test leaves anything in it."""
    return lasting


@pytest.fixture
def mortal(daemon: Daemon, base_url: str) -> Iterator[Server]:
    """One that a test may end."""
    with serving(daemon) as server:
        yield server


HANGING_UP = pytest.mark.parametrize("hang_up", [Client.close, Client.reset, Client.end])


def test_a_client_that_hangs_up_within_its_body(server: Server) -> None:
    before = all_ids()
    client = server.connect()
    whole = post(HANGING) + b" "  # without which it would be a request, too
    client.send(whole.replace(b"Content-Length: ", b"Content-Length: 1"))
    client.end()
    assert client.is_hung_up_on()
    assert not all_ids() - before


@HANGING_UP
def test_a_client_that_hangs_up_within_its_head(
    server: Server, hang_up: Callable[[Client], None]
) -> None:
    client = server.connect()
    client.send(post(HANGING)[:30])
    hang_up(client)
    assert server.ask() == "done\n"


@HANGING_UP
@pytest.mark.parametrize("more", [b"", post(HANGING)], ids=["alone", "pipelined"])
def test_a_client_that_hangs_up_ends_its_command(
    server: Server, hang_up: Callable[[Client], None], more: bytes
) -> None:
    client = server.begin(more=more)
    sandbox = begun()
    hang_up(client)
    sandbox.wait_until_complete(timeout=SECONDS, raise_on_termination=False).result()
    if not more:
        assert server.ask() == "done\n"


def test_a_client_that_hangs_up_after_an_earlier_answer(server: Server) -> None:
    client = server.begin({"language": "bash", "code": "echo first"})
    assert client.answer()[1]["run_result"]["stdout"] == "first\n"
    client.send(post(HANGING))
    begun()
    client.close()
    assert server.ask() == "done\n"


def test_a_client_that_hangs_up_while_it_waits_for_a_sandbox(server: Server) -> None:
    before = all_ids()
    first = server.begin()
    begun()
    second = server.begin()
    second.end()
    assert second.is_hung_up_on()
    first.close()
    assert server.ask() == "done\n"
    assert len(all_ids() - before) == 2


@pytest.mark.parametrize("hang_up", [Client.close, Client.reset])
def test_a_client_that_hangs_up_within_its_answer(
    server: Server, hang_up: Callable[[Client], None]
) -> None:
    code = "head -c 32M /dev/zero > made"
    client = server.begin({"language": "bash", "code": code, "fetch_files": ["made"]})
    assert client.socket.recv(8) == b"HTTP/1.1"
    # It has more to send than fits into the buffers between, and holds no sandbox meanwhile.
    assert server.ask() == "done\n"
    hang_up(client)
    assert server.ask() == "done\n"


def test_a_connection_serves_one_request_after_another(server: Server) -> None:
    client = server.connect()
    client.send(b"".join(post({"language": "bash", "code": f"echo {n}"}) for n in range(3)))
    answers = [_next_answer(client) for _ in range(3)]
    assert [one["run_result"]["stdout"] for one in answers] == ["0\n", "1\n", "2\n"]
    client.close()


def _next_answer(client: Client) -> dict:
    """Without reading on into the one that follows."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.socket.recv(1)
    (length,) = (int(line[15:]) for line in head.splitlines() if line.startswith(b"Content-Length"))
    return json.loads(client.socket.recv(length, socket.MSG_WAITALL))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_its_end_is_told_to_all_who_wait(mortal: Server, number: signal.Signals) -> None:
    server, before = mortal, all_ids()
    idle = server.connect()
    within_head, within_body = server.connect(), server.connect()
    within_head.send(post(HANGING)[:30])
    within_body.send(post(HANGING)[:-1])
    waiting = [within_head, within_body, *(server.begin() for _ in range(4))]
    begun()
    server.accept_all()
    assert server.end(number) == 0
    told = (503, {"detail": "the service ends"})
    assert [client.answer() for client in waiting] == [told] * len(waiting)
    assert all(client.is_hung_up_on() for client in [idle, *waiting])
    assert not ids(status="running") - before
    for client in [idle, *waiting]:
        client.close()


def test_its_end_does_not_wait_for_a_client_that_does_not_read(mortal: Server) -> None:
    server = mortal
    code = "head -c 32M /dev/zero > made"
    client = server.begin({"language": "bash", "code": code, "fetch_files": ["made"]})
    assert client.socket.recv(8) == b"HTTP/1.1"
    assert server.end() == 0
    client.close()


@pytest.mark.parametrize(
    ("head", "status", "named"),
    [
        (b"POST /run_code HTTP/1.1\r\nContent-Length: 268435457\r\n\r\n", 413, "268435456, got"),
        (b"POST /run_code HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413, "999"),
        (b"POST /run_code HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "a number, got -1"),
        (
            b"POST /run_code HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            400,
            "1, 2",
        ),
        (b"POST /run_code HTTP/1.1\r\n\r\n", 411, "Content-Length"),
        (b"POST /run_code HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411, "Content-Length"),
        (b"GET /v1/ping HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411, "Content-Length"),
        (b"PUT /run_code HTTP/1.1\r\nContent-Length: 99\r\n\r\n", 501, "'PUT'"),
        (b"POST /run_code HTTP/3.0\r\nContent-Length: 99\r\n\r\n", 505, "3.0"),
        (b"no request at all\r\n\r\n", 400, "'all'"),
        (b"POST /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414, "Too Long"),
        (b"POST / HTTP/1.1\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", 431, "too long"),
    ],
)
def test_a_client_that_is_refused_sees_why_though_it_sends_on(
    server: Server, head: bytes, status: int, named: str
) -> None:
    client = server.connect()
    client.send(head + bytes(4 << 20))
    answered, answer = client.answer()
    assert answered == status
    assert named in answer["detail"]
    client.close()


@pytest.mark.parametrize("deep", [b"[" * 1_000_000, b'{"a":' * 1_000_000])
def test_a_request_that_is_nested_too_deeply(server: Server, deep: bytes) -> None:
    client = server.connect()
    client.send(b"POST /run_code HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(deep) + deep)
    status, answer = client.answer()
    assert (status, answer["detail"]) == (422, "the request is nested too deeply")
    client.close()


@pytest.mark.parametrize(
    "request_",
    [
        {"code": "\udc80"},
        {"code": "", "stdin": "\udc80"},
        {"code": "", "files": {"\udc80": ""}},
        {"code": "", "fetch_files": ["\udc80"]},
        {"code": "", "args": ["\udc80"]},
    ],
)
def test_text_that_is_no_unicode_takes_no_sandbox(server: Server, request_: dict) -> None:
    before = all_ids()
    client = server.begin({"language": "bash", **request_})
    status, answer = client.answer()
    assert (status, list(request_)[-1] in answer["detail"]) == (422, True)
    assert not all_ids() - before
    client.close()


def test_a_value_of_any_size_is_named_in_short(server: Server) -> None:
    client = server.begin({"language": "x" * 1_000_000, "code": ""})
    status, answer = client.answer()
    assert status == 422
    assert len(answer["detail"]) < 1000
    client.close()


def test_a_crowd_larger_than_the_descriptors_there_are(daemon: Daemon, base_url: str) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))

    together = threading.Barrier(64, timeout=SECONDS)
    with (
        serving(daemon, alive=4, preexec_fn=limit) as server,
        ThreadPoolExecutor(64) as threads,
    ):

        def one(number: int) -> str:
            together.wait()
            return server.ask(f"echo {number}")

        assert list(threads.map(one, range(64))) == [f"{number}\n" for number in range(64)]


def test_a_crowd_that_hangs_up_leaves_nothing(server: Server) -> None:
    before = all_ids()
    holder = server.begin()
    begun()
    crowd = [server.begin() for _ in range(200)]
    for client in crowd:
        client.end()
    assert all(client.is_hung_up_on() for client in crowd)
    for client in [holder, *crowd]:
        client.close()
    assert server.ask() == "done\n"
    assert len(all_ids() - before) == 2


def test_a_body_that_nobody_asked_for_is_no_request(server: Server) -> None:
    parts = urlsplit(server.url)
    connection = HTTPConnection(parts.netloc, timeout=SECONDS)
    connection.request("GET", "/v1/ping")
    assert connection.getresponse().read() == b'"pong"'
    connection.request("GET", "/v1/ping", b"with a body", {"Content-Length": "11"})
    assert connection.getresponse().read() == b'"pong"'
    connection.close()
