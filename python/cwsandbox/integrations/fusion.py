"""SandboxFusion's HTTP interface ``POST /run_code``, a sandbox for each request (``cwsandbox serve-fusion``).

::

    with SandboxPool(4, limits=Limits(alive=64)) as pool, FusionServer(("127.0.0.1", 8080), pool) as server:
        server.serve_forever()
"""

from __future__ import annotations

import json
import resource
import socket
import sys
import threading
from concurrent.futures import CancelledError
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from time import monotonic
from typing import Any

from cwsandbox import SandboxPool
from cwsandbox.integrations.fusion_request import RunCode, run_code
from cwsandbox.integrations.fusion_running import Answer, Running

_BODY_MAX = 256 << 20
_IDLE_SECONDS = 300
# How long a client that is refused may go on sending before it reads why.
_LINGER_SECONDS = 30
# How long clients have to take their last answers when the server is closed.
_GRACE_SECONDS = 5
# Each connection has a thread and a descriptor. The connections to the sandboxes need descriptors, too.
_CONNECTIONS_MAX = 4096
_OTHER_DESCRIPTORS = 64


class FusionServer(ThreadingHTTPServer):
    """Serves ``run_code`` with sandboxes of a pool. Each connection has a thread.

    What runs for a client ends when the client hangs up. Closing the server, as the end of its block does, ends all
    requests, which are answered with 503.
    """

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], pool: SandboxPool) -> None:
        self.pool = pool
        self._changed = threading.Condition()
        self._connections: set[socket.socket] = set()
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._connections_max = max(1, min(_CONNECTIONS_MAX, descriptors - _OTHER_DESCRIPTORS))
        self._running = Running()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's own, which asks for the host's name, and waits for a name server that does not answer.
        TCPServer.server_bind(self)
        self.server_port = self.server_address[1]

    def run(self, request: RunCode, connection: socket.socket) -> Answer:
        """What is answered. ``CancelledError`` if the client hangs up before that, or the server is closed."""
        return self._running.run(lambda: run_code(self.pool, request), connection)

    @property
    def is_closed(self) -> bool:
        return self._running.is_closed

    def process_request(self, request: Any, client_address: Any) -> None:
        # Further connections wait to be accepted, so that none is refused for want of descriptors.
        with self._changed:
            self._changed.wait_for(lambda: len(self._connections) < self._connections_max)
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._changed:
            self._connections.discard(request)
            self._changed.notify_all()
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        self._running.close()
        self._shut_down(socket.SHUT_RD)  # which wakes those who wait for a request
        with self._changed:
            self._changed.wait_for(lambda: not self._connections, _GRACE_SECONDS)
        self._shut_down(socket.SHUT_RDWR)

    def _shut_down(self, how: int) -> None:
        with self._changed:
            for connection in self._connections:
                with suppress(OSError):  # the client has gone already
                    connection.shutdown(how)


class _Handler(BaseHTTPRequestHandler):
    server: FusionServer
    protocol_version = "HTTP/1.1"
    # Of a request that cannot be read; that of 0.9 would be answered without a head.
    default_request_version = "HTTP/1.0"
    timeout = _IDLE_SECONDS
    # Head and body of an answer are written one after the other.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self._body() is None:
            return
        if self.path == "/v1/ping":
            self._answer(HTTPStatus.OK, "pong")
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"detail": f"no such path: GET {self.path}"})

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        if self.path != "/run_code":
            self._answer(HTTPStatus.NOT_FOUND, {"detail": f"no such path: POST {self.path}"})
            return
        try:
            answer = self.server.run(RunCode.of(body), self.connection)
        except ValueError as error:
            self._answer(HTTPStatus.UNPROCESSABLE_ENTITY, {"detail": str(error)})
        except CancelledError:
            self._give_up()
        else:
            self._answer(HTTPStatus.OK, answer)

    def _body(self) -> bytes | None:
        """None if the request was refused, or the client has hung up."""
        lengths = self.headers.get_all("Content-Length", ["0"] if self.command == "GET" else [])
        if "Transfer-Encoding" in self.headers or not lengths:
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "the request must have a Content-Length")
        elif not (lengths[0].isascii() and lengths[0].isdecimal() and len(set(lengths)) == 1):
            text = f"Content-Length must be a number, got {', '.join(lengths)}"
            self._refuse(HTTPStatus.BAD_REQUEST, text)
        elif len(lengths[0]) > 18 or int(lengths[0]) > _BODY_MAX:
            text = f"Content-Length must be at most {_BODY_MAX}, got {lengths[0]}"
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
        else:
            body = self.rfile.read(int(lengths[0]))
            if len(body) == int(lengths[0]):
                return body
            self._give_up()
        return None

    def _give_up(self) -> None:
        """The client has hung up, or the server is closed."""
        self.close_connection = True
        if self.server.is_closed:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self._refuse(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        """Answers, and reads on: a client that was hung up on while it sends might never see the answer."""
        if self.server.is_closed:  # which cuts off what is still to come, and is the reason then
            status, text = HTTPStatus.SERVICE_UNAVAILABLE, "the service ends"
        self.close_connection = True
        self._answer(status, {"detail": text})
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(_GRACE_SECONDS)
        end = monotonic() + _LINGER_SECONDS
        while monotonic() < end and self.rfile.read1(1 << 16):
            pass

    def _answer(self, status: HTTPStatus, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: whoever is meant is told."""
