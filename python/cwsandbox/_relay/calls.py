"""The calls on one connection, between a gRPC client and a service.

Calls may be answered here, without the service, and messages of the service are counted. Header blocks of the client
are written anew, without references to earlier ones: so one can be left out. Those of the service pass as they are.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from cwsandbox._relay import frames, headers
from cwsandbox._relay.frames import Frame, Frames, Malformed

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_PREFIX = 5


class Status(NamedTuple):
    """How a call ends. ``details`` is a packed google.rpc.Status."""

    code: int
    message: str
    details: bytes | None


class Calls:
    """``refusal`` says how a call of a method is to end, None for one that goes on to the service.

    ``message`` is called for each message of the service that has passed, with its method; what it returns true for is
    the last thing to pass: see ``is_over``.
    """

    def __init__(
        self, refusal: Callable[[str], Status | None], message: Callable[[str], bool]
    ) -> None:
        self._refusal = refusal
        self._message = message
        self._preface = bytearray()
        self._from_client = Frames()
        self._from_service = Frames()
        self._decoder = headers.Decoder()
        self._block: tuple[Frame, bytes] | None = None
        # The method of each call that the service has, how much of a message has come, and what was answered here.
        self._methods: dict[int, str] = {}
        self._messages: dict[int, _Messages] = {}
        self._refused: set[int] = set()
        self._inside_headers = False
        self._to_client = b""
        self.is_over = False

    def to_service(self, data: bytes) -> bytes:
        """What goes on of what the client has sent. Raises ``Malformed``."""
        passed = b""
        if len(self._preface) < len(PREFACE):
            taken = data[: len(PREFACE) - len(self._preface)]
            self._preface += taken
            if not PREFACE.startswith(self._preface):
                raise Malformed("the client does not speak HTTP/2")
            passed, data = taken, data[len(taken) :]
        for frame in self._from_client.cut(data):
            if self._block is not None or frame.kind == frames.HEADERS:
                passed += self._headers(frame)
            elif frame.stream in self._refused:
                self._drop(frame)
            else:
                if frame.kind == frames.RST_STREAM:
                    self._forget(frame.stream)
                passed += frame.packed()
        return passed

    def to_client(self, data: bytes) -> bytes:
        """What goes on of what the service has sent, and the answers that are made here."""
        passed = b""
        for frame in self._from_service.cut(data):
            if not self._inside_headers:
                passed += self.answers()
            passed += self._pass(frame)
            if self.is_over:
                return passed
        return passed + self.answers()

    def answers(self) -> bytes:
        """Those that can go to the client now: none within a header block."""
        if self._inside_headers:
            return b""
        made, self._to_client = self._to_client, b""
        return made

    def _headers(self, frame: Frame) -> bytes:
        if self._block is None:
            self._block = (frame, frame.content())
        else:
            self._block = (self._block[0], self._block[1] + frame.payload)
        if not frame.flags & frames.END_HEADERS:
            return b""
        first, block = self._block
        self._block = None
        fields = self._decoder.decode(block)
        if first.stream in self._refused:
            return b""
        path = dict(fields).get(b":path", b"").decode("latin-1")
        method = path.rpartition("/")[2]
        status = self._refusal(method) if path else None
        if status is not None:
            self._answer(first.stream, status)
            return b""
        if path:
            self._methods[first.stream] = method
        return frames.header_frames(first.stream, headers.encode(fields), first.flags)

    def _answer(self, stream: int, status: Status) -> None:
        self._refused.add(stream)
        fields = [
            (b":status", b"200"),
            (b"content-type", b"application/grpc"),
            (b"grpc-status", str(status.code).encode()),
            (b"grpc-message", quote(status.message, safe=" !#$&'()*+,/:;=?@[]~").encode()),
        ]
        if status.details is not None:
            details = base64.b64encode(status.details).rstrip(b"=")
            fields.append((b"grpc-status-details-bin", details))
        self._to_client += frames.header_frames(stream, headers.encode(fields), frames.END_STREAM)

    def _drop(self, frame: Frame) -> None:
        """What belongs to a call that was answered here. The client's window gets back what it took."""
        if frame.kind == frames.DATA and frame.payload:
            size = len(frame.payload).to_bytes(4, "big")
            self._to_client += Frame(frames.WINDOW_UPDATE, 0, 0, size).packed()

    def _pass(self, frame: Frame) -> bytes:
        if frame.kind in (frames.HEADERS, frames.CONTINUATION):
            self._inside_headers = not frame.flags & frames.END_HEADERS
        if frame.kind == frames.DATA and frame.stream in self._methods:
            content = frame.content()
            messages = self._messages.setdefault(frame.stream, _Messages())
            for end in messages.ends(content):
                if self._message(self._methods[frame.stream]):
                    self.is_over = True
                    return Frame(frames.DATA, 0, frame.stream, content[:end]).packed()
        if frame.kind == frames.RST_STREAM or (
            frame.kind in (frames.DATA, frames.HEADERS) and frame.flags & frames.END_STREAM
        ):
            self._forget(frame.stream)
        return frame.packed()

    def _forget(self, stream: int) -> None:
        self._methods.pop(stream, None)
        self._messages.pop(stream, None)


class _Messages:
    """Where the messages of a call end."""

    def __init__(self) -> None:
        self._prefix = bytearray()
        self._left = 0

    def ends(self, content: bytes) -> list[int]:
        """The ends within these bytes."""
        found: list[int] = []
        at = 0
        while at < len(content):
            if not self._left:
                taken = content[at : at + _PREFIX - len(self._prefix)]
                self._prefix += taken
                at += len(taken)
                if len(self._prefix) < _PREFIX:
                    break
                self._left = int.from_bytes(self._prefix[1:], "big")
            taken_len = min(self._left, len(content) - at)
            at += taken_len
            self._left -= taken_len
            if not self._left:
                self._prefix.clear()
                found.append(at)
        return found
