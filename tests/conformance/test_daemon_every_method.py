"""Every method of the services, called by grpcio at our daemon with a plain, an empty and an oversized request.

The answer is a status with a reason, never a hang, a reset or an internal error. docs/daemon.md says which methods are
offered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from conformance import every_method, protos
from conformance.every_method import path, short
from integration.env import Daemon

METHODS = every_method.methods()
PAGE = Path(__file__).parents[2] / "docs" / "daemon.md"
ROWS = re.findall(r"^\| `(\w+/\w+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
DOCUMENTED = dict(ROWS)
SECONDS = 20
LIMIT = 100 << 20
# What a request may end with that asks for nothing that there is.
ANSWERS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
}


@pytest.fixture(scope="module")
def channel(default_daemon: Daemon) -> Iterator[grpc.Channel]:
    """One connection for all calls, so that each also shows that the one before it has done no harm."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(default_daemon.base_url, options=options) as channel:
        yield channel


def call(channel: grpc.Channel, method: Any, request: bytes) -> grpc.RpcError | None:
    """None if it succeeds. What it answers must then be the message that it should be."""
    ways = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }
    start = ways[method.client_streaming, method.server_streaming](path(method))
    given = iter([request]) if method.client_streaming else request
    try:
        answered = start(given, timeout=SECONDS)
        for one in answered if method.server_streaming else [answered]:
            every_method.empty(method.output_type).ParseFromString(one)
    except grpc.RpcError as error:
        return error
    return None


def reason_of(error: grpc.RpcError) -> tuple[str, dict[str, str]]:
    """The reason and its metadata; the details must repeat the status."""
    status = rpc_status.from_call(error)
    assert status is not None, error
    infos = []
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            infos.append(info)
    [info] = infos
    assert info.domain == "cwsandbox.com"
    return info.reason, dict(info.metadata)


def is_refused(error: grpc.RpcError | None) -> bool:
    return (
        error is not None
        and error.code() == grpc.StatusCode.UNIMPLEMENTED
        and reason_of(error)[0] == "CWSANDBOX_NOT_IMPLEMENTED"
        and "method" in reason_of(error)[1]
    )


def test_the_table_has_every_method_once() -> None:
    assert [name for name, _ in ROWS] == sorted(map(short, METHODS))
    assert len(ROWS) == 48
    assert set(DOCUMENTED.values()) == {"offered", "refused"}


@pytest.mark.parametrize("method", METHODS, ids=map(short, METHODS))
@pytest.mark.parametrize("make", [every_method.plain, every_method.empty])
def test_small_requests(channel: grpc.Channel, method: Any, make: Any) -> None:
    error = call(channel, method, make(method.input_type).SerializeToString())
    assert is_refused(error) == (DOCUMENTED[short(method)] == "refused")
    if error is not None:
        assert error.code() in ANSWERS
        assert re.fullmatch(r"CWSANDBOX_[A-Z_]+", reason_of(error)[0])
        assert error.details()
    if is_refused(error):
        assert error is not None
        assert reason_of(error)[1] == {"method": path(method)}
        assert path(method) in str(error.details())


@pytest.fixture(scope="module")
def oversized() -> bytes:
    return bytes(LIMIT + 1)


@pytest.mark.parametrize("method", METHODS, ids=map(short, METHODS))
def test_oversized_requests(channel: grpc.Channel, method: Any, oversized: bytes) -> None:
    error = call(channel, method, oversized)
    assert error is not None
    if DOCUMENTED[short(method)] == "refused":
        assert is_refused(error)
    else:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert str(len(oversized)) in str(error.details())
        assert str(LIMIT) in str(error.details())


def test_the_daemon_is_well_after_all_that(channel: grpc.Channel) -> None:
    pb = protos.messages()
    found = (
        protos.stubs()
        .SandboxServiceStub(channel)
        .ListSandboxes(pb.ListSandboxesRequest(show_terminated=True), timeout=SECONDS)
    )
    assert list(found.sandboxes) == []
