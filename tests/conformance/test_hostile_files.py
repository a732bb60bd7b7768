"""What our client makes of files from a server that does what no server should."""

from __future__ import annotations

import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any

import h2.errors
import pytest

from conformance.h2_peer import H2Peer, Stream, frame
from cwsandbox import OperationRef, Sandbox, SandboxError, SandboxFileError, SandboxUnavailableError

Hostile = Callable[..., tuple[H2Peer, Sandbox]]
CONTENT = b"0123456789" * 20


def open_files(hostile: Hostile, script: Callable[[Stream], Awaitable[None]]) -> Sandbox:
    peer, sandbox = hostile(script)
    peer.scripted |= {"ReadFile", "WriteFile"}
    return sandbox


async def drop(stream: Stream) -> None:
    stream.connection.drop()


async def reset(stream: Stream) -> None:
    await stream.reset(h2.errors.ErrorCodes.INTERNAL_ERROR)


async def bare_end(stream: Stream) -> None:
    await stream.end_without_trailers()


async def good_end(stream: Stream) -> None:
    await stream.trailers(0)


ENDS = [drop, reset, bare_end, good_end]


def reply_of(stream: Stream) -> bytes:
    if stream.path.endswith("ReadFile"):
        return frame(stream.pb.ReadFileResponse(content=CONTENT).SerializeToString())
    return frame(b"")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("chunk", [1, 7, 16384])
def test_a_reply_cut_anywhere_is_never_content(hostile: Hostile, end: Any, chunk: int) -> None:
    cuts: list[int] = []

    async def script(stream: Stream) -> None:
        await stream.message()
        await stream.start()
        await stream.raw(reply_of(stream)[: cuts[-1]], chunk)
        await end(stream)

    sandbox = open_files(hostile, script)
    size = len(frame(bytes(len(CONTENT) + 3)))

    def fails(operation: Callable[[], OperationRef[Any]], cut: int) -> None:
        cuts.append(cut)
        with pytest.raises(SandboxError):
            operation().result()

    for cut in {*range(10), size // 2, size - 1}:
        fails(lambda: sandbox.read_file("/x"), cut)
    for cut in range(5):
        fails(lambda: sandbox.write_file("/x", b"1"), cut)
    if end is good_end:
        cuts.append(size)
        assert sandbox.read_file("/x").result() == CONTENT
        assert sandbox.write_file("/x", b"1").result() is None
    else:
        fails(lambda: sandbox.read_file("/x"), size)
        fails(lambda: sandbox.write_file("/x", b"1"), size)


BAD_REPLIES = [
    b"\x00\x00\x00\x00",  # no whole prefix
    frame(b"\x0a\x05abc"),  # the content is longer than the message
    frame(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),  # by much
    frame(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),  # no varint
    frame(b"\xff"),
    frame(b"\x0b\x0b\x0b"),  # groups
    b"\x01" + frame(b"\x0a\x01a")[1:],  # compressed
    b"\x07" + frame(b"\x0a\x01a")[1:],
    frame(b"\x0a\x01a") * 2,  # two replies
]


@pytest.mark.parametrize("reply", BAD_REPLIES)
def test_bad_replies(hostile: Hostile, reply: bytes) -> None:
    async def script(stream: Stream) -> None:
        await stream.message()
        await stream.start()
        await stream.raw(reply)
        await stream.trailers(0)

    sandbox = open_files(hostile, script)
    for operation in (sandbox.read_file("/x"), sandbox.write_file("/x", b"1")):
        with pytest.raises(SandboxError):
            operation.result()


def test_a_message_larger_than_is_allowed(hostile: Hostile) -> None:
    """It is refused before it comes, and the file read in another way."""

    async def script(stream: Stream) -> None:
        await stream.message()
        await stream.start()
        if stream.path.endswith("ReadFile"):
            await stream.raw(struct.pack(">BI", 0, 0xFFFFFFFF) + bytes(10_000))
        else:
            await stream.ready()
            await stream.out(b"in another way")
            await stream.exit(0)

    assert open_files(hostile, script).read_file("/x").result() == b"in another way"


def test_a_reply_before_the_request_has_come(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await stream.reply(stream.pb.WriteFileResponse())

    sandbox = open_files(hostile, script)
    content = bytes(20 * 1024 * 1024)
    sandbox.write_file("/x", content).result()
    sandbox.write_file("/x", content).result()


def test_a_service_that_does_not_take_what_is_sent(hostile: Hostile) -> None:
    """The time limit and a cancellation work while the content waits; it is let go then."""

    async def script(stream: Stream) -> None:
        await stream.ended.wait()

    peer, sandbox = hostile(script)
    peer.scripted |= {"WriteFile"}
    peer.hold_reading(True)
    content = bytearray(20 * 1024 * 1024)
    with pytest.raises(SandboxError):
        sandbox.write_file("/x", content, timeout_seconds=0.3).result()
    operation: OperationRef[None] = sandbox.write_file("/x", content)
    assert operation._cancel()
    del operation
    peer.hold_reading(False)
    sandbox.stop().result()
    sandbox.read_file("/x")  # the operation that was dropped has come out of the queue by then
    for _ in range(1000):
        try:
            content.clear()  # nobody holds it any more
        except BufferError:
            time.sleep(0.01)
    assert not content


WRONG_ORDERS: list[Callable[[Stream], Awaitable[None]]] = []


def wrong_order(script: Callable[[Stream], Awaitable[None]]) -> None:
    WRONG_ORDERS.append(script)


@wrong_order
async def without_ready(stream: Stream) -> None:
    await stream.out(CONTENT)
    await stream.exit(0)


@wrong_order
async def ready_last(stream: Stream) -> None:
    await stream.out(CONTENT)
    await stream.ready()
    await stream.ready()
    await stream.exit(0)
    await stream.ready()


@wrong_order
async def more_after_the_exit(stream: Stream) -> None:
    await stream.ready()
    await stream.out(CONTENT)
    await stream.exit(0)
    await stream.out(b"too late")
    await stream.exit(3)


@wrong_order
async def in_single_bytes(stream: Stream) -> None:
    await stream.out(CONTENT, chunk=1)
    await stream.exit(0)


@wrong_order
async def empty_messages(stream: Stream) -> None:
    await stream.raw(frame(b"") * 3)
    for at in range(0, len(CONTENT), 50):
        await stream.out(b"")
        await stream.out(CONTENT[at : at + 50])
    await stream.exit(0)


@pytest.mark.parametrize("order", WRONG_ORDERS)
def test_a_stream_in_an_unusual_order(
    hostile: Hostile, order: Callable[[Stream], Awaitable[None]]
) -> None:
    async def script(stream: Stream) -> None:
        await stream.init()
        await stream.start()
        await order(stream)
        await stream.trailers(0)

    _, sandbox = hostile(script)
    assert b"".join(sandbox.read_file_streaming("/x")) == CONTENT


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("messages", range(4))
def test_a_stream_cut_between_messages(hostile: Hostile, end: Any, messages: int) -> None:
    async def script(stream: Stream) -> None:
        await stream.init()
        await stream.start()
        if messages > 0:
            await stream.ready()
        for _ in range(1, messages):
            await stream.out(b"some")
        await end(stream)

    _, sandbox = hostile(script)
    reader = sandbox.read_file_streaming("/x")
    arrived = b""
    with pytest.raises(SandboxFileError if end is good_end else SandboxError):
        for data in reader:
            arrived += data
    # What had come is there, but for a broken connection, which may overtake it.
    whole = b"some" * max(messages - 1, 0)
    assert arrived == whole or (end is drop and whole.startswith(arrived))
    assert list(reader) == []
    writing = sandbox.write_file_streaming("/x", b"content")
    with pytest.raises((SandboxFileError, SandboxUnavailableError)):
        writing.result()
