"""Connections that have died without a word: a relay in between takes every byte and forwards none."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator

import pytest

from conformance.grpc_peer import Call, GrpcPeer
from conformance.relay import Relay
from cwsandbox import (
    Sandbox,
    SandboxExecutionError,
    SandboxTimeoutError,
    SandboxUnavailableError,
    _cwsandbox,
)

MakeRelay = Callable[..., Relay]


async def greet(call: Call) -> None:
    await call.ready()
    await call.out(b"hello\n")
    await call.exit(0)


async def hang(call: Call) -> None:
    await call.ready()
    await call.out(b"half\n")
    await asyncio.Event().wait()


@pytest.fixture
def make_relay(
    make_grpc_peer: Callable[..., GrpcPeer], monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeRelay]:
    """``make_relay(**options_of_the_peer)``: between new sandboxes and a grpcio server that greets or hangs."""
    made: list[Relay] = []

    def make(**options: int) -> Relay:
        peer = make_grpc_peer(**options)
        peer.command("greet")(greet)
        peer.command("hang")(hang)
        made.append(Relay(peer.base_url))
        monkeypatch.setenv("CWSANDBOX_BASE_URL", made[-1].url)
        return made[-1]

    yield make
    for relay in made:
        relay.close()


@pytest.fixture
def ping_interval(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Seconds, for the channels of sandboxes that are made from then on."""

    def set_to(seconds: float) -> None:
        quick = functools.partial(_cwsandbox.Channel, ping_interval=seconds)
        monkeypatch.setattr(_cwsandbox, "Channel", quick)

    return set_to


def test_the_exec_after_one_that_got_no_answer_works(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with Sandbox.run() as sandbox:
        assert sandbox.exec(["greet"]).result().stdout == "hello\n"
        relay.stall()
        with pytest.raises(SandboxTimeoutError):
            sandbox.exec(["greet"], timeout_seconds=1).result()
        for _ in range(5):
            assert sandbox.exec(["greet"], timeout_seconds=20).result().stdout == "hello\n"


def test_the_same_for_one_with_standard_input(make_relay: MakeRelay) -> None:
    """Its time for the ready signal ends before it has any other limit."""
    relay = make_relay()
    with Sandbox.run() as sandbox:
        assert sandbox.exec(["greet"]).result().stdout == "hello\n"
        relay.stall()
        with pytest.raises(SandboxTimeoutError):
            sandbox.exec(["greet"], stdin=True).result()
        assert sandbox.exec(["greet"], stdin=True, timeout_seconds=20).result().stdout == "hello\n"


def test_a_command_with_a_far_limit_ends_with_what_it_said(
    make_relay: MakeRelay, ping_interval: Callable[[float], None]
) -> None:
    relay = make_relay()
    ping_interval(0.5)
    with Sandbox.run() as sandbox:
        process = sandbox.exec(["hang"], timeout_seconds=3600)
        assert next(process.stdout) == "half\n"
        relay.stall()
        with pytest.raises(SandboxUnavailableError, match="did not answer a PING") as caught:
            process.result(30)
        assert caught.value.exec_result is not None
        assert caught.value.exec_result.stdout == "half\n"
        assert sandbox.exec(["greet"]).result().stdout == "hello\n"


def test_a_quiet_command_on_a_living_connection_goes_on(
    make_relay: MakeRelay, ping_interval: Callable[[float], None]
) -> None:
    relay = make_relay(min_ping_interval_ms=1)
    ping_interval(0.5)
    with Sandbox.run() as sandbox:
        process = sandbox.exec(["hang"])
        assert next(process.stdout) == "half\n"
        with pytest.raises(TimeoutError):
            process.result(7)
        process.cancel()
        assert sandbox.exec(["greet"]).result().stdout == "hello\n"
    assert len(relay.ways) == 1


def test_a_server_that_complains_is_asked_less_often(
    make_relay: MakeRelay, ping_interval: Callable[[float], None]
) -> None:
    """grpcio's server ends a connection on the third PING that comes too early."""
    relay = make_relay(min_ping_interval_ms=700)
    ping_interval(0.4)
    with Sandbox.run() as sandbox:
        with pytest.raises(SandboxUnavailableError, match=r"(?i)too.many.pings"):
            sandbox.exec(["hang"]).result(30)
        process = sandbox.exec(["hang"])
        with pytest.raises(TimeoutError):
            process.result(5)
        process.cancel()
    assert len(relay.ways) == 2


def test_a_connection_lost_during_a_write_can_be_told_from_a_command_that_ended(
    make_relay: MakeRelay,
) -> None:
    relay = make_relay()
    with Sandbox.run() as sandbox:
        process = sandbox.exec(["hang"], stdin=True)
        assert process.stdin is not None
        assert next(process.stdout) == "half\n"
        write = process.stdin.write(bytes(1 << 25))
        close = process.stdin.close()
        relay.cut()
        for operation in (write, close):
            with pytest.raises(SandboxUnavailableError, match="connection lost") as caught:
                operation.result()
            assert caught.value.exec_result is not None
        with pytest.raises(SandboxUnavailableError):
            process.stdin.write(b"x")

        ended = sandbox.exec(["greet"], stdin=True)
        assert ended.stdin is not None
        assert ended.result().stdout == "hello\n"
        with pytest.raises(SandboxExecutionError, match="the command has ended"):
            ended.stdin.write(b"x")
        ended.stdin.close().result()
