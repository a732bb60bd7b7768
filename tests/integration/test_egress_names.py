"""The way out by name, cwsandbox-egress, between a sandbox's network and a small internet of the test's own."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from integration.env.daemon import binary
from integration.host import resident_bytes
from integration.internet import (
    AAAA,
    FOURTH,
    GRANTED,
    HOST,
    OTHER,
    THIRD,
    Internet,
    Network,
    missing,
    question,
    read_answer,
)

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

NAME_SERVER = "127.0.0.53"
NO_ERROR, NAME_ERROR, FORMAT_ERROR, SERVER_FAILURE = 0, 3, 1, 2
LARGE = 256 << 20


def say_who(connection: ssl.SSLSocket) -> None:
    """Who is called says so, after the first line."""
    line = connection.makefile("rb").readline()
    connection.sendall(b"granted " + line)


class Sandbox:
    """A network from which nothing leads but cwsandbox-egress. All that connects to port 443 arrives there."""

    def __init__(self, internet: Internet, *words: str) -> None:
        self.internet = internet
        self.network = Network()
        self.network.ip("link", "set", "lo", "up")
        self.network.ip("route", "add", "local", "default", "dev", "lo")
        listener = self.network.socket(socket.SOCK_STREAM)
        listener.bind(("0.0.0.0", 443))
        names = self.network.socket(socket.SOCK_DGRAM)
        names.bind((NAME_SERVER, 53))
        command = [str(binary("cwsandbox-egress")), str(os.getpid()), "65534", *words]
        self.process = subprocess.Popen(
            [*internet.on_host(), *command],
            stdin=listener,
            stdout=names,
        )
        listener.close()
        names.close()

    def ask(self, message: bytes) -> bytes:
        with self.network.socket(socket.SOCK_DGRAM) as asker:
            asker.settimeout(20)
            asker.sendto(message, (NAME_SERVER, 53))
            return asker.recv(4096)

    def resolve(self, name: str, kind: int = 1) -> tuple[int, list[str]]:
        return read_answer(self.ask(question(name, kind)))

    def connect(self, address: str = OTHER) -> socket.socket:
        """Whatever the address, it is the program that answers. It may not have started to listen yet."""
        until = time.monotonic() + 20
        while True:
            connection = self.network.socket(socket.SOCK_STREAM)
            connection.settimeout(20)
            try:
                connection.connect((address, 443))
                return connection
            except ConnectionRefusedError:
                connection.close()
                assert time.monotonic() < until
                time.sleep(0.02)

    def tls(self, name: str | None, address: str = OTHER) -> ssl.SSLSocket:
        """A connection whose server has proven to be ``name``."""
        context = ssl.create_default_context(cafile=str(self.internet.ca))
        context.check_hostname = name is not None
        return context.wrap_socket(self.connect(address), server_hostname=name)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.network.close()


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    with Internet(tmp_path_factory.mktemp("internet")) as made:
        made.names = {
            "granted.example.org": [GRANTED],
            "a.wild.example.org": [GRANTED],
            "a.b.wild.example.org": [GRANTED],
            "wild.example.org": [GRANTED],
            "other.example.org": [OTHER],
            "loopback.wild.example.org": ["127.0.0.1"],
            "host.wild.example.org": [HOST],
            "link.wild.example.org": ["169.254.169.254"],
            "private.wild.example.org": ["10.0.0.1"],
            "half.wild.example.org": ["127.0.0.1", GRANTED],
            "gone.wild.example.org": [OTHER, GRANTED],
            "nobody.wild.example.org": [OTHER],
        }
        made.serve_tls(GRANTED, list(made.names), say_who)
        yield made


@pytest.fixture
def sandbox(internet: Internet) -> Iterator[Sandbox]:
    made = Sandbox(internet, "granted", "granted.example.org", "*.wild.example.org")
    yield made
    made.close()


@pytest.fixture
def open_sandbox(internet: Internet) -> Iterator[Sandbox]:
    made = Sandbox(internet, "all")
    yield made
    made.close()


def greeting(connection: ssl.SSLSocket) -> bytes:
    with connection:
        connection.sendall(b"hello\n")
        return connection.makefile("rb").read()


def read_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += connection.recv(size - len(data))
    return data


# ---- names


def test_a_granted_name_is_resolved(sandbox: Sandbox) -> None:
    assert sandbox.resolve("granted.example.org") == (NO_ERROR, [GRANTED])
    assert sandbox.resolve("GRANTED.example.ORG") == (NO_ERROR, [GRANTED])
    assert sandbox.resolve("a.b.wild.example.org") == (NO_ERROR, [GRANTED])


def test_another_name_does_not_exist_and_nobody_is_asked(sandbox: Sandbox) -> None:
    asked = len(sandbox.internet.asked)
    for name in (
        "other.example.org",
        "wild.example.org",
        "secret.granted.example.org",
        "localhost",
    ):
        assert sandbox.resolve(name) == (NAME_ERROR, [])
    assert sandbox.internet.asked[asked:] == []


def test_a_granted_name_without_addresses(sandbox: Sandbox) -> None:
    assert sandbox.resolve("no-such.wild.example.org") == (NAME_ERROR, [])
    assert sandbox.resolve("granted.example.org", AAAA) == (NO_ERROR, [])


@pytest.mark.parametrize("name", ["loopback", "host", "link", "private"])
def test_no_name_shows_an_inner_address(sandbox: Sandbox, name: str) -> None:
    assert sandbox.resolve(f"{name}.wild.example.org") == (NO_ERROR, [])
    assert sandbox.resolve("half.wild.example.org") == (NO_ERROR, [GRANTED])


def test_all_names_where_addresses_are_ruled_by_others(open_sandbox: Sandbox) -> None:
    assert open_sandbox.resolve("other.example.org") == (NO_ERROR, [OTHER])
    assert open_sandbox.resolve("private.wild.example.org") == (NO_ERROR, ["10.0.0.1"])
    assert open_sandbox.resolve("no-such.example.org") == (NAME_ERROR, [])


def test_malformed_questions_do_no_harm(sandbox: Sandbox) -> None:
    good = question("granted.example.org")
    for cut in range(12, len(good)):
        assert sandbox.ask(good[:cut])[3] & 0xF == FORMAT_ERROR
    with sandbox.network.socket(socket.SOCK_DGRAM) as asker:
        for message in (b"", b"x", b"\xff" * 600, os.urandom(4096)):
            asker.sendto(message, (NAME_SERVER, 53))
    assert sandbox.resolve("granted.example.org") == (NO_ERROR, [GRANTED])


def test_many_questions_at_once_are_all_answered(sandbox: Sandbox) -> None:
    with sandbox.network.socket(socket.SOCK_DGRAM) as asker:
        asker.settimeout(20)
        for number in range(200):
            asker.sendto(question("granted.example.org", number=number), (NAME_SERVER, 53))
            if number % 20 == 19:  # more than that might not fit into the socket's buffer
                answers = [asker.recv(4096) for _ in range(20)]
                assert {answer[3] & 0xF for answer in answers} <= {NO_ERROR, SERVER_FAILURE}


# ---- connections


def test_a_granted_name_is_reached(sandbox: Sandbox) -> None:
    assert greeting(sandbox.tls("granted.example.org", GRANTED)) == b"granted hello\n"
    assert greeting(sandbox.tls("a.wild.example.org", GRANTED)) == b"granted hello\n"


def test_who_lies_about_the_name_gets_to_the_host_of_that_name(sandbox: Sandbox) -> None:
    assert greeting(sandbox.tls("granted.example.org", OTHER)) == b"granted hello\n"
    assert greeting(sandbox.tls("granted.example.org", "127.0.0.1")) == b"granted hello\n"


@pytest.mark.parametrize("name", ["other.example.org", "wild.example.org", None])
def test_all_others_are_refused_with_a_reason(sandbox: Sandbox, name: str | None) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        sandbox.tls(name, GRANTED)


@pytest.mark.parametrize("name", ["loopback", "host", "link", "private", "nobody", "no-such"])
def test_no_name_leads_inwards_or_nowhere(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
        sandbox.tls(f"{name}.wild.example.org")


def test_the_next_address_is_tried(sandbox: Sandbox) -> None:
    assert greeting(sandbox.tls("gone.wild.example.org")) == b"granted hello\n"


def test_what_is_no_tls_is_reset(sandbox: Sandbox) -> None:
    with sandbox.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: granted.example.org\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_broken_hello_is_refused(sandbox: Sandbox) -> None:
    with sandbox.connect() as connection:
        connection.sendall(struct.pack(">BHHB", 22, 0x0301, 1, 2))
        assert connection.recv(100)[-1] == 50  # decode_error


def test_a_hello_in_many_pieces(sandbox: Sandbox) -> None:
    context = ssl.create_default_context(cafile=str(sandbox.internet.ca))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="granted.example.org")
    with sandbox.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        for byte in outgoing.read():
            connection.sendall(bytes([byte]))
        while True:
            incoming.write(connection.recv(65536))
            with suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                break


def test_bytes_pass_both_ways_at_the_pace_of_the_reader(
    internet: Internet, sandbox: Sandbox
) -> None:
    """More than all buffers hold comes whole, and what is not read does not pile up in the program."""

    def echo(connection: ssl.SSLSocket) -> None:
        while data := connection.recv(1 << 16):
            connection.sendall(data)

    internet.names["large.wild.example.org"] = [FOURTH]
    internet.serve_tls(FOURTH, ["large.wild.example.org"], echo)
    piece = os.urandom(1 << 14)
    with sandbox.tls("large.wild.example.org") as connection:
        connection.settimeout(0.5)
        sent = 0
        with suppress(TimeoutError):
            while sent < LARGE:
                sent += connection.send(piece)
        assert 0 < sent < LARGE  # the server does not read while nobody takes what it sends
        assert resident_bytes(sandbox.process.pid) < 24 << 20
        connection.settimeout(20)
        for _ in range(sent // len(piece)):
            assert read_exactly(connection, len(piece)) == piece


def test_connections_beyond_the_limit_are_reset_and_make_room_again(sandbox: Sandbox) -> None:
    idle = [sandbox.connect() for _ in range(256)]
    with pytest.raises(ConnectionResetError), sandbox.connect() as one_more:
        one_more.recv(1)
    for connection in idle:
        connection.close()
    until = time.monotonic() + 20
    while True:
        try:
            assert greeting(sandbox.tls("granted.example.org")) == b"granted hello\n"
            break
        except ConnectionResetError:
            assert time.monotonic() < until
            time.sleep(0.02)


def test_each_side_may_end_before_the_other(internet: Internet, sandbox: Sandbox) -> None:
    """What is sent after the other side has ended still arrives."""

    def end_later(connection: ssl.SSLSocket) -> None:
        raw = connection.unwrap()  # after the client's end
        raw.sendall(b"still here")

    internet.names["end.wild.example.org"] = [THIRD]
    internet.serve_tls(THIRD, ["end.wild.example.org"], end_later)
    raw = sandbox.tls("end.wild.example.org").unwrap()
    with raw:
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(100) == b"still here"
        assert raw.recv(100) == b""
