"""Every unary method of the services, called by our client at a grpcio server: what is sent arrives, and what is
answered is received, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from conformance import every_method
from conformance.every_method import path, short
from cwsandbox import _cwsandbox

UNARY = [
    one for one in every_method.methods() if not one.client_streaming and not one.server_streaming
]


class Anything(grpc.GenericRpcHandler):
    """Takes any unary call, and answers what it was given."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.received: dict[str, bytes] = {}

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        def answer(request: bytes, context: Any) -> bytes:
            self.received[details.method] = request
            return self.answers[details.method]

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture(scope="module")
def anything() -> Anything:
    return Anything()


@pytest.fixture(scope="module")
def channel(anything: Anything) -> Iterator[_cwsandbox.Channel]:
    server = grpc.server(ThreadPoolExecutor(2), handlers=[anything])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield _cwsandbox.Channel(f"http://127.0.0.1:{port}")
    server.stop(None).wait(10)


@pytest.mark.parametrize("method", UNARY, ids=map(short, UNARY))
@pytest.mark.parametrize("make", [every_method.plain, every_method.empty])
def test_what_is_sent_arrives(
    method: Any, make: Any, anything: Anything, channel: _cwsandbox.Channel
) -> None:
    request, reply = make(method.input_type), make(method.output_type)
    anything.answers[path(method)] = reply.SerializeToString()
    fields = _cwsandbox._message_unpack(method.input_type.full_name, request.SerializeToString())
    received = channel.unary(short(method), fields, 20).result(30)
    assert type(request).FromString(anything.received[path(method)]) == request
    packed = _cwsandbox._message_pack(method.output_type.full_name, received)
    assert type(reply).FromString(packed) == reply


def test_a_request_with_something_in_every_field_is_not_small() -> None:
    """Otherwise the test above would say little."""
    sizes = {short(one): every_method.plain(one.input_type).ByteSize() for one in UNARY}
    assert sizes["SandboxService/CreateSandbox"] > 300
    assert min(sizes.values()) == 0  # some have no fields
    assert len(sizes) == len(UNARY) == len({*map(path, UNARY)})
