"""The service for the guard: it answers the same bytes in the same pieces each time.

Each answer is one write, so that it arrives as one read; what a run costs then depends on the client only.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.events
import h2.settings

WINDOW = 1 << 20
READY, OUTPUT, EXIT = 1, 2, 3
RUNNING, TERMINATED = 2, 6


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a message that has only small numbers in its others."""
    at = 0
    while at < len(message):
        tag, size, shift = message[at], 0, 0
        at += 1
        while True:
            byte = message[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if tag & 7 == 2:
            yield tag >> 3, message[at : at + size]
            at += size


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def sandbox(state: int) -> bytes:
    return field(1, b"guard") + field(3, bytes([8, state]))


def output(data: bytes) -> bytes:
    return framed(field(OUTPUT, b"\x08\x01" + field(2, data)))


HEAD = framed(field(READY, b""))
TAIL = framed(field(EXIT, b""))


class Peer:
    """One connection, until it ends."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self.h2.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW}
        )
        self.paths: dict[int, str] = {}
        self.bodies: dict[int, bytearray] = {}
        self.argv: dict[int, list[str]] = {}
        self.gathered: list[int] = []
        self.waiting: dict[int, bytes] = {}

    def run(self) -> None:
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(WINDOW)
        self.sock.sendall(self.h2.data_to_send())
        while data := self.sock.recv(1 << 20):
            for event in self.h2.receive_data(data):
                self.handle(event)
            self.push()
            if pending := self.h2.data_to_send():
                self.sock.sendall(pending)

    def handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = dict(event.headers)
            self.paths[event.stream_id] = headers[":path"].rpartition("/")[2]
            self.bodies[event.stream_id] = bytearray()
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.bodies[event.stream_id] += event.data
            if self.paths[event.stream_id] == "StreamExec":
                self.exec_data(event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended(event.stream_id)

    def exec_data(self, stream: int) -> None:
        """What stdin says is not kept, and the command's words only until the end of its input."""
        body = self.bodies[stream]
        if stream in self.argv or len(body) < 5:
            return
        size = int.from_bytes(body[1:5], "big")
        if len(body) < 5 + size:
            return
        ((_, init),) = fields(bytes(body[5 : 5 + size]))
        self.argv[stream] = [value.decode() for number, value in fields(init) if number == 2]
        if self.argv[stream][0] == "sink":
            self.headers(stream)
            self.h2.send_data(stream, HEAD)

    def headers(self, stream: int) -> None:
        self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])

    def ended(self, stream: int) -> None:
        path = self.paths.pop(stream)
        self.bodies.pop(stream)
        if path != "StreamExec":
            self.headers(stream)
            if path == "DeleteSandbox":
                self.waiting[stream] = framed(field(1, sandbox(TERMINATED)))
            else:
                self.waiting[stream] = framed(sandbox(RUNNING))
            return
        name, *words = self.argv.pop(stream)
        if name == "sink":
            self.waiting[stream] = TAIL
        elif name == "lines":
            self.headers(stream)
            self.waiting[stream] = HEAD + lines(*map(int, words)) + TAIL
        elif name == "together":
            # Answered when so many have come: as many ends in one read.
            self.gathered.append(stream)
            if len(self.gathered) == int(words[0]):
                for gathered in self.gathered:
                    self.headers(gathered)
                    self.waiting[gathered] = HEAD + TAIL
                self.gathered.clear()
        else:
            self.headers(stream)
            self.waiting[stream] = HEAD + TAIL

    def push(self) -> None:
        for stream in list(self.waiting):
            data = self.waiting.pop(stream)
            while data and (room := self.h2.local_flow_control_window(stream)) > 0:
                piece = data[: min(room, self.h2.max_outbound_frame_size)]
                self.h2.send_data(stream, piece)
                data = data[len(piece) :]
            if data:
                self.waiting[stream] = data
            else:
                self.h2.send_headers(stream, [("grpc-status", "0")], end_stream=True)


def lines(count: int, length: int, frame: int) -> bytes:
    text = (b"x" * (length - 1) + b"\n") * count
    return b"".join(output(text[at : at + frame]) for at in range(0, len(text), frame))


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    # Ends with whoever holds the other end of stdin.
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    sys.stdin.read()


def accept(listener: socket.socket) -> None:
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock:
            Peer(sock).run()


if __name__ == "__main__":
    main()
