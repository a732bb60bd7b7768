"""What a sandbox's endpoint refuses in mode "direct" because it moves away: sent again to where it has moved, once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import grpc
import pytest

from conformance.direct_peer import (
    RETIRING,
    Authority,
    DirectPeer,
    asked,
    data_calls,
    end_and_see,
    refusing,
    where,
)
from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import (
    Sandbox,
    SandboxNotRunningError,
    SandboxTimeoutError,
    SandboxUnavailableError,
)
from integration.env import eventually

pytestmark = pytest.mark.usefixtures("direct_settings")

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
# Of the test with something that takes milliseconds on an idle machine.
PATIENCE = 50.0


@pytest.fixture
def strict(gateway: GrpcPeer, direct: DirectPeer) -> Iterator[Sandbox]:
    """Connected to the endpoint."""
    with Sandbox.run(data_plane_mode="direct") as sandbox:
        assert where(sandbox) == "direct"
        yield sandbox


@pytest.fixture
def moved(
    strict: Sandbox,
    gateway: GrpcPeer,
    authority: Authority,
    make_direct: Callable[..., DirectPeer],
) -> DirectPeer:
    """Where the sandbox is now; the endpoint that it is connected to need not know yet."""
    peer = make_direct(name=b"moved")
    gateway.overrides["ConnectSandbox"] = authority.answer(peer.base_url)
    return peer


class Withheld:
    """An answer to ConnectSandbox that does not come before it is released."""

    def __init__(self, gateway: GrpcPeer) -> None:
        self._gateway = gateway
        self._event = gateway.event()
        self._before = asked(gateway)
        answer = gateway.overrides["ConnectSandbox"]

        async def wait(request: Any, context: Any) -> Any:
            await self._event.wait()
            return await answer(request, context)

        gateway.overrides["ConnectSandbox"] = wait

    def until_asked(self) -> None:
        """An operation has been refused, and waits."""
        eventually(lambda: asked(self._gateway) > self._before, "a certificate is asked for")

    def release(self) -> None:
        self._gateway.set(self._event)


def attempts(sandbox: Sandbox) -> dict[str, Callable[[], Any]]:
    return {
        "exec": lambda: where(sandbox),
        "shell": lambda: sandbox.shell(["where"], width=80, height=24).result().returncode,
        "logs": lambda: list(sandbox.stream_logs()),
        "followed": lambda: list(sandbox.stream_logs(follow=True)),
        "read": lambda: sandbox.read_file("/where").result(),
        "write": lambda: sandbox.write_file("/new", b"content").result(),
    }


SERVED = {
    "exec": "moved",
    "shell": 0,
    "logs": ["moved\n"],
    "followed": ["moved\n"],
    "read": b"moved",
    "write": None,
}


@pytest.mark.parametrize("kind", SERVED)
def test_it_is_sent_again_once_there_is_another_connection(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, moved: DirectPeer, kind: str
) -> None:
    begun = refusing(direct, UNAVAILABLE, RETIRING)
    assert attempts(strict)[kind]() == SERVED[kind]
    assert (len(begun), moved.calls()) == (1, 1)
    assert "/new" not in direct.files
    assert moved.files.get("/new") == (b"content" if kind == "write" else None)
    # It is the other connection that is used from now on.
    for name, attempt in attempts(strict).items():
        assert attempt() == SERVED[name]
    assert (len(begun), asked(gateway), data_calls(gateway)) == (1, 2, 0)


@pytest.mark.parametrize("kind", SERVED)
def test_one_that_finds_no_connection_any_more_goes_with_another(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, moved: DirectPeer, kind: str
) -> None:
    end_and_see(direct)
    assert attempts(strict)[kind]() == SERVED[kind]
    assert (moved.calls(), asked(gateway), data_calls(gateway)) == (1, 2, 0)


@pytest.mark.parametrize("kind", ["exec", "shell", "logs", "read", "write"])
def test_one_that_finds_no_connection_and_gets_no_other(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, kind: str
) -> None:
    end_and_see(direct)
    with pytest.raises(SandboxUnavailableError, match="refused"):
        attempts(strict)[kind]()
    assert data_calls(gateway) == 0


def test_large_content_goes_with_it(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, moved: DirectPeer
) -> None:
    content = bytes(range(256)) * 12_000
    begun = refusing(direct, UNAVAILABLE, RETIRING)
    strict.write_file("/new", content).result()
    assert moved.files["/new"] == content
    assert (len(begun), asked(gateway)) == (1, 2)


def test_input_that_was_written_before_goes_with_it(
    strict: Sandbox, direct: DirectPeer, moved: DirectPeer
) -> None:
    written = direct.event()

    @direct.command("cat")
    async def refuse(call: Call) -> None:
        await written.wait()
        await direct.fail(call.context, UNAVAILABLE, RETIRING)

    process = strict.exec(["cat"], stdin=True)
    process.stdin.write(b"typed ")
    process.stdin.write(b"before")
    process.stdin.close()
    direct.set(written)
    assert process.result().stdout == "typed before"


def test_those_that_are_refused_together_share_one_certificate(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, moved: DirectPeer
) -> None:
    begun: list[Call] = []
    all_begun = direct.event()

    @direct.command("where")
    async def refuse(call: Call) -> None:
        begun.append(call)
        await all_begun.wait()
        await direct.fail(call.context, UNAVAILABLE, RETIRING)

    processes = [strict.exec(["where"]) for _ in range(20)]
    eventually(lambda: len(begun) == 20, "all have begun", PATIENCE)
    direct.set(all_begun)
    assert {process.result().stdout for process in processes} == {"moved"}
    assert (len(begun), moved.calls(), asked(gateway)) == (20, 20, 2)


def test_one_that_is_refused_late_takes_the_connection_that_is_there(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, moved: DirectPeer
) -> None:
    late = direct.event()

    @direct.command("late")
    async def refuse(call: Call) -> None:
        await late.wait()
        await direct.fail(call.context, UNAVAILABLE, RETIRING)

    @moved.command("late")
    async def serve(call: Call) -> None:
        await call.out(b"after all")
        await call.exit(0)

    process = strict.exec(["late"])
    eventually(lambda: direct.calls() == 2, "it has begun", PATIENCE)
    refusing(direct, UNAVAILABLE, RETIRING)
    assert where(strict) == "moved"
    direct.set(late)
    assert process.result().stdout == "after all"
    assert asked(gateway) == 2


@pytest.mark.parametrize("kind", ["exec", "logs", "read", "write"])
def test_one_that_is_refused_there_too_fails(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, moved: DirectPeer, kind: str
) -> None:
    begun = refusing(direct, UNAVAILABLE, RETIRING)
    begun_there = refusing(moved, UNAVAILABLE, RETIRING)
    with pytest.raises(SandboxUnavailableError):
        attempts(strict)[kind]()
    assert (len(begun), len(begun_there), asked(gateway)) == (1, 1, 2)


@pytest.mark.parametrize("kind", ["exec", "logs", "read", "write"])
def test_what_may_have_begun_is_not_done_twice(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, moved: DirectPeer, kind: str
) -> None:
    begun = refusing(direct, UNAVAILABLE, None)
    with pytest.raises(SandboxUnavailableError):
        attempts(strict)[kind]()
    assert (len(begun), moved.calls(), asked(gateway)) == (1, 0, 1)


@pytest.mark.parametrize("kind", ["exec", "logs", "read", "write"])
def test_without_another_connection_it_fails_as_it_was_refused(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, kind: str
) -> None:
    begun = refusing(direct, UNAVAILABLE, RETIRING)
    gateway.overrides["ConnectSandbox"] = gateway._unimplemented
    with pytest.raises(SandboxUnavailableError) as caught:
        attempts(strict)[kind]()
    assert "directly" not in str(caught.value)
    assert (len(begun), asked(gateway)) == (1, 2)


def test_it_is_not_sent_where_it_is_not_permitted(
    strict: Sandbox, gateway: GrpcPeer, authority: Authority, direct: DirectPeer, moved: DirectPeer
) -> None:
    answer = authority.answer(moved.base_url, granted_permissions=[3, 5])
    gateway.overrides["ConnectSandbox"] = answer
    refusing(direct, UNAVAILABLE, RETIRING)
    with pytest.raises(SandboxUnavailableError):
        where(strict)
    assert moved.calls() == 0
    assert strict.read_file("/where").result() == b"moved"


def test_cancelled_while_it_waits(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, moved: DirectPeer
) -> None:
    refusing(direct, UNAVAILABLE, RETIRING)
    withheld = Withheld(gateway)
    process = strict.exec(["where"])
    read = strict.read_file("/where")
    kept = strict.exec(["where"])
    withheld.until_asked()
    assert process.cancel()
    assert read._cancel()
    with pytest.raises(CancelledError):
        process.result()
    with pytest.raises(CancelledError):
        read.result()
    withheld.release()
    assert kept.result().stdout == "moved"
    assert moved.calls() == 1


def test_its_time_limit_goes_on_while_it_waits(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, moved: DirectPeer
) -> None:
    refusing(direct, UNAVAILABLE, RETIRING)
    withheld = Withheld(gateway)
    process = strict.exec(["where"], timeout_seconds=3.0)
    withheld.until_asked()
    read = strict.read_file("/where", timeout_seconds=2.0)
    for operation in (process, read):
        with pytest.raises(SandboxTimeoutError):
            operation.result()
    withheld.release()
    assert where(strict) == "moved"
    assert moved.calls() == 1


def test_the_sandbox_is_stopped_while_it_waits(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, moved: DirectPeer
) -> None:
    refusing(direct, UNAVAILABLE, RETIRING)
    withheld = Withheld(gateway)
    process = strict.exec(["where"])
    log = strict.stream_logs()
    withheld.until_asked()
    strict.stop().result()
    with pytest.raises(SandboxNotRunningError):
        process.result()
    with pytest.raises((SandboxNotRunningError, SandboxUnavailableError)):
        list(log)
    assert moved.calls() == 0


def test_nobody_has_the_sandbox_any_more_while_it_waits(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, moved: DirectPeer
) -> None:
    again = Sandbox.from_id("sb-1", data_plane_mode="direct").result()
    assert where(again) == "moved"
    refusing(moved, UNAVAILABLE, RETIRING)
    withheld = Withheld(gateway)
    process = again.exec(["where"])
    withheld.until_asked()
    del again
    gc.collect()

    @moved.command("where")
    async def serve(call: Call) -> None:
        await call.out(b"after all")
        await call.exit(0)

    withheld.release()
    assert process.result().stdout == "after all"


def test_nobody_has_anything_any_more_when_it_is_refused(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, moved: DirectPeer
) -> None:
    """Then there is nobody to tell, and nothing is left behind."""
    again = Sandbox.from_id("sb-1", data_plane_mode="direct").result()
    assert where(again) == "moved"
    before = asked(gateway)
    ended: list[str] = []
    dropped = moved.event()

    @moved.command("where")
    async def refuse(call: Call) -> None:
        await dropped.wait()
        ended.append("refused")
        await moved.fail(call.context, UNAVAILABLE, RETIRING)

    process = again.exec(["where"])
    eventually(lambda: moved.calls() == 2, "it has begun", PATIENCE)
    del process, again
    gc.collect()
    moved.set(dropped)
    eventually(lambda: ended, "it has been refused", PATIENCE)
    assert sum(where(strict) == "direct" for _ in range(5)) == 5
    assert asked(gateway) == before


def test_awaited_in_an_event_loop(
    strict: Sandbox, gateway: GrpcPeer, direct: DirectPeer, moved: DirectPeer
) -> None:
    begun = refusing(direct, UNAVAILABLE, RETIRING)

    async def main() -> list[str]:
        results = await asyncio.gather(*(strict.exec(["where"]) for _ in range(3)))
        return [str(result.stdout) for result in results]

    assert asyncio.run(main()) == ["moved"] * 3
    assert (1 <= len(begun) <= 3, asked(gateway)) == (True, 2)
