"""A client that sends HTTP/2 frames as they are, also those that no client should send."""

from __future__ import annotations

import socket

import hpack
from hyperframe.frame import (
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SERVICE = "/coreweave.sandbox.v1.SandboxService/"
HELD = SERVICE + "StreamExec"  # until its first message comes


class RawFrame:
    """A frame that hyperframe would not make."""

    def __init__(self, kind: int, flags: int, stream_id: int, body: bytes) -> None:
        head = len(body).to_bytes(3, "big") + bytes([kind, flags])
        self._bytes = head + stream_id.to_bytes(4, "big") + body

    def serialize(self) -> bytes:
        return self._bytes


class Peer:
    """Sends frames as they are; what comes back is read frame by frame."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.socket.sendall(PREFACE)
        self.send(SettingsFrame(0))
        self.read(SettingsFrame)

    def send(self, *frames: Frame | RawFrame) -> None:
        self.socket.sendall(b"".join(frame.serialize() for frame in frames))

    def headers(self, stream_id: int, *flags: str, path: str = HELD, **more: str) -> HeadersFrame:
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            *((name.replace("_", "-"), value) for name, value in more.items()),
        ]
        return HeadersFrame(stream_id, self.encoder.encode(fields), flags=[*flags, "END_HEADERS"])

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise ConnectionError("the daemon closed the connection")
            data += part
        return data

    def next(self) -> Frame:
        frame, size = Frame.parse_frame_header(memoryview(self._exactly(9)))
        frame.parse_body(memoryview(self._exactly(size)))
        return frame

    def read(self, kind: type[Frame]) -> Frame:
        """The next frame of this kind. Of others on the way there are none that end anything."""
        while not isinstance(frame := self.next(), kind):
            assert not isinstance(frame, RstStreamFrame | GoAwayFrame), frame
        return frame

    def error(self) -> tuple[str, int, int]:
        """What the daemon ends next, and why: ("stream", its id, code) or ("connection", 0, code)."""
        while True:
            frame = self.next()
            if isinstance(frame, RstStreamFrame):
                return "stream", frame.stream_id, frame.error_code
            if isinstance(frame, GoAwayFrame):
                return "connection", 0, frame.error_code

    def is_served(self) -> bool:
        self.send(PingFrame(0, b"are you?"))
        ping = self.read(PingFrame)
        return isinstance(ping, PingFrame) and ping.opaque_data == b"are you?"
