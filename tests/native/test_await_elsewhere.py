"""Awaiting where no event loop of asyncio's runs: an error that says so, at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest
import trio

from conformance.grpc_peer import GrpcPeer
from native.commands import MANY, finished, numbers


def drive(work: Callable[[], Awaitable[Any]]) -> None:
    """A coroutine stepped by hand."""
    work().__await__().send(None)  # type: ignore[attr-defined]


RUNNERS = [trio.run, drive]


@pytest.mark.parametrize("run", RUNNERS, ids=["trio", "by hand"])
def test_pending_result(core: ModuleType, run: Callable[..., Any]) -> None:
    promise = core.Promise()

    async def main() -> None:
        with pytest.raises(
            RuntimeError, match=r"asyncio.*uvloop.*trio.*result\(\) .*worker thread"
        ):
            await promise
        promise.set_result(3)
        assert await promise == 3
        raise EOFError

    with pytest.raises(EOFError):
        run(main)


@pytest.mark.parametrize("run", RUNNERS, ids=["trio", "by hand"])
def test_lines_that_are_there(sandbox: Any, peer: GrpcPeer, run: Callable[..., Any]) -> None:
    """Where reading them would have to let the loop go on."""
    import asyncio

    peer.command("numbers")(numbers)
    process = asyncio.run(finished(sandbox, MANY))

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"no running event loop: .*plain for"):
            async for _ in process.stdout:
                pass
        raise EOFError

    with pytest.raises(EOFError):
        run(main)
    assert sum(1 for _ in process.stdout) > 0


def test_in_a_thread_of_trios(core: ModuleType) -> None:
    """What the error recommends works."""
    promise = core.Promise()
    promise.set_result(4)

    async def main() -> None:
        assert await trio.to_thread.run_sync(promise.result) == 4

    trio.run(main)
