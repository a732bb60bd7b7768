"""Sandboxes that end or go away behind their handle's back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from conformance.grpc_peer import GrpcPeer
from cwsandbox import (
    Sandbox,
    SandboxFailedError,
    SandboxNotRunningError,
    SandboxStatus,
    SandboxTerminalStateUnavailableError,
)
from integration.env import eventually


def runs_at_once(peer: GrpcPeer) -> None:
    async def create(request: Any, context: Any) -> Any:
        peer.created.append(request)
        return peer._sandbox("sb-1", peer.pb.STATE_RUNNING)

    peer.overrides["CreateSandbox"] = create


def fails(peer: GrpcPeer) -> None:
    async def get(request: Any, context: Any) -> Any:
        status = peer.pb.SandboxStatus(state=peer.pb.STATE_FAILED, state_reason="exit code 1")
        return peer.pb.Sandbox(sandbox_id=request.sandbox_id, status=status)

    peer.overrides["GetSandbox"] = get


def test_wait_asks_the_service(grpc_peer: GrpcPeer) -> None:
    runs_at_once(grpc_peer)
    sandbox = Sandbox.run()
    assert sandbox.wait(20) is sandbox
    fails(grpc_peer)
    with pytest.raises(SandboxFailedError):
        sandbox.wait(20)
    assert sandbox.status is SandboxStatus.FAILED


async def test_await_does_too(grpc_peer: GrpcPeer) -> None:
    runs_at_once(grpc_peer)
    sandbox = Sandbox()
    await sandbox.start()
    fails(grpc_peer)
    with pytest.raises(SandboxFailedError):
        await sandbox


def refusing(peer: GrpcPeer, name: str) -> list[int]:
    """A command that is refused since the sandbox does not run; counts how often."""
    refused: list[int] = []

    @peer.command(name)
    async def refuse(call: Any) -> None:
        refused.append(1)
        await call.context.abort(grpc.StatusCode.CANCELLED, "not running")

    return refused


def test_a_refused_command_makes_the_next_one_ask(grpc_peer: GrpcPeer) -> None:
    runs_at_once(grpc_peer)
    refused = refusing(grpc_peer, "x")
    sandbox = Sandbox.run()
    with pytest.raises(SandboxNotRunningError):
        sandbox.exec(["x"]).result(20)
    fails(grpc_peer)
    with pytest.raises(SandboxFailedError):
        sandbox.exec(["x"]).result(20)
    assert len(refused) == 1
    assert sandbox.status is SandboxStatus.FAILED


def test_one_that_runs_after_all_goes_on(grpc_peer: GrpcPeer) -> None:
    runs_at_once(grpc_peer)
    refusing(grpc_peer, "x")

    @grpc_peer.command("y")
    async def good(call: Any) -> None:
        await call.exit(0)

    with Sandbox.run() as sandbox:
        for _ in range(3):
            with pytest.raises(SandboxNotRunningError):
                sandbox.exec(["x"]).result(20)
            assert sandbox.exec(["y"]).result(20).returncode == 0
        asked = len(grpc_peer.metadata["GetSandbox"])
        assert asked == 3
        sandbox.exec(["y"]).result(20)
        assert len(grpc_peer.metadata["GetSandbox"]) == asked


def gone(peer: GrpcPeer) -> None:
    """After a delete nobody knows of the sandbox any more."""

    async def get(request: Any, context: Any) -> Any:
        if request.sandbox_id in peer.deleted:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such sandbox")
        return peer._sandbox(request.sandbox_id, peer.pb.STATE_RUNNING)

    async def delete(request: Any, context: Any) -> Any:
        if request.sandbox_id in peer.deleted:
            if not request.allow_missing:
                await context.abort(grpc.StatusCode.NOT_FOUND, "no such sandbox")
            return peer.pb.DeleteSandboxResponse()
        return await peer._delete(request, context)

    peer.overrides.update(GetSandbox=get, DeleteSandbox=delete)


def test_leaving_the_block_of_one_that_is_gone(grpc_peer: GrpcPeer) -> None:
    gone(grpc_peer)
    with Sandbox.run() as sandbox:
        Sandbox.delete(str(sandbox.sandbox_id)).result(20)
    assert sandbox.status is SandboxStatus.TERMINATED
    with Sandbox.run() as sandbox:
        pass  # gone before its final state was seen
    sandbox = Sandbox.run()
    with pytest.raises(SandboxTerminalStateUnavailableError):
        sandbox.stop().result(20)


async def test_leaving_it_without_blocking(grpc_peer: GrpcPeer) -> None:
    gone(grpc_peer)
    async with Sandbox() as sandbox:
        await Sandbox.delete(str(sandbox.sandbox_id))
    assert sandbox.status is SandboxStatus.TERMINATED


class _AlarmError(Exception):
    """What a signal handler raises."""


@pytest.mark.parametrize(
    "create",
    [Sandbox.run, lambda: Sandbox().__enter__()],
    ids=["run", "with"],
)
def test_a_handler_that_raises_leaves_no_sandbox(
    create: Callable[[], Sandbox], grpc_peer: GrpcPeer
) -> None:
    """The create goes on while the exception is raised, and nobody else could stop the sandbox."""

    def handle(number: int, frame: object) -> None:
        raise _AlarmError

    async def interrupt(request: Any, context: Any) -> Any:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        return await grpc_peer._create(request, context)

    grpc_peer.overrides["CreateSandbox"] = interrupt
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with pytest.raises(_AlarmError):
            create()
    finally:
        signal.signal(signal.SIGUSR1, before)
    eventually(lambda: len(grpc_peer.deleted) == 1, "the sandbox is stopped")
