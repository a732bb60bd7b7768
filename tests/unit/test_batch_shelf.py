"""How a sandbox of a pool changes hands between threads."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from cwsandbox import Limits, SandboxPool
from cwsandbox._batch import shelf as module
from cwsandbox._batch.member import Member
from cwsandbox._batch.shelf import Shelf, Ticket
from cwsandbox._runtime import loop
from cwsandbox.exceptions import CWSandboxValidationError, SandboxError
from integration.env.wait import eventually
from unit.life import running_handle


def lent_out(shelf: Shelf) -> Member:
    """The only one that there may be; it stands for a sandbox that runs."""
    sandbox: Any = SimpleNamespace(sandbox_id="sb-1", _handle=running_handle())
    shelf.alive = 1
    return Member(sandbox, {}, 0.0, 0.0)


def test_one_that_comes_back_between_a_look_and_a_wait_is_not_overlooked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf = SandboxPool(max_uses=None, limits=Limits(alive=1))._shelf
    member = lent_out(shelf)
    look = shelf._spare

    def look_too_early() -> Member | None:
        found = look()
        if member not in shelf.idle:
            shelf.give_back(member, is_reusable=True)
        return found

    monkeypatch.setattr(shelf, "_spare", look_too_early)
    assert loop.submit(lambda: shelf.take({}, Ticket())).result(10) is member


def test_one_that_comes_for_somebody_who_has_gone_goes_back() -> None:
    shelf = SandboxPool(max_uses=5, limits=Limits(alive=1))._shelf
    member = lent_out(shelf)
    gone, here = Ticket(), Ticket()
    first = loop.submit(lambda: shelf.take({}, gone))
    eventually(lambda: len(shelf._waiting) == 1, "the first waits")
    second = loop.submit(lambda: shelf.take({}, here))
    eventually(lambda: len(shelf._waiting) == 2, "both wait")
    shelf.abandon(gone)
    shelf.give_back(member, is_reusable=True)
    assert second.result(10) is member
    assert here.member is member
    eventually(first._done, "the first has ended")
    assert member.uses == 1  # of which the one who had gone is none
    shelf.abandon(here)
    assert list(shelf.idle) == [member]


def test_one_that_is_looked_at_for_somebody_who_goes_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf = SandboxPool(max_uses=None, limits=Limits(alive=1))._shelf
    member = lent_out(shelf)
    shelf.give_back(member, is_reusable=True)
    looking = threading.Event()

    async def look(_: Member) -> bool:
        looking.set()
        await asyncio.sleep(60)
        return True

    with monkeypatch.context() as patched:
        patched.setattr(shelf, "_runs", look)
        first = loop.submit(lambda: shelf.take({}, Ticket()))
        assert looking.wait(10)
        first._cancel()
        eventually(lambda: member in shelf.idle, "it is back")
    assert loop.submit(lambda: shelf.take({}, Ticket())).result(10) is member


def test_one_that_is_too_old_is_not_lent_out(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = SandboxPool(max_uses=None, max_age_seconds=60, limits=Limits(alive=1))._shelf
    member = lent_out(shelf)
    ended = []

    async def end(sandbox: Any) -> None:
        ended.append(sandbox)
        shelf._ended()

    async def start(options: Any) -> Member:
        return lent_out(shelf)

    monkeypatch.setattr(shelf, "_end", end)
    monkeypatch.setattr(shelf, "_start", start)
    shelf.idle.append(member)  # born when the machine was
    assert shelf.take_idle({}) is None
    assert loop.submit(lambda: shelf.take({}, Ticket())).result(10) is not member
    assert ended == [member.sandbox]


@pytest.mark.parametrize(
    "failure",
    [
        SandboxError("no room"),
        CWSandboxValidationError("no such image"),
        ValueError("of a setup"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        BaseException("of a setup"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_whatever_keeps_one_from_being_ready_the_next_is_waited_with(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    shelf = SandboxPool(1)._shelf
    starts, pauses = [], []

    def pause(tries: int, hint: float | None) -> float:
        pauses.append(tries)
        return 0.0

    async def end(sandbox: Any) -> None:
        shelf._ended()

    async def start(options: Any) -> Member:
        starts.append(options)
        member = lent_out(shelf)
        if len(starts) <= 3:
            shelf._spawn(shelf._end(member.sandbox))  # as a sandbox that could not be used
            raise failure
        return member

    monkeypatch.setattr(module, "_PATIENCE", SimpleNamespace(_delay=pause))
    monkeypatch.setattr(shelf, "_end", end)
    monkeypatch.setattr(shelf, "_start", start)
    shelf.open()
    eventually(lambda: len(shelf.idle) == 1 and not shelf._tasks, "one is ready")
    assert (len(starts), pauses) == (4, [1, 2, 3])
    assert shelf._warming == 0
