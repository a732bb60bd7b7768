"""Whoever takes a lease gets a sandbox that runs, as far as that is known; and what asking costs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest

import cwsandbox
from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import (
    Job,
    Limits,
    Sandbox,
    SandboxError,
    SandboxNotRunningError,
    SandboxPool,
)
from integration.env.wait import eventually

NOT_RUNNING = "CWSANDBOX_SANDBOX_NOT_RUNNING"


class Service:
    """Sandboxes that can die, and how often it was asked whether they have."""

    def __init__(self, peer: GrpcPeer) -> None:
        self.peer = peer
        self.dead: set[str] = set()
        self.looks = 0
        peer.overrides["GetSandbox"] = self._get
        peer.overrides["ReadFile"] = self._read
        peer.scripts["ok"] = self._ok
        peer.scripts["hang"] = self._hang

    async def _get(self, request: Any, context: Any) -> Any:
        self.looks += 1
        if request.sandbox_id in self.dead:
            return self.peer._sandbox(request.sandbox_id, self.peer.pb.STATE_FAILED)
        return await self.peer._get(request, context)

    async def _read(self, request: Any, context: Any) -> Any:
        if request.sandbox_id in self.dead:
            await self._refuse(context)
        return await self.peer._read_file(request, context)

    async def _refuse(self, context: Any) -> None:
        await self.peer.fail(context, grpc.StatusCode.FAILED_PRECONDITION, NOT_RUNNING)

    async def _ok(self, call: Call) -> None:
        if call.init.sandbox_id in self.dead:
            await self._refuse(call.context)
        await call.ready()
        await call.exit(0)

    async def _hang(self, call: Call) -> None:
        await call.ready()
        while call.init.sandbox_id not in self.dead:
            await asyncio.sleep(0.005)
        await call.context.abort(grpc.StatusCode.UNAVAILABLE, "the runner is gone")


@pytest.fixture(autouse=True)
def time_alone_makes_none_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cwsandbox._batch.shelf._TRUSTED_SECONDS", 3600.0)


@pytest.fixture
def service(grpc_peer: GrpcPeer) -> Service:
    return Service(grpc_peer)


def a_command(sandbox: Sandbox, die: Callable[[], None]) -> None:
    die()
    with suppress(SandboxError):
        sandbox.exec(["ok"]).result()


def a_command_that_is_lost(sandbox: Sandbox, die: Callable[[], None]) -> None:
    process = sandbox.exec(["hang"])
    die()
    with suppress(SandboxError):
        process.result()


def a_command_that_nobody_asked(sandbox: Sandbox, die: Callable[[], None]) -> None:
    process = sandbox.exec(["hang"])
    die()
    eventually(lambda: sandbox.exec_stats["exec_failures"], "it has failed")
    del process


def a_file(sandbox: Sandbox, die: Callable[[], None]) -> None:
    die()
    with suppress(SandboxError):
        sandbox.read_file("/tmp/x").result()


def its_status(sandbox: Sandbox, die: Callable[[], None]) -> None:
    die()
    sandbox.get_status()


def a_wait(sandbox: Sandbox, die: Callable[[], None]) -> None:
    die()
    with suppress(SandboxError):
        sandbox.wait()


def its_stop(sandbox: Sandbox, die: Callable[[], None]) -> None:
    sandbox.stop().result()


LESSONS = [
    a_command,
    a_command_that_is_lost,
    a_command_that_nobody_asked,
    a_file,
    its_status,
    a_wait,
    its_stop,
]


@pytest.mark.parametrize("is_after", [False, True], ids=["lent", "idle"])
@pytest.mark.parametrize("learn", LESSONS)
def test_what_was_learnt_counts(
    service: Service, learn: Callable[[Sandbox, Callable[[], None]], None], is_after: bool
) -> None:
    """By the block of the lease, or by somebody who has kept the sandbox beyond it."""
    with SandboxPool(max_uses=None) as pool:
        with pool.acquire(timeout=20) as sandbox:
            first = sandbox.sandbox_id
            assert first is not None
            if not is_after:
                learn(sandbox, lambda: service.dead.add(first))
        if is_after:
            learn(sandbox, lambda: service.dead.add(first))
        with pool.acquire(timeout=20) as sandbox:
            assert sandbox.sandbox_id != first
            assert sandbox.exec(["ok"]).result().returncode == 0
        with pool.acquire(timeout=20) as again:
            assert again.sandbox_id == sandbox.sandbox_id


def test_it_costs_no_call(service: Service) -> None:
    with SandboxPool(max_uses=None) as pool:
        with pool.acquire(timeout=20):
            pass
        before = service.looks
        for _ in range(50):
            with pool.acquire(timeout=20) as sandbox:
                assert sandbox.exec(["ok"]).result().returncode == 0
        assert service.looks == before
        assert len(service.peer.created) == 1


def test_after_a_failure_it_is_asked_once_and_kept(service: Service) -> None:
    @service.peer.command("lost")
    async def lost(call: Call) -> None:
        await call.context.abort(grpc.StatusCode.UNAVAILABLE, "a connection was lost")

    with SandboxPool(max_uses=None) as pool:
        with pool.acquire(timeout=20) as sandbox:
            first = sandbox.sandbox_id
            with pytest.raises(SandboxError, match="a connection was lost"):
                sandbox.exec(["lost"]).result()
        looks = []
        for _ in range(3):
            before = service.looks
            with pool.acquire(timeout=20) as sandbox:
                assert sandbox.sandbox_id == first
            looks.append(service.looks - before)
        assert looks == [1, 0, 0]
        assert len(service.peer.created) == 1


@pytest.mark.parametrize("is_batch", [False, True])
def test_one_that_ends_before_it_is_lent_out_is_told(service: Service, is_batch: bool) -> None:
    """Such as one whose main command ends at once."""

    async def get(request: Any, context: Any) -> Any:
        peer = service.peer
        return peer._sandbox(request.sandbox_id, peer.pb.STATE_COMPLETED)

    service.peer.overrides["GetSandbox"] = get
    with SandboxPool(max_uses=None) as pool:
        if is_batch:
            retry = cwsandbox.Retry(times=0)
            (outcome,) = cwsandbox.batch([Job("a", ["ok"])], pool=pool, retry=retry)
            assert outcome.verdict is cwsandbox.Verdict.NOT_STARTED
            assert "'sb-1' has ended before it could be lent out" in str(outcome.error)
            return
        with (
            pytest.raises(SandboxNotRunningError, match="'sb-1' has ended before it could be lent"),
            pool.acquire(timeout=20),
        ):
            pass


def test_one_that_its_setup_saw_die_is_not_lent_out(service: Service) -> None:
    def prepare(sandbox: Sandbox) -> None:
        assert sandbox.sandbox_id is not None
        service.dead.add(sandbox.sandbox_id)
        with suppress(SandboxError):
            sandbox.exec(["ok"]).result()

    with (
        SandboxPool(setup=prepare) as pool,
        pytest.raises(SandboxNotRunningError, match="has ended before it could be lent"),
        pool.acquire(timeout=20),
    ):
        pass


# ---- leases ----


def nested(lease: Any) -> None:
    with lease:
        pass


def nested_in_a_coroutine(lease: Any) -> None:
    async def enter() -> None:
        async with lease:
            pass

    asyncio.run(enter())


def on_another_thread(lease: Any) -> None:
    failures: list[BaseException] = []

    def enter() -> None:
        try:
            nested(lease)
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(20)
    if failures:
        raise failures[0]


@pytest.mark.parametrize("enter", [nested, nested_in_a_coroutine, on_another_thread])
def test_a_lease_is_for_one_block_at_a_time(service: Service, enter: Callable[[Any], None]) -> None:
    with SandboxPool(max_uses=None, limits=Limits(alive=2)) as pool:
        lease = pool.acquire(timeout=20)
        with lease as sandbox:
            with pytest.raises(RuntimeError, match=r"in use by another block: call acquire\(\)"):
                enter(lease)
            assert pool.alive_count == 1
            assert sandbox.exec(["ok"]).result().returncode == 0
        assert pool.idle_count == 1
        # One after the other is no fault, nor is an end too many.
        with lease as again:
            assert again is sandbox
        lease.__exit__(None)
        assert pool.idle_count == 1


def test_a_lease_that_got_nothing_can_be_entered_again(service: Service) -> None:
    with SandboxPool(max_uses=None, limits=Limits(alive=1)) as pool:
        lease = pool.acquire(timeout=0.05)
        with pool.acquire(timeout=20), pytest.raises(cwsandbox.SandboxTimeoutError), lease:
            pass
        with lease as sandbox:
            assert sandbox.exec(["ok"]).result().returncode == 0
