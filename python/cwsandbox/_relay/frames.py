"""Frames of HTTP/2 (RFC 9113), cut out of what arrives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

DATA, HEADERS, RST_STREAM, WINDOW_UPDATE, CONTINUATION = 0x0, 0x1, 0x3, 0x8, 0x9
END_STREAM, END_HEADERS, PADDED, PRIORITY = 0x1, 0x4, 0x8, 0x20
# What a peer takes whose settings were not looked at.
SIZE_MAX = 16384
_HEAD = 9


class Malformed(Exception):
    """What has come is not HTTP/2."""


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes

    def packed(self) -> bytes:
        """As it goes over the wire."""
        head = len(self.payload).to_bytes(3, "big") + bytes([self.kind, self.flags])
        return head + self.stream.to_bytes(4, "big") + self.payload

    def content(self) -> bytes:
        """Of a DATA or HEADERS frame: without its padding and priority."""
        begin, end = 0, len(self.payload)
        if self.flags & PADDED and self.payload:
            begin, end = 1, end - self.payload[0]
        if self.kind == HEADERS and self.flags & PRIORITY:
            begin += 5
        return self.payload[begin:end]


class Frames:
    """One direction of a connection, as frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def cut(self, data: bytes) -> Iterator[Frame]:
        """Those that are whole, with what came before."""
        rest = self._rest
        rest += data
        at = 0
        while len(rest) - at >= _HEAD:
            end = at + _HEAD + int.from_bytes(rest[at : at + 3], "big")
            if len(rest) < end:
                break
            stream = int.from_bytes(rest[at + 5 : at + 9], "big") & 0x7FFFFFFF
            yield Frame(rest[at + 3], rest[at + 4], stream, bytes(rest[at + _HEAD : end]))
            at = end
        del rest[:at]


def header_frames(stream: int, block: bytes, flags: int) -> bytes:
    """A header block, in as many frames as it needs."""
    packed = b""
    for begin in range(0, max(len(block), 1), SIZE_MAX):
        is_last = begin + SIZE_MAX >= len(block)
        own = (0 if begin else flags & END_STREAM) | (END_HEADERS if is_last else 0)
        kind = CONTINUATION if begin else HEADERS
        packed += Frame(kind, own, stream, block[begin : begin + SIZE_MAX]).packed()
    return packed
