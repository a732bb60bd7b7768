"""What our daemon grants to those who have not shown its token: little, whatever they send, and never at the cost of
those who have."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import hpack
import pytest
from hyperframe.frame import ContinuationFrame, HeadersFrame, PingFrame, SettingsFrame

from cwsandbox import Sandbox
from integration.env import Daemon, eventually, temporary_daemon

TOKEN = "a-token-0123456789"
GET = "/coreweave.sandbox.v1.SandboxService/GetSandbox"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()
STRANGERS = 64
MIB = 1 << 20
RSS_LIMIT = 64 * MIB

Fields = list[tuple[str, str]]


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """Has a token, and 256 descriptors."""
    limit = ("prlimit", "--nofile=256:256")
    with temporary_daemon(token=TOKEN, command_prefix=limit) as daemon:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
        monkeypatch.setenv("CWSANDBOX_API_KEY", TOKEN)
        yield daemon


@pytest.fixture
def connect(daemon: Daemon) -> Iterator[Callable[[], socket.socket]]:
    """Opens raw connections to the daemon, which end with the test."""
    host, port = daemon.base_url.removeprefix("http://").split(":")
    with ExitStack() as stack:

        def make() -> socket.socket:
            made = socket.create_connection((host, int(port)), timeout=20)
            return stack.enter_context(closing(made))

        yield make


def rss(daemon: Daemon) -> int:
    for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):  # the highest it ever was
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def request_fields(*more: tuple[str, str]) -> Fields:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", GET),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        *more,
    ]


def request_frames(stream_id: int, block: bytes) -> bytes:
    """A request without a body, in as many frames as its block takes."""
    parts = [block[at : at + 16384] for at in range(0, max(len(block), 1), 16384)]
    first = HeadersFrame(stream_id, parts[0])
    first.flags.add("END_STREAM")
    rest = [ContinuationFrame(stream_id, part) for part in parts[1:]]
    [first, *rest][-1].flags.add("END_HEADERS")
    return b"".join(frame.serialize() for frame in (first, *rest))


def send_until_refused(connection: socket.socket, parts: Iterable[bytes]) -> int:
    """Send, and read nothing; how many bytes went before the daemon had enough."""
    connection.settimeout(1.0)
    sent = 0
    with contextlib.suppress(OSError):  # it ended the connection, or takes no more
        for part in parts:
            connection.sendall(part)
            sent += len(part)
    return sent


def a_caller_is_served() -> None:
    with Sandbox.run() as sandbox:
        assert sandbox.exec(["echo", "hello"]).result().stdout == "hello\n"


# -- floods of one connection that reads nothing


Flood = Callable[[], Iterator[bytes]]


def malformed_requests() -> Iterator[bytes]:
    for stream_id in itertools.count(1, 2):
        yield request_frames(stream_id, b"")


def refused_requests() -> Iterator[bytes]:
    encoder = hpack.Encoder()
    for stream_id in itertools.count(1, 2):
        yield request_frames(stream_id, encoder.encode(request_fields()))


def pings() -> Iterator[bytes]:
    return itertools.repeat(PingFrame(0, b"12345678").serialize())


def settings() -> Iterator[bytes]:
    return itertools.repeat(SettingsFrame(0).serialize())


def batches(flood: Iterator[bytes], count: int) -> Iterator[bytes]:
    """``count`` times the frames of one write."""
    for _ in range(count):
        yield b"".join(itertools.islice(flood, 1000))


@pytest.mark.parametrize(
    "flood", [malformed_requests, refused_requests, pings, settings], ids=lambda f: f.__name__
)
def test_a_flood_is_cut_off(
    daemon: Daemon, connect: Callable[[], socket.socket], flood: Flood
) -> None:
    """A million frames on each of four connections would take hundreds of megabytes of answers."""
    for _ in range(4):
        connection = connect()
        connection.sendall(PREFACE)
        assert send_until_refused(connection, batches(flood(), 1000)) < 16 * MIB
    a_caller_is_served()
    assert rss(daemon) < RSS_LIMIT


# -- header lists


def large_block(encoder: hpack.Encoder, size: int, *more: tuple[str, str]) -> bytes:
    """A list of ``size`` bytes, most of it a reference, again and again, to what was sent once."""
    entry = ("x", "v" * 2000)
    fields = request_fields(*more)
    while sum(len(name) + len(value) + 32 for name, value in fields) + 2033 <= size:
        fields.append(entry)
    fill = size - sum(len(name) + len(value) + 32 for name, value in fields) - 33
    return encoder.encode([*fields, ("y", "f" * fill)])


class Peer:
    """An HTTP/2 client that sends requests as frames and collects the answers' fields."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.encoder = hpack.Encoder()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.socket.sendall(self.h2.data_to_send())
        self.next_id = 1
        self.max_header_list: list[int] = []
        self.goaway: int | None = None

    def request(self, size: int, *more: tuple[str, str]) -> dict[str, str]:
        return self.request_block(large_block(self.encoder, size, *more))

    def request_block(self, block: bytes) -> dict[str, str]:
        stream_id = self.next_id
        self.next_id += 2
        self.h2.send_headers(stream_id, request_fields(), end_stream=True)
        self.h2.clear_outbound_data_buffer()  # that was for its books: the frames are made here
        self.socket.sendall(request_frames(stream_id, block))
        return self.answer(stream_id)

    def answer(self, stream_id: int) -> dict[str, str]:
        fields: dict[str, str] = {}
        while data := self.socket.recv(65536):
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.RemoteSettingsChanged):
                    changed = event.changed_settings
                    if setting := changed.get(h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE):
                        self.max_header_list.append(setting.new_value)
                elif isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    fields.update((str(name), str(value)) for name, value in event.headers)
                elif isinstance(event, h2.events.StreamEnded) and event.stream_id == stream_id:
                    return fields
                elif isinstance(event, h2.events.ConnectionTerminated):
                    self.goaway = event.error_code
            self.socket.sendall(self.h2.data_to_send())
        raise ConnectionError(f"ended with {self.goaway}")


def test_header_lists_are_as_large_as_advertised(connect: Callable[[], socket.socket]) -> None:
    authorization = ("authorization", f"Bearer {TOKEN}")
    peer = Peer(connect())
    for size, status in ((16384, "200"), (16385, "431"), (500_000, "431")):
        fields = peer.request(size)
        assert fields[":status"] == status
        assert fields["grpc-status"] == ("16" if status == "200" else "8")
    assert "16384 bytes" in fields["grpc-message"]
    assert peer.request(16385, authorization)[":status"] == "431"  # not even read
    assert (
        peer.request(16384, authorization)["grpc-status"] == "3"
    )  # let in, and asked what it wants
    assert peer.request(65536, authorization)["grpc-status"] == "3"
    fields = peer.request(65537, authorization)
    assert (fields[":status"], fields["grpc-status"]) == ("431", "8")
    assert peer.request(200, authorization)["grpc-status"] == "3"  # no harm done
    assert peer.max_header_list == [16384, 65536]


def test_a_list_beyond_all_bounds_ends_the_connection(connect: Callable[[], socket.socket]) -> None:
    """16 KB sent mean 60 MB of headers, and dropping them is work: a hundred of these kept the daemon busy for 4 s."""
    for more in ((), (("authorization", f"Bearer {TOKEN}"),)):
        peer = Peer(connect())
        block = peer.encoder.encode([*request_fields(*more), *[("x", "v" * 4000)] * 15_000])
        assert len(block) < 20_000
        with pytest.raises(ConnectionError):
            peer.request_block(block)
    a_caller_is_served()


def test_large_header_lists_are_not_kept(
    daemon: Daemon, connect: Callable[[], socket.socket]
) -> None:
    """60 KB each, of a few hundred bytes sent, on more streams than there may be, from strangers and from others."""
    for more in ((), (("authorization", f"Bearer {TOKEN}"),)):
        for _ in range(10):
            connection = connect()
            encoder = hpack.Encoder()
            blocks = (large_block(encoder, 60_000, *more) for _ in range(990))
            frames = [request_frames(2 * n + 1, block) for n, block in enumerate(blocks)]
            connection.sendall(PREFACE)
            send_until_refused(connection, frames)
    a_caller_is_served()
    assert rss(daemon) < RSS_LIMIT


# -- numbers


def test_strangers_cannot_keep_callers_out(
    daemon: Daemon, connect: Callable[[], socket.socket]
) -> None:
    """More idle connections than the daemon has descriptors, some of them in the middle of their preface."""
    with Sandbox.run() as sandbox:  # has shown its token, and is not counted among them
        kept = []
        for n in range(400):
            kept.append(connect())
            kept[-1].sendall(PREFACE[: n % len(PREFACE)])
        assert sandbox.exec(["echo", "still"]).result().stdout == "still\n"
        a_caller_is_served()

        def open_count() -> int:
            return sum(1 for _ in Path(f"/proc/{daemon.pid}/fd").iterdir())

        eventually(lambda: open_count() < STRANGERS + 60, "the oldest are gone")
    assert rss(daemon) < RSS_LIMIT


def test_a_stranger_has_a_hundred_tries(connect: Callable[[], socket.socket]) -> None:
    peer = Peer(connect())
    for _ in range(100):
        assert peer.request(200)["grpc-status"] == "16"
    with pytest.raises(ConnectionError):
        peer.request(200, ("authorization", f"Bearer {TOKEN}"))
    assert peer.goaway == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
