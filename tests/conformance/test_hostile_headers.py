"""What our client makes of answers whose blocks of headers come where they should not, or do not end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import h2.errors
import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, RstStreamFrame

from conformance.h2_peer import RESPONSE_HEADERS, H2Peer, Stream, frame
from cwsandbox._cwsandbox import Channel, RpcError

Fields = list[tuple[str, str]]
Script = Callable[[Stream], Awaitable[None]]
Answer = Callable[[Script], Any]

GET = "SandboxService/GetSandbox"
EARLY_HINTS = (":status", "103")
FINE = ("grpc-status", "0")


def headers(stream: Stream, fields: Fields, *, end_stream: bool = False) -> bytes:
    """A block as frames, past the rules of the h2 package."""
    block = stream.connection.h2.encoder.encode(fields)
    parts = [block[at : at + 16384] for at in range(0, len(block), 16384)]
    first = HeadersFrame(stream.id, parts[0])
    if end_stream:
        first.flags.add("END_STREAM")
    frames: list[HeadersFrame | ContinuationFrame] = [
        first,
        *(ContinuationFrame(stream.id, part) for part in parts[1:]),
    ]
    frames[-1].flags.add("END_HEADERS")
    return b"".join(part.serialize() for part in frames)


def message(stream: Stream) -> bytes:
    reply = frame(stream.pb.Sandbox(sandbox_id="found").SerializeToString())
    return bytes(DataFrame(stream.id, reply).serialize())


def reset(stream: Stream) -> bytes:
    return bytes(RstStreamFrame(stream.id, h2.errors.ErrorCodes.INTERNAL_ERROR).serialize())


async def send(stream: Stream, *frames: bytes) -> None:
    await stream.connection.flush()
    stream.connection.writer.write(b"".join(frames))
    await stream.connection.writer.drain()


@pytest.fixture
def answer(make_h2_peer: Callable[..., H2Peer]) -> Answer:
    """``answer(script)`` is what a GetSandbox gives that the script answers."""

    def ask(script: Script) -> Any:
        peer = make_h2_peer()
        peer.answer = script  # type: ignore[method-assign]
        return Channel(peer.base_url).unary(GET, {"sandbox_id": "x"}, 20.0).result(30)

    return ask


def failure(answer: Answer, script: Script) -> RpcError:
    with pytest.raises(RpcError) as caught:
        answer(script)
    return caught.value


@pytest.mark.parametrize(
    "blocks",
    [
        [[EARLY_HINTS, FINE], RESPONSE_HEADERS],
        [[EARLY_HINTS, *RESPONSE_HEADERS[1:], FINE]],
        [[*RESPONSE_HEADERS, FINE]],
    ],
    ids=["interim", "interim alone", "not the last"],
)
def test_a_status_before_the_last_block_is_none(answer: Answer, blocks: list[Fields]) -> None:
    async def script(stream: Stream) -> None:
        frames = [headers(stream, fields) for fields in blocks]
        await send(stream, *frames, message(stream), reset(stream))

    error = failure(answer, script)
    assert error.code_name == "INTERNAL"


def test_the_last_status_counts(answer: Answer) -> None:
    async def script(stream: Stream) -> None:
        await send(
            stream,
            headers(stream, [EARLY_HINTS, ("grpc-status", "5"), ("grpc-message", "early")]),
            headers(stream, [*RESPONSE_HEADERS, ("grpc-status", "13"), ("grpc-message", "first")]),
            message(stream),
            headers(stream, [FINE], end_stream=True),
        )

    assert answer(script)["sandbox_id"] == "found"


def test_the_last_message_counts(answer: Answer) -> None:
    async def script(stream: Stream) -> None:
        await send(
            stream,
            headers(stream, [*RESPONSE_HEADERS, ("grpc-message", "first")]),
            headers(stream, [("grpc-status", "9")], end_stream=True),
        )

    error = failure(answer, script)
    assert (error.code_name, error.message) == ("FAILED_PRECONDITION", "")


@pytest.mark.parametrize("more", [[], [FINE]], ids=["bare", "with a status"])
def test_an_interim_block_cannot_be_the_last(answer: Answer, more: Fields) -> None:
    async def script(stream: Stream) -> None:
        await send(stream, headers(stream, [EARLY_HINTS, *more], end_stream=True))

    error = failure(answer, script)
    assert error.code_name == "INTERNAL"
    assert "against HTTP/2" in error.message


def highest_rss() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def test_interim_blocks_are_not_kept(answer: Answer) -> None:
    """Twenty thousand, each with details of 50 KB that take a few bytes on the wire."""

    async def script(stream: Stream) -> None:
        details = [("grpc-status-details-bin", "A" * 3000)] * 16
        fields = [EARLY_HINTS, *details]
        await send(stream, headers(stream, fields))
        await send(stream, headers(stream, fields) * 20_000)
        await send(
            stream,
            headers(stream, RESPONSE_HEADERS),
            message(stream),
            headers(stream, [FINE], end_stream=True),
        )

    Path("/proc/self/clear_refs").write_text("5")  # the highest begins anew
    before = highest_rss()
    assert answer(script)["sandbox_id"] == "found"
    assert highest_rss() - before < 32 << 20


def test_headers_larger_than_advertised_end_the_call(answer: Answer) -> None:
    async def script(stream: Stream) -> None:
        fields = [*RESPONSE_HEADERS, *[("x-large", "v" * 3000)] * 30]
        await send(stream, headers(stream, fields))

    error = failure(answer, script)
    assert error.code_name == "RESOURCE_EXHAUSTED"
    assert "65536 bytes" in error.message
