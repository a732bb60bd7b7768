"""Channel and its unary calls, against a grpcio server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from types import ModuleType
from typing import Any

import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from conformance.grpc_peer import GrpcPeer
from native.conftest import Run

GET = "SandboxService/GetSandbox"


@pytest.fixture
def answer(peer: GrpcPeer) -> Iterator[Any]:
    """``answer(coroutine)`` lets GetSandbox be answered by it."""

    def by(coroutine: Any) -> None:
        peer.overrides["GetSandbox"] = coroutine

    yield by
    peer.overrides.pop("GetSandbox", None)


def test_call(channel: Any) -> None:
    call = channel.unary(GET, {"sandbox_id": "grüße"})
    reply = call.result()
    assert reply["sandbox_id"] == "grüße"
    assert reply["status"]["state"] > 0
    assert call.result() is reply
    assert call._done() is True
    assert call._cancel() is False
    assert channel.unary(method=GET, request={}, timeout=None).result()["sandbox_id"] == ""


def test_many_calls_in_a_loop(channel: Any, run: Run) -> None:
    async def main() -> None:
        calls = [channel.unary(GET, {"sandbox_id": str(n)}, 30) for n in range(300)]
        replies = await asyncio.gather(*calls)
        assert [reply["sandbox_id"] for reply in replies] == [str(n) for n in range(300)]

    run(main())


def test_status(core: ModuleType, channel: Any, answer: Any) -> None:
    info = error_details_pb2.ErrorInfo(reason="GONE", domain="test")
    detail = any_pb2.Any()
    detail.Pack(info)
    status = status_pb2.Status(code=5, message="no such 100% \N{SNOWMAN}", details=[detail])

    async def fail(request: Any, context: Any) -> Any:
        rich = rpc_status.to_status(status)
        await context.abort(rich.code, rich.details, rich.trailing_metadata)

    answer(fail)
    call = channel.unary(GET, {})
    with pytest.raises(core.RpcError) as caught:
        call.result()
    error = caught.value
    assert (error.kind, error.code, error.code_name) == ("status", 5, "NOT_FOUND")
    assert (error.message, error.local) == (status.message, False)
    assert str(error) == f"NOT_FOUND: {status.message}"
    assert (error.code_text, error.failure) == (None, None)
    assert status_pb2.Status.FromString(error.details[0]) == status
    with pytest.raises(core.RpcError) as again:
        call.result()
    assert again.value is error


def test_deadline(core: ModuleType, channel: Any, answer: Any) -> None:
    async def never(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    answer(never)
    with pytest.raises(core.RpcError) as caught:
        channel.unary(GET, {}, timeout=0.05).result()
    # By our timer or by the peer's, whichever is quicker; peers that have none are in the hostile tests.
    assert caught.value.code_name == "DEADLINE_EXCEEDED"


def test_cancel(channel: Any, answer: Any, peer: GrpcPeer, run: Run) -> None:
    arrived, cancelled = threading.Event(), threading.Event()

    async def hang(request: Any, context: Any) -> Any:
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    answer(hang)
    call = channel.unary(GET, {})
    assert arrived.wait(30)
    assert call._cancel() is True
    with pytest.raises(CancelledError):
        call.result()
    assert cancelled.wait(30)

    async def main() -> None:
        arrived.clear()
        cancelled.clear()
        awaited = channel.unary(GET, {})
        task = asyncio.ensure_future(awaited)
        await asyncio.sleep(0)  # so that it awaits when it is cancelled
        await asyncio.to_thread(arrived.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(CancelledError):
            awaited.result()
        assert await asyncio.to_thread(cancelled.wait, 30)

    run(main())


def test_dropped_call_is_made_all_the_same(channel: Any, answer: Any, peer: GrpcPeer) -> None:
    arrived = threading.Event()

    async def note(request: Any, context: Any) -> Any:
        arrived.set()
        return peer.pb.Sandbox()

    answer(note)
    channel.unary(GET, {})
    assert arrived.wait(30)


def test_unreachable(core: ModuleType, run: Run) -> None:
    channel = core.Channel("http://127.0.0.1:1")
    with pytest.raises(
        core.RpcError, match=r"cannot connect to 127\.0\.0\.1:1: connection refused"
    ) as caught:
        channel.unary(GET, {}, 30).result()
    assert (caught.value.code_name, caught.value.local) == ("UNAVAILABLE", True)


def test_too_large_a_reply(core: ModuleType, peer: GrpcPeer) -> None:
    small = core.Channel(peer.base_url, max_receive_bytes=100)
    assert small.unary(GET, {"sandbox_id": "x"}).result()["sandbox_id"] == "x"
    with pytest.raises(core.RpcError) as caught:
        small.unary(GET, {"sandbox_id": "x" * 200}).result()
    assert caught.value.code_name == "RESOURCE_EXHAUSTED"


def test_metadata(core: ModuleType, peer: GrpcPeer) -> None:
    metadata = [
        ("authorization", "Bearer secret"),
        ("x-twice", "1"),
        ("x-twice", "2"),
        ("some-bin", b"\0\xff"),
    ]
    channel = core.Channel(peer.base_url, metadata=metadata)
    channel.unary(GET, {}).result()
    sent = [(name, value) for name, value in peer.metadata["GetSandbox"][-1]]
    for pair in metadata:
        assert pair in sent


def test_equal_channels_share_their_connection(core: ModuleType, peer: GrpcPeer) -> None:
    first = core.Channel(peer.base_url, metadata=[("x", "shared")])
    first.unary(GET, {}).result()
    before = core.stats()["connections"]
    second = core.Channel(peer.base_url, metadata=[("x", "shared")])
    second.unary(GET, {}).result()
    assert core.stats()["connections"] == before
    other = core.Channel(peer.base_url, metadata=[("x", "own")])
    other.unary(GET, {}).result()
    assert core.stats()["connections"] == before + 1


def test_stats_tell_what_is_under_way(core: ModuleType, channel: Any, answer: Any) -> None:
    async def hang(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    answer(hang)
    before = core.stats()
    calls = [channel.unary(GET, {}) for _ in range(5)]
    after = core.stats()
    assert after["operations"] == before["operations"] + 5
    assert after["streams"] == before["streams"] + 5
    for call in calls:
        call._cancel()
    core.wait_many(calls, 5, None)
    assert core.stats()["streams"] == before["streams"]


def test_bad_calls(channel: Any) -> None:
    for method in ("", "GetSandbox", "SandboxService/", "SandboxService/NoSuch"):
        with pytest.raises(ValueError, match=r"method must be one of the service's"):
            channel.unary(method, {})
    with pytest.raises(TypeError, match="method must be a str"):
        channel.unary(3, {})
    with pytest.raises(ValueError, match="no_such_field"):
        channel.unary(GET, {"no_such_field": 1})
    with pytest.raises(TypeError, match="sandbox_id"):
        channel.unary(GET, {"sandbox_id": 3})
    with pytest.raises(TypeError):
        channel.unary(GET, 3)
    with pytest.raises(ValueError, match="timeout must be a number of seconds >= 0, got -1"):
        channel.unary(GET, {}, -1)
    with pytest.raises(TypeError, match="missing the argument 'request'"):
        channel.unary(GET)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"target": "ftp://host"}, ValueError, "ftp"),
        ({"target": 3}, TypeError, "target must be a str"),
        ({"target": "http://h\0st"}, ValueError, "NUL"),
        ({"metadata": [("Bad Name", "x")]}, ValueError, "Bad Name|bad name"),
        ({"metadata": [("name", "line\nbreak")]}, ValueError, "name"),
        ({"metadata": [("grpc-timeout", "1S")]}, ValueError, "grpc-timeout"),
        ({"metadata": [("name",)]}, TypeError, "pairs of name and value"),
        ({"metadata": [("name", 3)]}, TypeError, "bytes"),
        ({"metadata": 3}, TypeError, "not iterable"),
        ({"roots_pem": "text"}, TypeError, "roots_pem must be bytes or None, got str$"),
        ({"target": "https://host", "roots_pem": b"no certificate"}, ValueError, "certificate"),
        ({"max_receive_bytes": 0}, ValueError, "max_receive_bytes is 0, it must be above 0"),
        ({"max_receive_bytes": "1"}, TypeError, "integer"),
        ({"ping_interval": 0}, ValueError, "ping_interval must be 0.001 to 86400 seconds, got 0"),
        ({"ping_interval": 1e9}, ValueError, "must be 0.001 to 86400 seconds"),
        ({"ping_interval": -1}, ValueError, "ping_interval must be .*, got -1"),
        ({"ping_interval": None}, ValueError, "ping_interval must be .*, got None"),
        ({"ping_interval": "1"}, TypeError, "ping_interval must be a number of seconds, got '1'"),
        ({"no_such": 1}, TypeError, "unexpected keyword argument 'no_such'"),
    ],
)
def test_bad_channels(
    core: ModuleType, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        core.Channel(**{"target": "http://host", **arguments})


def test_making_one_does_no_io(core: ModuleType) -> None:
    channel = core.Channel("https://nowhere.invalid:1")
    assert channel.target == "https://nowhere.invalid:1"
    with pytest.raises(AttributeError):
        channel.target = "x"
