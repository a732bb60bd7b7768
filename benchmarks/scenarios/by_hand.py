"""StreamExec by hand, for HTTP clients that know nothing of gRPC: the bytes of a request, and a look at the answer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

URL = os.environ["CWSANDBOX_BASE_URL"] + "/coreweave.sandbox.v1.SandboxService/StreamExec"
HEADERS = {
    "content-type": "application/grpc",
    "te": "trailers",
    "authorization": f"Bearer {os.environ['CWSANDBOX_API_KEY']}",
}
_EXIT = 3  # the field of an ExecStreamResponse


def _field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def request(*words: str) -> bytes:
    """An ExecStreamRequest that begins a command, as a gRPC message. The server has a sandbox for such clients."""
    init = _field(1, b"floor") + b"".join(_field(2, word.encode()) for word in words)
    message = _field(1, init)
    return b"\0" + len(message).to_bytes(4, "big") + message


def _messages(body: bytes) -> Iterator[bytes]:
    while body:
        end = 5 + int.from_bytes(body[1:5], "big")
        yield body[5:end]
        body = body[end:]


def check(status: int, body: bytes, trailers: Mapping[str, str]) -> None:
    """That the command has exited with the code 0, as any client has to look."""
    if status != 200 or trailers.get("grpc-status") != "0":
        raise SystemExit(f"the answer is {status}, {trailers.get('grpc-status')}")
    for message in _messages(body):
        if message[0] >> 3 == _EXIT:
            if b"\x08" in message[2:3]:  # an exit code other than 0
                raise SystemExit("the command failed")
            return
    raise SystemExit("the command has not exited")
