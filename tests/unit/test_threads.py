"""Calls on threads of their own: all at once up to a number, in order beyond, each under its caller's time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from cwsandbox._runtime import threads
from cwsandbox._runtime.threads import THREADS_MAX, TRANSFERS_MAX, Call, Group


def running_threads() -> int:
    return sum(thread.name == "cwsandbox-call" for thread in threading.enumerate())


def refused(thread: threading.Thread) -> None:
    """Stands for ``Thread.start`` where the system has no more threads."""
    raise RuntimeError("can't start new thread")


async def test_the_value_comes_from_another_thread() -> None:
    call = Call(threading.current_thread)
    thread = await call.result(20)
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert await call.result(20) is thread


@pytest.mark.parametrize(
    "failure",
    [
        OSError("x"),
        TimeoutError("x"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        BaseException(),
    ],
)
async def test_each_exception_is_passed_on(failure: BaseException) -> None:
    def fail() -> None:
        raise failure

    caught: BaseException | None = None
    try:
        await Call(fail).result(20)
    except BaseException as raised:
        caught = raised
    assert caught is failure


@pytest.mark.parametrize("failure", [StopIteration(1), asyncio.CancelledError()])
async def test_those_that_mean_something_to_a_coroutine_are_wrapped(failure: BaseException) -> None:
    def fail() -> None:
        raise failure

    with pytest.raises(RuntimeError) as raised:
        await Call(fail).result(20)
    assert raised.value.__cause__ is failure


async def test_many_at_once_and_no_more() -> None:
    together = threading.Barrier(THREADS_MAX)
    before = running_threads()
    calls = [Call(lambda: together.wait(20)) for _ in range(3 * THREADS_MAX)]
    assert running_threads() - before <= THREADS_MAX
    await asyncio.gather(*(call.result(20) for call in calls))


async def test_transfers_leave_the_threads_of_other_calls_alone(hang: Callable[[], None]) -> None:
    transfers = [Call(hang, Group.TRANSFERS) for _ in range(2 * TRANSFERS_MAX)]
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("cwsandbox-transfer") == TRANSFERS_MAX
    assert await Call(lambda: "value").result(20) == "value"
    with pytest.raises(TimeoutError):
        await transfers[-1].result(0)
    assert transfers[-1].is_withdrawn
    hang.release.set()  # type: ignore[attr-defined]
    await asyncio.gather(*(transfer.result(None) for transfer in transfers[:-1]))


async def test_those_that_hang_take_no_more_threads_and_the_others_give_up(
    hang: Callable[[], None],
) -> None:
    ran: list[int] = []
    hanging = [Call(hang) for _ in range(THREADS_MAX)]
    for _ in hanging:  # one that had not begun would be withdrawn, and leave its thread to the next
        assert hang.begun.acquire(timeout=20)  # type: ignore[attr-defined]
    with pytest.raises(TimeoutError):
        await hanging[0].result(0)
    waiting = Call(lambda: ran.append(1))
    with pytest.raises(TimeoutError):
        await waiting.result(0.01)
    assert waiting.is_withdrawn
    assert not hanging[0].is_withdrawn
    hang.release.set()  # type: ignore[attr-defined]
    await asyncio.gather(*(call.result(20) for call in hanging))
    await Call(lambda: None).result(20)
    assert ran == []


async def test_one_that_gives_up_leaves_it_to_the_others(hang: Callable[[], None]) -> None:
    blocked = [Call(hang) for _ in range(THREADS_MAX)]
    shared = Call(lambda: "value")
    other = asyncio.create_task(shared.result(20))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await shared.result(0)
    hang.release.set()  # type: ignore[attr-defined]
    assert await other == "value"
    await asyncio.gather(*(call.result(20) for call in blocked))


async def test_where_no_more_threads_may_be_had_one_that_runs_takes_it(
    hang: Callable[[], None], no_threads_yet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Call(hang)
    monkeypatch.setattr(threading.Thread, "start", refused)
    others = [Call(lambda: "value") for _ in range(3)]
    with pytest.raises(TimeoutError):
        await others[0].result(0)
    assert others[0].is_withdrawn
    hang.release.set()  # type: ignore[attr-defined]
    assert await others[1].result(20) == "value"
    assert await others[2].result(20) == "value"
    await first.result(20)


async def test_a_refused_thread_is_an_error_when_none_runs(
    no_threads_yet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    with monkeypatch.context() as refusing:
        refusing.setattr(threading.Thread, "start", refused)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                Call(lambda: ran.append(1))
    await Call(lambda: ran.append(2)).result(20)
    assert ran == [2]  # what its caller was told had failed did not run


@pytest.fixture
def no_threads_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the other tests may be about to end."""
    monkeypatch.setattr(threads, "_threads", threads._fresh())


@pytest.fixture
def hang() -> Callable[[], None]:
    """Hangs until its event ``release`` is set. ``begun`` counts those that do."""
    release, begun = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        begun.release()
        assert release.wait(20)

    hang.release, hang.begun = release, begun  # type: ignore[attr-defined]
    return hang
