"""What our daemon makes of clients that break the rules of HTTP/2, frame by frame."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    DataFrame,
    Frame,
    HeadersFrame,
    RstStreamFrame,
    WindowUpdateFrame,
)

from conformance import protos
from conformance.h2_peer import frame as grpc_message
from conformance.raw_client import SERVICE, Peer, RawFrame
from cwsandbox import Sandbox
from integration.env import Daemon, temporary_daemon

MAX_STREAMS = 1000


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with temporary_daemon() as daemon:
        yield daemon


@pytest.fixture
def peer(daemon: Daemon) -> Iterator[Peer]:
    with ExitStack() as stack:
        connection = stack.enter_context(closing(socket.socket(socket.AF_UNIX)))
        connection.settimeout(20)
        connection.connect(daemon.base_url.removeprefix("unix://"))
        yield Peer(connection)


def stream(code: ErrorCodes, stream_id: int = 1) -> tuple[str, int, int]:
    return "stream", stream_id, code


def connection(code: ErrorCodes) -> tuple[str, int, int]:
    return "connection", 0, code


Violation = Callable[[Peer], Sequence[Frame | RawFrame]]
VIOLATIONS: list[tuple[str, Violation, tuple[str, int, int]]] = [
    (
        "a smaller stream id than the newest",
        lambda peer: [peer.headers(5), peer.headers(3)],
        connection(ErrorCodes.PROTOCOL_ERROR),
    ),
    (
        "a smaller stream id after the newest has ended",
        lambda peer: [
            peer.headers(5),
            RstStreamFrame(5, ErrorCodes.CANCEL),
            peer.headers(3, "END_STREAM"),
        ],
        connection(ErrorCodes.PROTOCOL_ERROR),
    ),
    (
        "a smaller stream id after the largest there is has ended",
        lambda peer: [
            peer.headers(2**31 - 1),
            RstStreamFrame(2**31 - 1, ErrorCodes.CANCEL),
            peer.headers(3, "END_STREAM"),
        ],
        connection(ErrorCodes.PROTOCOL_ERROR),
    ),
    ("an even stream id", lambda peer: [peer.headers(2)], connection(ErrorCodes.PROTOCOL_ERROR)),
    (
        "DATA on a stream that was never begun",
        lambda peer: [DataFrame(1, b"x")],
        connection(ErrorCodes.PROTOCOL_ERROR),
    ),
    (
        "DATA on no stream",
        lambda peer: [peer.headers(1), RawFrame(0x0, 0x0, 0, b"x")],
        connection(ErrorCodes.PROTOCOL_ERROR),
    ),
    (
        "more padding than there is",
        lambda peer: [peer.headers(1), RawFrame(0x0, 0x8, 1, b"\x06text")],
        connection(ErrorCodes.PROTOCOL_ERROR),
    ),
    (
        "a window that grows by nothing",
        lambda peer: [peer.headers(1), RawFrame(0x8, 0x0, 1, bytes(4))],
        connection(ErrorCodes.PROTOCOL_ERROR),
    ),
    (
        "a window that grows too much",
        lambda peer: [peer.headers(1), *(WindowUpdateFrame(1, 2**31 - 1),) * 2],
        stream(ErrorCodes.FLOW_CONTROL_ERROR),
    ),
    (
        "less content than its length says",
        lambda peer: [
            peer.headers(1, content_length="9"),
            DataFrame(1, b"short", flags=["END_STREAM"]),
        ],
        stream(ErrorCodes.PROTOCOL_ERROR),
    ),
    (
        "more streams than advertised",
        lambda peer: [peer.headers(2 * n + 1) for n in range(MAX_STREAMS + 1)],
        stream(ErrorCodes.REFUSED_STREAM, 2 * MAX_STREAMS + 1),
    ),
]


@pytest.mark.parametrize(
    ("violation", "expected"), [row[1:] for row in VIOLATIONS], ids=[row[0] for row in VIOLATIONS]
)
def test_a_violation(peer: Peer, violation: Violation, expected: tuple[str, int, int]) -> None:
    peer.send(*violation(peer))
    assert peer.error() == expected
    if expected[0] == "stream":
        assert peer.is_served()  # the others go on


def test_data_after_the_end_of_a_request(
    daemon: Daemon, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
    pb = protos.messages()
    with Sandbox.run() as sandbox:
        sandbox.wait()
        init = pb.ExecStreamInit(sandbox_id=sandbox.sandbox_id, command=["sleep", "60"])
        message = grpc_message(pb.ExecStreamRequest(init=init).SerializeToString())
        peer.send(peer.headers(1), DataFrame(1, message, flags=["END_STREAM"]))
        peer.read(DataFrame)  # it runs: ready
        peer.send(DataFrame(1, b"more"))
        assert peer.error() == connection(ErrorCodes.STREAM_CLOSED)


@pytest.mark.parametrize("who", ["both sides ended it", "the client reset it"])
def test_a_closed_stream_stays_closed(peer: Peer, who: str) -> None:
    """Frames on it are ignored, as RFC 9113 lets a server do; the connection goes on."""
    if who == "the client reset it":
        peer.send(peer.headers(1), RstStreamFrame(1, ErrorCodes.CANCEL))
    else:
        peer.send(peer.headers(1, "END_STREAM", path=SERVICE + "Nothing"))
        peer.read(HeadersFrame)
    peer.send(DataFrame(1, b"x"), peer.headers(1, "END_STREAM"))
    assert peer.is_served()
    peer.send(peer.headers(3, "END_STREAM", path=SERVICE + "Nothing"))
    assert peer.read(HeadersFrame).stream_id == 3


def test_what_is_not_grpc_is_answered_at_its_end(peer: Peer) -> None:
    fields = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "x")]
    block = peer.encoder.encode(fields)
    peer.send(HeadersFrame(1, block, flags=["END_HEADERS"]), DataFrame(1, b"half"))
    assert peer.is_served()  # and nothing said yet
    peer.send(DataFrame(1, b"whole", flags=["END_STREAM"]))
    answer = peer.read(HeadersFrame)
    assert isinstance(answer, HeadersFrame)
    assert dict(peer.decoder.decode(answer.data))[":status"] == "415"
    body = peer.read(DataFrame)
    assert isinstance(body, DataFrame)
    assert b"gRPC" in body.data
