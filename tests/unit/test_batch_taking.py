"""Whoever waits for a sandbox of a pool and goes away, at whatever moment, takes none with it."""

from __future__ import annotations

import asyncio
import dis
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from cwsandbox import Limits, SandboxPool
from cwsandbox._batch import taking
from cwsandbox._batch.member import Member
from cwsandbox._batch.shelf import Shelf, Ticket
from cwsandbox._runtime import loop
from cwsandbox._types.enums import SandboxStatus
from cwsandbox.exceptions import SandboxTimeoutError
from integration.env.wait import eventually
from unit.life import running_handle

# No way to a sandbox waits so often.
STEPS = 40


class FakeSandbox:
    """Starts, is looked at and stops in a few turns of the loop each."""

    made: list[FakeSandbox]
    runs = True

    def __init__(self, **_: Any) -> None:
        self.has_ended = False
        self.sandbox_id = "sb-1"
        self._handle = running_handle()
        FakeSandbox.made.append(self)

    async def start(self) -> None:
        await _turns()

    def __await__(self) -> Any:
        return _turns().__await__()

    def _driving(self) -> FakeSandbox:
        return self

    async def get_status(self) -> SandboxStatus:
        await _turns()
        return SandboxStatus.RUNNING if self.runs else SandboxStatus.FAILED

    async def stop(self, **_: Any) -> None:
        await _turns()
        self.has_ended = True


async def _turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Of at most one sandbox."""
    shelf = SandboxPool(max_uses=None, limits=Limits(alive=1, starting=1))._shelf
    monkeypatch.setattr("cwsandbox._sandbox.sandbox.Sandbox", FakeSandbox)
    monkeypatch.setattr(FakeSandbox, "made", [], raising=False)
    monkeypatch.setattr(shelf._session, "_own", lambda _: None)
    return shelf


def idle(shelf: Shelf, options: dict[str, Any]) -> FakeSandbox:
    """One that is there already, and has been for long."""
    sandbox: Any = FakeSandbox()
    shelf.alive += 1
    shelf.idle.append(Member(sandbox, options, 0.0, 0.0))
    return sandbox


def nothing_there(shelf: Shelf) -> None:
    pass


def one_to_be_looked_at(shelf: Shelf) -> None:
    idle(shelf, {})


def one_that_has_ended(shelf: Shelf) -> None:
    idle(shelf, {}).runs = False


def one_for_something_else(shelf: Shelf) -> None:
    idle(shelf, {"container_image": "other"})


SITUATIONS = [nothing_there, one_to_be_looked_at, one_that_has_ended, one_for_something_else]


async def settle(shelf: Shelf) -> None:
    while shelf._tasks:
        await asyncio.wait(shelf._tasks)
        await _turns()


def assert_none_lost(shelf: Shelf) -> None:
    """Each sandbox can be lent out or has ended, and the count is that of those that have not."""
    ready: list[Any] = [member.sandbox for member in shelf.idle]
    assert [one for one in FakeSandbox.made if not one.has_ended] == ready
    assert shelf.alive == len(ready)
    assert not shelf._waiting


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "abandoned"])
@pytest.mark.parametrize("prepare", SITUATIONS)
def test_at_each_step(shelf: Shelf, prepare: Callable[[Shelf], None], is_cancelled: bool) -> None:
    """A coroutine is cancelled, a thread only goes away; then the next one gets a sandbox."""

    async def go_away(steps: int) -> bool:
        prepare(shelf)
        ticket = Ticket()
        task = asyncio.create_task(shelf.take({}, ticket))
        await _turns(steps)
        was_done = task.done()
        if is_cancelled:
            task.cancel()
        shelf.abandon(ticket)
        await asyncio.wait([task])
        await _turns()
        await settle(shelf)
        assert_none_lost(shelf)
        async with asyncio.timeout(10):
            member = await shelf.take({}, Ticket())
        assert not member.sandbox.has_ended  # type: ignore[attr-defined]
        await shelf._end(member.sandbox)
        FakeSandbox.made.clear()
        return was_done

    async def main() -> list[bool]:
        return [await go_away(steps) for steps in range(STEPS)]

    done = loop.submit(main).result(30)
    assert (done[0], done[-1]) == (False, True)  # from before its first step to after its last one


async def test_a_cancelled_coroutine_waits_no_more_on_the_policy_loop(shelf: Shelf) -> None:
    shelf.alive = 1  # lent out
    waiting = asyncio.create_task(taking.take_async(shelf, {}))
    while not shelf._waiting:
        await asyncio.sleep(0.001)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    eventually(lambda: not shelf._waiting, "nobody waits")


def test_a_thread_that_waits_too_long_waits_no_more_on_the_policy_loop(shelf: Shelf) -> None:
    shelf.alive = 1
    with pytest.raises(SandboxTimeoutError, match=r"free within 0\.01 seconds"):
        taking.take(shelf, {}, 0.01)
    assert not shelf._waiting


def test_an_interrupted_thread_waits_no_more_on_the_policy_loop(shelf: Shelf) -> None:
    shelf.alive = 1
    caller = threading.get_ident()

    def interrupt() -> None:
        eventually(lambda: len(shelf._waiting) == 1, "it waits")
        signal.pthread_kill(caller, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    sender = threading.Thread(target=interrupt)
    try:
        sender.start()
        with pytest.raises(KeyboardInterrupt):
            taking.take(shelf, {}, None)
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    eventually(lambda: not shelf._waiting, "nobody waits")


class Interrupt:
    """Ctrl-C before the n-th instruction of a function, counted from the first one that has something to lose."""

    def __init__(self, at: int, function: Callable[..., object]) -> None:
        self._left = at
        self._code = function.__code__  # type: ignore[attr-defined]
        self.came = False

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code is not self._code:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and "ticket" in frame.f_locals and not self.came:
            # No signal handler runs between the value and its return.
            name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            self._left -= 1
            if self._left < 0 and name != "RETURN_VALUE":
                self.came = True
                raise KeyboardInterrupt
        return self


def test_an_interrupt_at_each_instruction(shelf: Shelf) -> None:
    idle(shelf, {}).runs = True
    before = sys.gettrace()
    at = 0
    while True:
        interrupt = Interrupt(at, taking.take)
        try:
            sys.settrace(interrupt)
            member = taking.take(shelf, {}, 10)
        except KeyboardInterrupt:
            assert interrupt.came
        else:
            shelf.give_back(member, is_reusable=True)
        finally:
            sys.settrace(before)
        eventually(lambda: len(shelf.idle) == 1 and not shelf._waiting, "it is back")
        if not interrupt.came:
            break
        at += 1
    assert at > 5
