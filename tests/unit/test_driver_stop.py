"""A sandbox that is stopped, at every moment of its life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cwsandbox import SandboxStatus, exceptions
from cwsandbox._lifecycle.lifecycle import Phase
from cwsandbox._service.rpc import Code
from unit.life import GONE, LOST, NOT_FOUND, Life, after, live
from unit.service import deleted, failure, now, sandbox

# ---- stop ----


def stop(
    grace: float = 10.0, missing_ok: bool = False
) -> Callable[[Life], Coroutine[Any, Any, None]]:
    async def steps(life: Life) -> None:
        await life.driver.stop(grace, missing_ok)

    return steps


ENDED = [sandbox("terminating"), sandbox("running"), sandbox("completed")]


def test_stop() -> None:
    life = live(stop(), sandbox("running"), GetSandbox=list(ENDED))
    assert life.methods() == ["Delete", "Get", "Get", "Get"]
    (sent,) = life.service.of("DeleteSandbox")
    assert sent.request == {"sandbox_id": "sb-1", "grace_period_seconds": 10}
    assert sent.timeout == 20.0
    assert (life.state.phase, life.state.status) == (Phase.TERMINAL, SandboxStatus.COMPLETED)
    assert life.core.log == ["open", "close"]
    assert "has been stopped" in str(life.core.failures[0])


@pytest.mark.parametrize(
    ("grace", "sent", "timeout"), [(0.0, None, 10.0), (2.1, 3, 13.0), (30.0, 30, 40.0)]
)
def test_grace(grace: float, sent: int | None, timeout: float) -> None:
    life = live(stop(grace), sandbox("running"), GetSandbox=list(ENDED))
    request = life.service.of("DeleteSandbox")[0]
    assert request.request.get("grace_period_seconds") == sent
    assert request.timeout == timeout


def test_a_final_state_in_the_answer_saves_the_poll() -> None:
    life = live(stop(), sandbox("running"), DeleteSandbox=[deleted("terminated")])
    assert life.methods() == ["Delete"]


def test_an_answer_without_state_is_no_end() -> None:
    silent = {"sandbox": {"sandbox_id": "sb-1"}}
    life = live(stop(), sandbox("running"), DeleteSandbox=[silent], GetSandbox=list(ENDED))
    assert len(life.service.of("GetSandbox")) == 3


def test_stop_before_start_is_for_good() -> None:
    async def steps(life: Life) -> None:
        await life.driver.stop(10, False)
        await life.driver.stop(10, False)
        with pytest.raises(exceptions.SandboxNotRunningError, match="has been stopped"):
            await life.driver.start()
        with pytest.raises(exceptions.SandboxNotRunningError, match="cancelled before starting"):
            await life.driver.wait_running(None)
        with pytest.raises(exceptions.SandboxNotRunningError, match="cancelled before starting"):
            await life.driver.wait_complete(None, True)

    life = live(steps)
    assert life.methods() == []
    assert life.core.log == ["close"]


def test_stop_during_create_deletes_what_was_created() -> None:
    async def steps(life: Life) -> None:
        starting = asyncio.create_task(life.driver.start())
        await asyncio.sleep(1)
        await life.driver.stop(10, False)
        await starting

    life = live(steps, CreateSandbox=[after(5, sandbox("creating"))], GetSandbox=list(ENDED))
    assert life.methods() == ["Create", "Delete", "Get", "Get", "Get"]
    assert life.state.phase is Phase.TERMINAL


def test_stop_during_a_create_that_nobody_waits_for_any_more() -> None:
    async def steps(life: Life) -> None:
        starting = asyncio.create_task(life.driver.start())
        await asyncio.sleep(1)
        starting.cancel()
        await asyncio.sleep(0)
        await life.driver.stop(10, False)

    life = live(steps, CreateSandbox=[after(5, sandbox("creating"))], GetSandbox=list(ENDED))
    assert life.methods()[:2] == ["Create", "Delete"]


def test_stop_right_after_a_command_asked_for_the_start() -> None:
    async def steps(life: Life) -> None:
        life.driver.serve_commands()
        await life.driver.stop(10, False)
        await asyncio.sleep(1)

    life = live(steps, GetSandbox=list(ENDED))
    assert life.methods().count("Create") == life.methods().count("Delete")
    assert life.core.is_closed


def test_stop_during_a_create_that_fails() -> None:
    async def steps(life: Life) -> None:
        starting = asyncio.create_task(life.driver.start())
        await asyncio.sleep(1)
        await life.driver.stop(10, False)
        with pytest.raises(exceptions.SandboxUnavailableError):
            await starting

    life = live(steps, CreateSandbox=[after(5, LOST)])
    assert life.state.phase is Phase.CANCELLED


def test_concurrent_stops_are_one() -> None:
    async def steps(life: Life) -> None:
        await asyncio.gather(*(life.driver.stop(10, False) for _ in range(4)))
        await life.driver.stop(10, False)

    life = live(steps, sandbox("running"), GetSandbox=list(ENDED))
    assert life.methods().count("Delete") == 1


def test_a_cancelled_stop_goes_on_for_others() -> None:
    async def steps(life: Life) -> None:
        first = asyncio.create_task(life.driver.stop(10, False))
        second = asyncio.create_task(life.driver.stop(10, False))
        await asyncio.sleep(0.1)
        first.cancel()
        await second

    assert live(steps, sandbox("running"), GetSandbox=list(ENDED)).state.is_over


def test_a_refused_stop_changes_nothing_and_can_be_repeated() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxError):
            await life.driver.stop(10, False)
        assert life.state.phase is Phase.RUNNING
        assert life.core.log == ["open"]
        await life.driver.stop(10, False)

    live(steps, sandbox("running"), DeleteSandbox=[failure(Code.INTERNAL), deleted("terminated")])


@pytest.mark.parametrize("refusal", [NOT_FOUND, GONE])
def test_stop_of_a_missing_sandbox(refusal: Any) -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxNotFoundError) as raised:
            await life.driver.stop(10, False)
        assert raised.value.sandbox_id == "sb-1"
        assert life.state.phase is Phase.RUNNING
        await life.driver.stop(10, True)

    life = live(steps, sandbox("running"), DeleteSandbox=[refusal])
    assert (life.state.phase, life.state.status) == (Phase.TERMINAL, SandboxStatus.TERMINATED)
    assert life.core.is_closed
    assert life.service.of("DeleteSandbox")[1].request["allow_missing"] is True


def test_only_not_found_is_missing() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxError):
            await life.driver.stop(10, True)

    live(steps, sandbox("running"), DeleteSandbox=[failure(Code.INTERNAL)])


def test_an_empty_answer_means_gone_if_that_is_ok() -> None:
    life = live(stop(missing_ok=True), sandbox("running"), DeleteSandbox=[deleted(None)])
    assert life.methods() == ["Delete"]
    assert life.state.status is SandboxStatus.TERMINATED


def test_a_joiner_may_not_mind_that_it_is_missing() -> None:
    async def steps(life: Life) -> None:
        first = asyncio.create_task(life.driver.stop(10, False))
        await asyncio.sleep(0.1)
        await life.driver.stop(10, True)
        with pytest.raises(exceptions.SandboxNotFoundError):
            await first

    life = live(steps, sandbox("running"), DeleteSandbox=[after(1, NOT_FOUND)])
    assert life.state.is_over


def test_stop_of_one_that_others_stop_only_waits() -> None:
    life = live(stop(), sandbox("terminating"), GetSandbox=[sandbox("completed", exit_code=0)])
    assert life.methods() == ["Get"]
    assert life.core.is_closed
    assert not life.state.stop_owned


def test_stop_of_an_ended_one_does_nothing() -> None:
    assert live(stop(), sandbox("failed")).methods() == []


def test_stop_gives_up_after_its_time() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxTerminalStateUnavailableError, match="within 13s"):
            await life.driver.stop(3, False)
        assert now() == 13.0
        looked = len(life.service.sent)
        await asyncio.sleep(100)
        assert len(life.service.sent) == looked

    life = live(steps, sandbox("running"), GetSandbox=[sandbox("terminating")])
    assert life.state.phase is Phase.STOPPING


def test_a_missing_record_after_a_stop_is_looked_for_a_little() -> None:
    looks = [NOT_FOUND, NOT_FOUND, sandbox("completed", exit_code=0)]
    life = live(stop(), sandbox("running"), GetSandbox=looks)
    assert life.service.times("GetSandbox") == [0.0, 0.2, 0.5]
    assert life.state.status is SandboxStatus.COMPLETED


def test_a_record_that_stays_missing() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxTerminalStateUnavailableError):
            await life.driver.stop(10, False)
        assert now() == 2.0

    live(steps, sandbox("running"), GetSandbox=[GONE])


def test_a_record_that_stays_missing_is_the_end_where_that_is_no_error() -> None:
    async def steps(life: Life) -> None:
        await life.driver.stop(10, True)
        assert life.state.phase is Phase.TERMINAL
        assert life.core.is_closed

    live(steps, sandbox("running"), GetSandbox=[GONE])


def test_a_missing_record_without_a_stop_is_final() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxNotFoundError):
            await life.driver.wait_complete(None, True)

    assert live(steps, sandbox("running"), GetSandbox=[NOT_FOUND]).methods() == ["Get"]


def test_who_waits_for_running_learns_of_the_stop_at_once() -> None:
    async def steps(life: Life) -> None:
        waiting = asyncio.create_task(life.driver.wait_running(None))
        await asyncio.sleep(1)
        stopping = asyncio.create_task(life.driver.stop(10, False))
        with pytest.raises(exceptions.SandboxNotRunningError, match="has been stopped"):
            await waiting
        assert now() == 1.0
        await stopping
        with pytest.raises(exceptions.SandboxTerminatedError):
            await life.driver.wait_running(None)
        with pytest.raises(exceptions.SandboxTerminatedError):
            await life.driver.wait_complete(None, True)

    live(steps, GetSandbox=[*[sandbox("creating")] * 4, sandbox("completed")])


def test_who_waits_for_the_end_learns_of_it_too() -> None:
    async def steps(life: Life) -> None:
        waiting = asyncio.create_task(life.driver.wait_complete(None, True))
        await asyncio.sleep(1)
        await life.driver.stop(10, False)
        with pytest.raises(exceptions.SandboxTerminatedError):
            await waiting

    live(steps, GetSandbox=[*[sandbox("running")] * 4, sandbox("completed")])


def test_no_exit_code_is_waited_for_after_a_stop() -> None:
    life = live(stop(), sandbox("running"), GetSandbox=[sandbox("completed")])
    assert life.methods() == ["Delete", "Get"]


# ---- repeated deletes ----


def test_delete_is_repeated_when_the_server_asks() -> None:
    busy = failure(Code.UNAVAILABLE, delay=0.5)
    life = live(stop(), sandbox("running"), DeleteSandbox=[busy, busy, deleted("terminated")])
    assert life.service.times("DeleteSandbox") == [0.0, 0.6, 1.2]
    assert [sent.timeout for sent in life.service.of("DeleteSandbox")] == [20.0, 19.4, 18.8]


def test_delete_is_tried_three_times() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxUnavailableError):
            await life.driver.stop(10, False)

    life = live(steps, sandbox("running"), DeleteSandbox=[failure(Code.UNAVAILABLE, delay=0)])
    assert life.methods() == ["Delete"] * 3


def test_not_found_on_a_repeated_delete_is_success() -> None:
    busy = failure(Code.UNAVAILABLE, delay=0)
    life = live(stop(), sandbox("running"), DeleteSandbox=[busy, NOT_FOUND])
    assert life.state.status is SandboxStatus.TERMINATED
