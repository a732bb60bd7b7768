"""What our client makes of logs from a server that breaks off, lies, or says nothing."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import h2.errors
import pytest

from conformance.h2_peer import RESPONSE_HEADERS, H2Peer, Stream, frame
from cwsandbox import (
    Sandbox,
    SandboxError,
    SandboxResourceExhaustedError,
    SandboxUnavailableError,
)
from integration.env import eventually

Hostile = Callable[..., tuple[H2Peer, Sandbox]]

LOG = "".join(f"line {i} é€😀\n" for i in range(40)).encode()
PIECE = 37  # cuts lines and characters


def entry(stream: Stream, offset: int, session: str = "s") -> bytes:
    """The entry that begins at this offset of the log, as a gRPC message."""
    piece = LOG[offset : offset + PIECE]
    message = stream.pb.LogEntry(
        data=piece, log_session_id=session, next_log_offset=offset + len(piece)
    )
    return frame(message.SerializeToString())


async def request(stream: Stream) -> Any:
    data = await stream.message()
    assert data is not None
    return stream.pb.StreamLogsRequest.FromString(data)


async def serve_rest(stream: Stream, asked: Any) -> None:
    """What a good server does."""
    for offset in range(asked.resume_log_offset, len(LOG), PIECE):
        await stream.raw(entry(stream, offset))
    await stream.trailers(0)


def cut_after(count: int, cut: Callable[[Stream], Any]) -> Callable[[Stream], Any]:
    """Each call but the last is cut ``count`` bytes after its start, in whatever that is in the middle of."""
    calls = 0

    async def script(stream: Stream) -> None:
        nonlocal calls
        calls += 1
        asked = await request(stream)
        await stream.start()
        if calls > 3:
            await serve_rest(stream, asked)
            return
        rest = b"".join(
            entry(stream, offset) for offset in range(asked.resume_log_offset, len(LOG), PIECE)
        )
        await stream.raw(rest[:count], chunk=11)
        await cut(stream)

    return script


async def drop(stream: Stream) -> None:
    stream.connection.drop()


async def reset(stream: Stream) -> None:
    await stream.reset(h2.errors.ErrorCodes.INTERNAL_ERROR)


async def end_without_trailers(stream: Stream) -> None:
    await stream.end_without_trailers()


async def end_inside_a_message(stream: Stream) -> None:
    """With status OK."""
    await stream.raw(struct.pack(">BI", 0, 100) + b"abc")
    await stream.trailers(0)


async def unavailable(stream: Stream) -> None:
    await stream.trailers(14, ("grpc-message", "gone"))


async def goaway(stream: Stream) -> None:
    await stream.connection.goaway(stream.id)
    stream.connection.drop()


async def protocol_error(stream: Stream) -> None:
    """A frame on a stream that nobody opened: the client must end the connection."""
    stream.connection.writer.write(b"\x00\x00\x01\x00\x00\x00\x00\x00\x63x")
    await stream.connection.writer.drain()
    await stream.ended.wait()


CUTS = [
    drop,
    reset,
    end_without_trailers,
    end_inside_a_message,
    unavailable,
    goaway,
    protocol_error,
]


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.__name__)
@pytest.mark.parametrize("count", [0, 3, 58, 59, 200])
def test_cut_anywhere(hostile: Hostile, cut: Callable[[Stream], Any], count: int) -> None:
    if cut is end_inside_a_message:
        count = 0  # it begins a message
    peer, sandbox = hostile(cut_after(count, cut))
    reader = sandbox.stream_logs(follow=True)
    assert "".join(reader).encode() == LOG
    assert len(peer.execs) == 4


async def test_cut_under_an_async_reader(hostile: Hostile) -> None:
    _, sandbox = hostile(cut_after(200, drop))
    lines = [line async for line in sandbox.stream_logs(follow=True)]
    assert "".join(lines).encode() == LOG


def test_refused_before_it_is_processed(hostile: Hostile) -> None:
    """The transport sends it again: that is no failure of the log, also without ``follow``."""
    calls = 0

    async def script(stream: Stream) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await stream.reset(h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        asked = await request(stream)
        await stream.start()
        await serve_rest(stream, asked)

    _, sandbox = hostile(script)
    assert "".join(sandbox.stream_logs()).encode() == LOG


def test_the_session_changes_in_mid_stream(hostile: Hostile) -> None:
    asked_for: list[tuple[str, int]] = []

    async def script(stream: Stream) -> None:
        asked = await request(stream)
        asked_for.append((asked.resume_log_session_id, asked.resume_log_offset))
        await stream.start()
        if len(asked_for) == 1:
            await stream.raw(entry(stream, 0, "one") + entry(stream, PIECE, "two"))
            await stream.trailers(14)
            return
        await serve_rest(stream, asked)

    _, sandbox = hostile(script)
    assert "".join(sandbox.stream_logs(follow=True)).encode() == LOG
    assert asked_for == [("", 0), ("two", 2 * PIECE)]


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize(
    "garbage",
    [b"\x0a\x7fx", b"\xff\xff\xff", b"\x1a\x05ab", b"\x20", b"\x2a\x02\x0a\x05"],
    ids=["data", "tag", "session", "offset", "error"],
)
def test_what_is_no_entry(hostile: Hostile, garbage: bytes, follow: bool) -> None:
    async def script(stream: Stream) -> None:
        await request(stream)
        await stream.start()
        await stream.raw(entry(stream, 0) + frame(garbage))
        await stream.ended.wait()

    peer, sandbox = hostile(script)
    got = ""
    with pytest.raises(SandboxError, match="could not be decoded"):
        for chunk in sandbox.stream_logs(follow=follow).chunks():
            got += chunk
    assert got.encode()[:30] == LOG[:30]
    eventually(lambda: peer.execs[0].ended.is_set(), "the stream is reset")
    assert len(peer.execs) == 1


def test_an_entry_beyond_the_limit(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await request(stream)
        await stream.start()
        await stream.raw(struct.pack(">BI", 0, 100 * 1024 * 1024 + 1) + b"x" * 100)
        await stream.ended.wait()

    peer, sandbox = hostile(script)
    with pytest.raises(SandboxResourceExhaustedError):
        list(sandbox.stream_logs(follow=True))
    assert len(peer.execs) == 1


def test_a_large_entry_comes_through_a_small_window(hostile: Hostile) -> None:
    line = "y" * 99 + "\n"

    async def script(stream: Stream) -> None:
        await request(stream)
        await stream.start()
        await stream.raw(
            frame(stream.pb.LogEntry(data=line.encode() * 100_000).SerializeToString())
        )
        await stream.trailers(0)

    _, sandbox = hostile(script)
    assert sum(1 for got in sandbox.stream_logs() if got == line) == 100_000


def test_not_grpc(hostile: Hostile) -> None:
    calls = 0

    async def script(stream: Stream) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            headers = [(":status", "503"), ("content-type", "text/html")]
            stream.connection.h2.send_headers(stream.id, headers, end_stream=True)
            await stream.connection.flush()
            return
        asked = await request(stream)
        stream.connection.h2.send_headers(stream.id, RESPONSE_HEADERS)
        await serve_rest(stream, asked)

    _, sandbox = hostile(script)
    assert "".join(sandbox.stream_logs(follow=True)).encode() == LOG


def test_without_follow_a_lost_connection_is_told(hostile: Hostile) -> None:
    _, sandbox = hostile(cut_after(200, drop))
    got = ""
    with pytest.raises(SandboxUnavailableError):
        for chunk in sandbox.stream_logs().chunks():
            got += chunk
    assert LOG.decode().startswith(got)


def test_a_silent_server(hostile: Hostile) -> None:
    """A log may be quiet for days: it is closed by who reads it."""

    async def script(stream: Stream) -> None:
        await stream.ended.wait()

    peer, sandbox = hostile(script)
    reader = sandbox.stream_logs(follow=True)
    eventually(lambda: len(peer.execs) == 1, "it is asked for")
    reader.close()
    assert list(reader) == []
    eventually(lambda: peer.execs[0].ended.is_set(), "the stream is reset")
