"""The relay's view of HTTP/2: header blocks of any client, and the edges of frames and messages."""

from __future__ import annotations

import random

import hpack
import pytest

from cwsandbox._relay import frames
from cwsandbox._relay.calls import PREFACE, Calls, Status
from cwsandbox._relay.frames import Frame, Frames, Malformed, header_frames
from cwsandbox._relay.headers import Decoder, encode
from cwsandbox._relay.methods import METHODS
from protos import descriptor_set

NAMES = [b":path", b":status", b"content-type", b"x-long-name", b"traceparent", b"cookie"]


def some_fields(luck: random.Random) -> list[tuple[bytes, bytes]]:
    def value() -> bytes:
        size = luck.choice([0, 1, 20, 200, 5000])
        return bytes(luck.randrange(256) for _ in range(luck.randrange(size + 1)))

    return [(luck.choice(NAMES), value()) for _ in range(luck.randrange(1, 12))]


@pytest.mark.parametrize("seed", range(5))
def test_our_blocks_leave_a_decoder_as_it_was(seed: int) -> None:
    """Of blocks between them, which the service reads with the same decoder, the client knows nothing."""
    luck = random.Random(seed)
    client, service = hpack.Encoder(), hpack.Decoder(max_header_list_size=1 << 20)
    for _ in range(20):
        service.decode(client.encode(some_fields(luck)), raw=True)
        fields = some_fields(luck)
        before = list(service.header_table.dynamic_entries)
        assert [tuple(field) for field in service.decode(encode(fields), raw=True)] == fields
        assert list(service.header_table.dynamic_entries) == before


def test_a_table_and_a_block_as_large_as_the_service_may_allow() -> None:
    client, decoder = hpack.Encoder(), Decoder()
    client.header_table_size = 1 << 20
    fields = [(b"x-%d" % n, bytes(5000)) for n in range(100)]
    for _ in range(2):
        assert decoder.decode(client.encode(fields)) == fields


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # the entry 0
        b"\xff\x20",  # an entry that there is not
        b"\x40",  # nothing after the first byte
        b"\x40\x05ab",  # a text that ends early
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",  # a number without end
        b"\x40\x81\x00\x00",  # padding that is not all ones
        b"\x40\x84\xff\xff\xff\xff\x00",  # the end's symbol
    ],
)
def test_what_is_no_block(block: bytes) -> None:
    with pytest.raises(Malformed):
        Decoder().decode(block)


def test_frames_come_whole_however_they_are_cut() -> None:
    sent = [Frame(0, 1, 1, b"abc"), Frame(4, 0, 0, b""), Frame(1, 4, 2**31 - 1, bytes(70000))]
    packed = b"".join(frame.packed() for frame in sent)
    for step in (1, 2, 9, 10, 1000, len(packed)):
        cutter = Frames()
        pieces = (packed[at : at + step] for at in range(0, len(packed), step))
        assert [frame for piece in pieces for frame in cutter.cut(piece)] == sent


def test_a_large_block_takes_several_frames() -> None:
    (first, second, third) = Frames().cut(header_frames(5, bytes(40000), frames.END_STREAM))
    assert (first.kind, first.flags) == (frames.HEADERS, frames.END_STREAM)
    assert (second.kind, second.flags) == (frames.CONTINUATION, 0)
    assert (third.kind, third.flags) == (frames.CONTINUATION, frames.END_HEADERS)
    assert first.payload + second.payload + third.payload == bytes(40000)


def test_padding_and_priority_are_left_out() -> None:
    padded = Frame(frames.DATA, frames.PADDED, 1, b"\x02dataxx")
    assert padded.content() == b"data"
    both = Frame(frames.HEADERS, frames.PADDED | frames.PRIORITY, 1, b"\x01\0\0\0\0\0blockx")
    assert both.content() == b"block"


def request(encoder: hpack.Encoder, stream: int, method: str) -> bytes:
    block = encoder.encode([(b":method", b"POST"), (b":path", f"/s.Service/{method}".encode())])
    return header_frames(stream, block, 0)


def message(stream: int, *sizes: int) -> Frame:
    content = b"".join(b"\0" + size.to_bytes(4, "big") + b"m" * size for size in sizes)
    return Frame(frames.DATA, 0, stream, content)


def calls_that(refuse: dict[str, Status], stop_after: int = 0) -> tuple[Calls, list[str]]:
    seen: list[str] = []

    def count(method: str) -> bool:
        seen.append(method)
        return len(seen) == stop_after

    return Calls(refuse.get, count), seen


def test_messages_are_counted_however_they_are_cut() -> None:
    for step in (1, 3, 1000):
        calls, seen = calls_that({})
        calls.to_service(PREFACE + request(hpack.Encoder(), 1, "A"))
        content = message(1, 0, 5, 1, 100).payload
        for at in range(0, len(content), step):
            frame = Frame(frames.DATA, 0, 1, content[at : at + step]).packed()
            assert calls.to_client(frame) == frame
        assert seen == ["A"] * 4


def test_nothing_passes_after_the_last_message() -> None:
    calls, seen = calls_that({}, stop_after=2)
    calls.to_service(PREFACE + request(hpack.Encoder(), 1, "A"))
    passed = calls.to_client(message(1, 3, 4, 5).packed() + message(1, 6).packed())
    assert passed == message(1, 3, 4).packed()
    assert calls.is_over
    assert seen == ["A", "A"]


def test_an_answer_does_not_come_inside_of_a_header_block() -> None:
    calls, _ = calls_that({"B": Status(14, "no", None)})
    encoder = hpack.Encoder()
    calls.to_service(PREFACE + request(encoder, 1, "A"))
    begun = Frame(frames.HEADERS, 0, 1, b"x").packed()
    assert calls.to_client(begun) == begun
    assert calls.to_service(request(encoder, 3, "B")) == b""
    assert calls.answers() == b""
    rest = Frame(frames.CONTINUATION, frames.END_HEADERS, 1, b"y").packed()
    passed = calls.to_client(rest)
    assert passed.startswith(rest)
    (answer,) = Frames().cut(passed[len(rest) :])
    assert (answer.stream, answer.flags) == (3, frames.END_HEADERS | frames.END_STREAM)
    fields = dict(hpack.Decoder().decode(answer.payload))
    assert (fields["grpc-status"], fields["grpc-message"]) == ("14", "no")


def test_later_calls_are_understood_after_one_that_was_left_out() -> None:
    calls, _ = calls_that({"B": Status(14, "no", None)})
    encoder, service = hpack.Encoder(), hpack.Decoder()
    calls.to_service(PREFACE)
    paths = []
    for stream, method in ((1, "A"), (3, "B"), (5, "C"), (7, "B"), (9, "A")):
        for frame in Frames().cut(calls.to_service(request(encoder, stream, method))):
            paths.append(dict(service.decode(frame.payload))[":path"])
    assert paths == ["/s.Service/A", "/s.Service/C", "/s.Service/A"]


def test_the_window_of_what_is_left_out_is_given_back() -> None:
    calls, _ = calls_that({"B": Status(14, "no", None)})
    calls.to_service(PREFACE + request(hpack.Encoder(), 1, "B"))
    calls.answers()
    data = Frame(frames.DATA, frames.END_STREAM, 1, bytes(1000)).packed()
    assert calls.to_service(data) == b""
    (update,) = Frames().cut(calls.answers())
    assert update == Frame(frames.WINDOW_UPDATE, 0, 0, (1000).to_bytes(4, "big"))


def test_another_protocol_is_refused() -> None:
    calls, _ = calls_that({})
    assert calls.to_service(PREFACE[:10]) == PREFACE[:10]
    with pytest.raises(Malformed, match="HTTP/2"):
        calls.to_service(b"GET / HTTP/1.1")


def test_it_knows_all_methods_of_the_service() -> None:
    services = (service for file in descriptor_set().file for service in file.service)
    assert {method.name for service in services for method in service.method} == METHODS
