"""Our client against a grpcio server: two independent implementations of the same wire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import (
    CWSandboxAuthenticationError,
    Sandbox,
    SandboxError,
    SandboxExecutionError,
    SandboxNotFoundError,
    SandboxResourceExhaustedError,
    SandboxTimeoutError,
    SandboxUnavailableError,
    __version__,
)


async def hello(call: Call) -> None:
    await call.ready()
    await call.out(b"hello\n")
    await call.err(b"warning\n")
    await call.exit(3)


def test_exec(grpc_peer: GrpcPeer) -> None:
    grpc_peer.scripts["hello"] = hello
    with Sandbox.run() as sandbox:
        result = sandbox.exec(["hello", "wörld", ""]).result()
    assert (result.stdout, result.stderr, result.returncode) == ("hello\n", "warning\n", 3)
    assert result.command == ["hello", "wörld", ""]


async def test_exec_async(grpc_peer: GrpcPeer) -> None:
    grpc_peer.scripts["hello"] = hello
    async with Sandbox.run() as sandbox:
        process = sandbox.exec(["hello"])
        assert [line async for line in process.stdout] == ["hello\n"]
        assert [line async for line in process.stderr] == ["warning\n"]
        assert (await process).returncode == 3


def test_what_the_server_gets(grpc_peer: GrpcPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CWSANDBOX_API_KEY", "key-123")
    seen: list[Call] = []

    @grpc_peer.command("see")
    async def see(call: Call) -> None:
        seen.append(call)
        await call.exit(0)

    with Sandbox.run() as sandbox:
        sandbox.exec(["see", "two words", "ünï"], timeout_seconds=100).result()
        sandbox_id = sandbox.sandbox_id
    assert seen[0].argv == ["see", "two words", "ünï"]
    assert seen[0].init.sandbox_id == sandbox_id
    assert not seen[0].init.tty
    for method in ("CreateSandbox", "StreamExec", "DeleteSandbox"):
        metadata = dict(grpc_peer.metadata[method][0])
        assert metadata["authorization"] == "Bearer key-123", method
        assert metadata["user-agent"] == f"cwsandbox-c/{__version__}"
    remaining = grpc_peer.deadlines["StreamExec"][0]
    assert remaining is not None
    assert 90 < remaining <= 100
    assert grpc_peer.deleted == [sandbox_id]


def test_stdin(grpc_peer: GrpcPeer) -> None:
    frames: list[bytes] = []

    @grpc_peer.command("eat")
    async def eat(call: Call) -> None:
        await call.ready()
        async for data in call.stdin():
            frames.append(data)
        await call.out(str(call.closed_by_frame).encode())
        await call.exit(0)

    with Sandbox.run() as sandbox:
        process = sandbox.exec(["eat"], stdin=True)
        assert process.stdin is not None
        process.stdin.write(bytes(150_000)).result()
        process.stdin.write(b"").result()
        process.stdin.writeline("ende").result()
        process.stdin.close().result()
        assert process.result().stdout == "True"
    assert [len(frame) for frame in frames] == [65536, 65536, 18928, 5]
    assert frames[-1] == b"ende\n"


def test_no_stdin_frame_before_ready(grpc_peer: GrpcPeer) -> None:
    arrived = grpc_peer.event()
    go = grpc_peer.event()

    @grpc_peer.command("late")
    async def late(call: Call) -> None:
        reading = asyncio.ensure_future(anext(call.stdin()))
        arrived.set()
        await go.wait()
        early = reading.done()
        await call.ready()
        data = await reading
        await call.out(f"{early} {data.decode()}".encode())
        await call.exit(0)

    with Sandbox.run() as sandbox:
        process = sandbox.exec(["late"], stdin=True)
        assert process.stdin is not None
        process.stdin.write(b"input")
        grpc_peer.wait(arrived)
        grpc_peer.set(go)
        assert process.result().stdout == "False input"


def test_large_output(grpc_peer: GrpcPeer) -> None:
    chunk = bytes(range(256)) * 4096

    @grpc_peer.command("flood")
    async def flood(call: Call) -> None:
        for _ in range(48):
            await call.out(chunk)
        await call.exit(0)

    with Sandbox.run() as sandbox:
        assert sandbox.exec(["flood"]).result().stdout_bytes == chunk * 48


def test_an_unread_stream_does_not_starve_the_others(grpc_peer: GrpcPeer) -> None:
    @grpc_peer.command("flood")
    async def flood(call: Call) -> None:
        for _ in range(32):
            await call.out(bytes(1024 * 1024))
        await call.exit(0)

    grpc_peer.scripts["hello"] = hello
    with Sandbox.run() as sandbox:
        unread = [sandbox.exec(["flood"]) for _ in range(4)]
        assert sandbox.exec(["hello"]).result().returncode == 3
        for process in unread:
            assert len(process.result().stdout_bytes) == 32 * 1024 * 1024


def test_a_thousand_at_a_limit_of_a_hundred(
    make_grpc_peer: Callable[..., GrpcPeer], monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = make_grpc_peer(max_concurrent_streams=100)
    monkeypatch.setenv("CWSANDBOX_BASE_URL", peer.base_url)

    @peer.command("echo")
    async def echo(call: Call) -> None:
        await call.out(call.argv[1].encode())
        await call.exit(0)

    with Sandbox.run() as sandbox:
        processes = [sandbox.exec(["echo", str(n)]) for n in range(1000)]
        assert [p.result().stdout for p in processes] == [str(n) for n in range(1000)]


def test_three_hundred_run_side_by_side_at_a_limit_of_a_hundred(
    make_grpc_peer: Callable[..., GrpcPeer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None ends before all have begun: with one connection of 100 streams this would never end."""
    peer = make_grpc_peer(max_concurrent_streams=100)
    monkeypatch.setenv("CWSANDBOX_BASE_URL", peer.base_url)
    everyone_is_here = peer.event()
    here = 0

    @peer.command("meet")
    async def meet(call: Call) -> None:
        nonlocal here
        here += 1
        if here == 300:
            everyone_is_here.set()
        await everyone_is_here.wait()
        await call.exit(0)

    with Sandbox.run() as sandbox:
        processes = [sandbox.exec(["meet"]) for _ in range(300)]
        assert [p.result().returncode for p in processes] == [0] * 300


def test_cancel_reaches_the_server(grpc_peer: GrpcPeer) -> None:
    begun = grpc_peer.event()
    cancelled = grpc_peer.event()

    @grpc_peer.command("hang")
    async def hang(call: Call) -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with Sandbox.run() as sandbox:
        process = sandbox.exec(["hang"])
        grpc_peer.wait(begun)
        assert process.cancel()
        grpc_peer.wait(cancelled)


def test_deadline_is_ours_even_if_the_server_ignores_it(grpc_peer: GrpcPeer) -> None:
    @grpc_peer.command("hang")
    async def hang(call: Call) -> None:
        await call.out(b"so far\n")
        await asyncio.Event().wait()

    with Sandbox.run() as sandbox, pytest.raises(SandboxTimeoutError):
        sandbox.exec(["hang"], timeout_seconds=0.5).result()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, SandboxUnavailableError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, SandboxResourceExhaustedError),
        (grpc.StatusCode.NOT_FOUND, SandboxNotFoundError),
        (grpc.StatusCode.UNAUTHENTICATED, CWSandboxAuthenticationError),
        (grpc.StatusCode.PERMISSION_DENIED, CWSandboxAuthenticationError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, SandboxTimeoutError),
        (grpc.StatusCode.INTERNAL, SandboxError),
        (grpc.StatusCode.DATA_LOSS, SandboxError),
    ],
)
def test_status_of_an_exec(
    grpc_peer: GrpcPeer, code: grpc.StatusCode, kind: type[Exception]
) -> None:
    @grpc_peer.command("fail")
    async def fail(call: Call) -> None:
        await call.context.abort(code, "größer than 100%\nline 2")

    with Sandbox.run() as sandbox, pytest.raises(kind) as caught:
        sandbox.exec(["fail"]).result()
    if code is not grpc.StatusCode.DEADLINE_EXCEEDED:
        assert "größer than 100%\nline 2" in str(caught.value)


@pytest.mark.parametrize("text", ["ends with a space ", " begins with one", " ", "\t"])
def test_status_text_with_space_at_its_ends(grpc_peer: GrpcPeer, text: str) -> None:
    @grpc_peer.command("fail")
    async def fail(call: Call) -> None:
        await call.context.abort(grpc.StatusCode.NOT_FOUND, text)

    with Sandbox.run() as sandbox, pytest.raises(SandboxNotFoundError) as caught:
        sandbox.exec(["fail"]).result()
    assert text.strip() in str(caught.value)


def test_in_band_error(grpc_peer: GrpcPeer) -> None:
    @grpc_peer.command("fail")
    async def fail(call: Call) -> None:
        await call.out(b"partial\n")
        await call.error("SOME_CODE", "the runner says no")

    with Sandbox.run() as sandbox, pytest.raises(SandboxExecutionError) as caught:
        sandbox.exec(["fail"]).result()
    assert "the runner says no" in str(caught.value)
    assert caught.value.reason == "SOME_CODE"


def rich_status(code: grpc.StatusCode, *details: Any) -> tuple[tuple[str, bytes], ...]:
    status = status_pb2.Status(code=code.value[0], message="in the details")
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return (("grpc-status-details-bin", status.SerializeToString()),)


def test_status_details(grpc_peer: GrpcPeer) -> None:
    info = error_details_pb2.ErrorInfo(
        reason="CWSANDBOX_SANDBOX_NOT_FOUND", domain="cwsandbox.com", metadata={"a": "b"}
    )
    retry = error_details_pb2.RetryInfo(
        retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000)
    )

    async def refuse(request: Any, context: Any) -> Any:
        code = grpc.StatusCode.FAILED_PRECONDITION
        await context.abort(code, "no such sandbox", rich_status(code, info, retry))

    grpc_peer.overrides["GetSandbox"] = refuse
    with pytest.raises(SandboxNotFoundError) as caught:
        Sandbox.from_id("sb-9").result()
    assert caught.value.reason == "CWSANDBOX_SANDBOX_NOT_FOUND"
    assert caught.value.metadata == {"a": "b"}
    assert caught.value.retry_delay is not None
    assert caught.value.retry_delay.total_seconds() == 1.5


def test_unix_socket(
    make_grpc_peer: Callable[..., GrpcPeer], short_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = make_grpc_peer(f"unix://{short_folder}/peer")
    monkeypatch.setenv("CWSANDBOX_BASE_URL", peer.base_url)
    peer.scripts["hello"] = hello
    with Sandbox.run() as sandbox:
        assert sandbox.exec(["hello"]).result().stdout == "hello\n"


def test_ipv6_literal(
    make_grpc_peer: Callable[..., GrpcPeer], monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        peer = make_grpc_peer("[::1]:0")
    except RuntimeError:
        pytest.skip("this machine has no IPv6 loopback")
    monkeypatch.setenv("CWSANDBOX_BASE_URL", peer.base_url.replace("localhost", "[::1]"))
    peer.scripts["hello"] = hello
    with Sandbox.run() as sandbox:
        assert sandbox.exec(["hello"]).result().stdout == "hello\n"


def test_sandboxes_share_connections(grpc_peer: GrpcPeer) -> None:
    peers: set[str] = set()

    @grpc_peer.command("peer")
    async def peer(call: Call) -> None:
        peers.add(call.context.peer())
        await call.exit(0)

    for _ in range(3):
        with Sandbox.run() as sandbox:
            sandbox.exec(["peer"]).result()
    assert len(peers) == 1
