"""A sandbox that starts, runs and ends, against a scripted service in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest

from cwsandbox import SandboxStatus, exceptions
from cwsandbox._lifecycle.lifecycle import Phase
from cwsandbox._service.rpc import Code
from unit.life import LOST, NOT_FOUND, Life, after, live
from unit.service import EPOCH, deleted, failure, now, sandbox

# ---- start ----


def test_start_is_accepted_not_running() -> None:
    async def steps(life: Life) -> None:
        assert life.state.status is None
        await life.driver.start()
        await life.driver.start()

    life = live(steps)
    assert life.methods() == ["Create"]
    assert (life.handle.sandbox_id, life.state.status) == ("sb-1", SandboxStatus.PENDING)
    assert life.state.confirmed_at == EPOCH
    assert life.core.log == []


def test_concurrent_starts_send_one_create() -> None:
    async def steps(life: Life) -> None:
        await asyncio.gather(*(life.driver.start() for _ in range(5)))

    assert live(steps, CreateSandbox=[after(3, sandbox("creating"))]).methods() == ["Create"]


def test_a_failed_start_can_be_repeated() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxUnavailableError):
            await life.driver.start()
        assert life.state.phase is Phase.NOT_STARTED
        await life.driver.start()

    assert live(steps, CreateSandbox=[LOST, sandbox("creating")]).handle.sandbox_id == "sb-1"


def test_a_given_up_start_still_creates() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(life.driver.start(), 1)
        await asyncio.sleep(10)

    life = live(steps, CreateSandbox=[after(3, sandbox("creating"))])
    assert life.handle.sandbox_id == "sb-1"


# ---- waiting for running ----


def test_polling_pace() -> None:
    async def steps(life: Life) -> None:
        await life.driver.wait_running(None)

    pending = [sandbox("pending"), sandbox("preparing"), sandbox("creating")]
    life = live(steps, GetSandbox=[*pending, *[sandbox("creating")] * 3, sandbox("running")])
    assert life.service.times("GetSandbox") == [0.0, 0.2, 0.5, 0.95, 1.45, 1.95, 2.45]
    assert {sent.timeout for sent in life.service.of("GetSandbox")} == {15.0}
    assert life.core.log == ["open"]


@pytest.mark.parametrize("url", ["local", "unix:///run/x"])
def test_a_daemon_on_this_host_is_asked_more_often(url: str) -> None:
    async def steps(life: Life) -> None:
        await life.driver.wait_running(None)

    looks = [sandbox("creating"), sandbox("creating"), sandbox("running")]
    life = live(steps, GetSandbox=looks, given={"base_url": url})
    assert life.service.times("GetSandbox") == [0.0, 0.01, 0.025]


def test_polling_slows_down_after_the_start() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxTimeoutError, match="ready within 30s") as caught:
            await life.driver.wait_running(30)
        late = caught.value
        assert late.timeout == 30
        assert (late.cmd, late.output, late.stdout, late.stderr) == (None, None, None, None)

    times = live(steps, GetSandbox=[sandbox("creating")]).service.times("GetSandbox")
    pauses = [round(later - earlier, 3) for earlier, later in pairwise(times)]
    assert set(pauses[3:]) == {0.5, 2.0}
    assert [pause for time, pause in zip(times, pauses, strict=False) if time < 15][-1] == 0.5
    assert pauses[-1] == 2.0


@pytest.mark.parametrize("status", ["running", "paused", "completed", "terminating"])
def test_good_ends_of_waiting(status: str) -> None:
    async def steps(life: Life) -> None:
        await life.driver.wait_running(None)

    life = live(steps, GetSandbox=[sandbox(status, exit_code=0)])
    assert life.state.status == status
    assert life.core.is_open == (status in ("running", "paused"))


@pytest.mark.parametrize(
    ("status", "cls"),
    [("failed", exceptions.SandboxFailedError), ("terminated", exceptions.SandboxTerminatedError)],
)
def test_bad_ends_of_waiting(status: str, cls: type[Exception]) -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(cls):
            await life.driver.wait_running(None)

    live(steps, GetSandbox=[sandbox(status)])


def test_one_seen_to_run_is_looked_at_again() -> None:
    async def steps(life: Life) -> None:
        await asyncio.gather(*(life.driver.wait_running(None) for _ in range(3)))

    assert live(steps, sandbox("running")).methods() == ["Get"]
    found = live(steps, sandbox("running"), GetSandbox=[sandbox("creating"), sandbox("running")])
    assert found.methods() == ["Get", "Get"]


@pytest.mark.parametrize(
    ("reply", "cls"),
    [
        (sandbox("failed"), exceptions.SandboxFailedError),
        (sandbox("terminated"), exceptions.SandboxTerminatedError),
        (NOT_FOUND, exceptions.SandboxNotFoundError),
    ],
)
def test_one_that_ended_unseen(reply: Any, cls: type[Exception]) -> None:
    async def steps(life: Life) -> None:
        await life.driver.start()
        assert life.state.phase is Phase.RUNNING
        with pytest.raises(cls):
            await life.driver.wait_running(5)

    live(steps, CreateSandbox=[sandbox("running")], GetSandbox=[reply])


@pytest.mark.parametrize("look", [LOST, after(60, sandbox("running"))], ids=["lost", "late"])
def test_one_that_cannot_be_asked_is_not_said_to_run(look: Any) -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxTimeoutError, match="still runs within 5s") as caught:
            await life.driver.wait_running(5)
        assert caught.value.timeout == 5
        assert life.state.phase is Phase.RUNNING

    live(steps, sandbox("running"), GetSandbox=[look])


def test_a_new_one_that_runs_at_once_needs_no_look() -> None:
    async def steps(life: Life) -> None:
        await life.driver.wait_running(None)

    assert live(steps, CreateSandbox=[sandbox("running")]).methods() == ["Create"]


def test_the_last_waiter_that_gives_up_ends_the_poll() -> None:
    async def steps(life: Life) -> None:
        for wait in (
            life.driver.wait_running,
            lambda limit: life.driver.wait_complete(limit, True),
        ):
            for limit in (3, 5):
                with pytest.raises(exceptions.SandboxTimeoutError):
                    await wait(limit)
            cancelled = asyncio.create_task(wait(None))
            await asyncio.sleep(1)
            cancelled.cancel()
            await asyncio.sleep(1)
            looked = len(life.service.sent)
            await asyncio.sleep(100)
            assert len(life.service.sent) == looked

    live(steps, GetSandbox=[sandbox("creating")])


def test_a_command_s_wait_ends_its_poll_too() -> None:
    async def steps(life: Life) -> None:
        life.driver.serve_commands()
        await asyncio.sleep(301)
        assert [type(error) for error in life.core.failures] == [exceptions.SandboxTimeoutError]
        looked = len(life.service.sent)
        await asyncio.sleep(100)
        assert len(life.service.sent) == looked

    live(steps, GetSandbox=[sandbox("creating")])


def test_waiters_share_one_poll_and_leave_it_to_the_others() -> None:
    async def steps(life: Life) -> None:
        impatient = asyncio.create_task(life.driver.wait_running(1))
        cancelled = asyncio.create_task(life.driver.wait_running(None))
        patient = asyncio.create_task(life.driver.wait_running(None))
        await asyncio.sleep(0.1)
        cancelled.cancel()
        with pytest.raises(exceptions.SandboxTimeoutError):
            await impatient
        await patient
        assert now() == 5.0

    replies = [sandbox("creating"), after(4.8, sandbox("running"))]
    assert live(steps, GetSandbox=replies).methods() == ["Create", "Get", "Get"]


def test_all_waiters_see_the_same_failure_and_the_next_one_starts_afresh() -> None:
    async def steps(life: Life) -> None:
        waits = (life.driver.wait_running(None) for _ in range(3))
        failures = await asyncio.gather(*waits, return_exceptions=True)
        assert [type(error).__name__ for error in failures] == ["CWSandboxAuthenticationError"] * 3
        await life.driver.wait_running(None)

    life = live(steps, GetSandbox=[failure(Code.PERMISSION_DENIED), sandbox("running")])
    assert life.methods() == ["Create", "Get", "Get"]


def test_the_wait_s_limit_covers_the_create() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxTimeoutError):
            await life.driver.wait_running(2)
        assert now() == 2.0

    live(steps, CreateSandbox=[after(5, sandbox("creating"))])


# ---- failing polls ----


@pytest.mark.parametrize(
    "code", [Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED]
)
def test_transient_failures_of_a_look(code: Code) -> None:
    async def steps(life: Life) -> None:
        await life.driver.wait_running(None)

    life = live(steps, GetSandbox=[failure(code), failure(code), sandbox("running")])
    assert life.service.times("GetSandbox") == [0.0, 0.3, 0.75]


@pytest.mark.parametrize(
    "refusal",
    [
        failure(Code.INVALID_ARGUMENT),
        failure(Code.PERMISSION_DENIED),
        failure(Code.CANCELLED),
        failure(Code.NOT_FOUND),
        failure(Code.DEADLINE_EXCEEDED, reason="CWSANDBOX_COMMAND_TIMEOUT"),
        exceptions.SandboxProtocolError("garbled"),
    ],
)
def test_final_failures_of_a_look(refusal: Exception) -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.CWSandboxError):
            await life.driver.wait_running(None)

    assert live(steps, GetSandbox=[refusal]).methods() == ["Create", "Get"]


def test_retry_budget() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxUnavailableError) as raised:
            await life.driver.wait_running(None)
        assert raised.value.__cause__ is LOST

    life = live(steps, GetSandbox=[LOST], given={"poll_retry_budget_seconds": 1})
    assert life.service.times("GetSandbox") == [0.0, 0.3, 0.75]
    assert [round(sent.timeout, 3) for sent in life.service.of("GetSandbox")] == [1.0, 0.7, 0.25]


def test_retry_budget_zero() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxUnavailableError):
            await life.driver.wait_running(None)

    life = live(steps, GetSandbox=[LOST], given={"poll_retry_budget_seconds": 0})
    assert [sent.timeout for sent in life.service.of("GetSandbox")] == [15.0]


def test_each_burst_has_a_full_budget() -> None:
    async def steps(life: Life) -> None:
        await life.driver.wait_running(None)

    looks = [LOST, LOST, sandbox("creating"), LOST, LOST, sandbox("running")]
    live(steps, GetSandbox=looks, given={"poll_retry_budget_seconds": 1})


def test_retry_hint() -> None:
    async def steps(life: Life) -> None:
        await life.driver.wait_running(None)

    life = live(steps, GetSandbox=[failure(Code.UNAVAILABLE, delay=4), sandbox("running")])
    assert life.service.times("GetSandbox") == [0.0, 4.0]


# ---- waiting for the end ----


def complete(
    limit: float | None = None, raising: bool = True
) -> Callable[[Life], Coroutine[Any, Any, None]]:
    async def steps(life: Life) -> None:
        await life.driver.wait_complete(limit, raising)

    return steps


def test_completion() -> None:
    looks = [sandbox("creating"), sandbox("running"), sandbox("paused"), sandbox("terminating")]
    life = live(complete(), GetSandbox=[*looks, sandbox("completed", exit_code=3)])
    assert (life.state.status, life.state.returncode) == (SandboxStatus.COMPLETED, 3)
    assert life.core.log[0] == "open"


def test_unspecified_ends_a_poll() -> None:
    assert (
        live(complete(), GetSandbox=[sandbox(0, exit_code=0)]).state.status
        is SandboxStatus.COMPLETED
    )


def test_completion_timeout() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxTimeoutError, match="did not complete within 3s"):
            await life.driver.wait_complete(3, True)
        looked = len(life.service.sent)
        await asyncio.sleep(100)
        assert len(life.service.sent) == looked, "polls on with nobody waiting"

    live(steps)


def test_a_waiter_that_leaves_does_not_end_the_poll_of_others() -> None:
    async def steps(life: Life) -> None:
        patient = asyncio.create_task(life.driver.wait_complete(None, True))
        with pytest.raises(exceptions.SandboxTimeoutError):
            await life.driver.wait_complete(3, True)
        await patient

    live(steps, GetSandbox=[*[sandbox("running")] * 8, sandbox("completed", exit_code=0)])


def test_failure_raises_for_everybody() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxFailedError, match="failed: out of memory") as raised:
            await life.driver.wait_complete(None, False)
        assert raised.value.status_reason == "out of memory"

    life = live(steps, GetSandbox=[sandbox("failed", state_reason="out of memory", exit_code=137)])
    assert life.state.returncode == 137


def test_termination_is_each_waiter_s_choice() -> None:
    async def steps(life: Life) -> None:
        raising = asyncio.create_task(life.driver.wait_complete(None, True))
        quiet = asyncio.create_task(life.driver.wait_complete(None, False))
        await quiet
        with pytest.raises(exceptions.SandboxTerminatedError):
            await raising

    assert live(steps, GetSandbox=[sandbox("terminated")]).methods() == ["Create", "Get"]


# ---- late exit codes ----


def test_a_late_exit_code_is_waited_for() -> None:
    looks = [sandbox("completed"), sandbox("completed"), sandbox("completed", exit_code=0)]
    life = live(complete(), GetSandbox=looks)
    assert life.service.times("GetSandbox") == [0.0, 2.0, 4.0]
    assert [sent.timeout for sent in life.service.of("GetSandbox")] == [15.0, 2.0, 2.0]
    assert life.state.returncode == 0


@pytest.mark.parametrize("later", [sandbox("completed"), sandbox("running"), LOST, NOT_FOUND])
def test_but_not_for_ever(later: Any) -> None:
    life = live(complete(), GetSandbox=[sandbox("completed"), later])
    assert life.service.times("GetSandbox") == [0.0, 2.0, 4.0]
    assert (life.state.status, life.state.returncode) == (SandboxStatus.COMPLETED, None)


def test_and_not_by_who_has_no_time() -> None:
    async def steps(life: Life) -> None:
        await life.driver.wait_complete(1, True)
        assert now() == 1.0

    live(steps, GetSandbox=[sandbox("completed")])


def test_it_is_waited_for_at_the_start_too() -> None:
    async def steps(life: Life) -> None:
        await life.driver.wait_running(None)

    assert (
        live(
            steps, GetSandbox=[sandbox("completed"), sandbox("completed", exit_code=4)]
        ).state.returncode
        == 4
    )


# ---- get_status ----


def test_status_needs_a_sandbox() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxNotRunningError, match="has not been started"):
            await life.driver.get_status()
        await life.driver.stop(10, False)
        with pytest.raises(exceptions.SandboxNotRunningError, match="cancelled before starting"):
            await life.driver.get_status()

    assert live(steps).methods() == []


def test_status_is_asked_for_once() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxUnavailableError):
            await life.driver.get_status()
        assert await life.driver.get_status() is SandboxStatus.UNSPECIFIED
        assert await life.driver.get_status() is SandboxStatus.COMPLETED
        assert life.state.returncode == 9
        before = life.state.confirmed_at
        await asyncio.sleep(1)
        assert await life.driver.get_status() is SandboxStatus.COMPLETED
        assert life.state.confirmed_at > before

    looks = [LOST, sandbox(0), sandbox("completed", exit_code=9)]
    assert live(steps, sandbox("running"), GetSandbox=looks).methods() == ["Get"] * 3


# ---- commands that wait ----


async def served(life: Life) -> None:
    life.driver.serve_commands()
    life.driver.serve_commands()
    while not life.core.log:
        await asyncio.sleep(0.1)


def test_commands_start_the_sandbox() -> None:
    life = live(served, GetSandbox=[sandbox("creating"), sandbox("running")])
    assert life.methods() == ["Create", "Get", "Get"]
    assert life.core.log == ["open"]


def test_commands_fail_with_the_create() -> None:
    life = live(served, CreateSandbox=[LOST])
    assert life.core.log == ["fail"]
    assert isinstance(life.core.failures[0], exceptions.SandboxUnavailableError)


def test_commands_fail_with_the_sandbox() -> None:
    life = live(served, GetSandbox=[sandbox("failed", state_reason="no image")])
    assert "no image" in str(life.core.failures[0])
    assert isinstance(life.core.evictions[0], exceptions.SandboxNotRunningError)


@pytest.mark.parametrize("status", ["completed", "terminating"])
def test_commands_fail_when_it_was_over_at_once(status: str) -> None:
    life = live(served, GetSandbox=[sandbox(status, exit_code=0)])
    assert life.core.log == ["fail"]
    assert "has been stopped" in str(life.core.failures[0])


def test_commands_can_be_served_again_after_a_failure() -> None:
    async def steps(life: Life) -> None:
        await served(life)
        life.driver.serve_commands()
        while not life.core.is_open:
            await asyncio.sleep(0.1)

    assert live(steps, CreateSandbox=[LOST, sandbox("creating")]).core.log == ["fail", "open"]


def test_commands_wait_as_long_as_a_request_may_take() -> None:
    life = live(served, GetSandbox=[sandbox("creating")], given={"request_timeout_seconds": 5})
    assert "did not become ready within 5s" in str(life.core.failures[0])


# ---- the share token ----

GUARDED = {
    "services": [
        {"port": 80, "visibility": "public", "endpoint": {"kind": "https", "auth": "share_token"}}
    ]
}


def test_start_waits_for_the_share_token() -> None:
    async def steps(life: Life) -> None:
        await life.driver.start()

    late = {**sandbox("creating"), "endpoint_share_token": "token"}
    life = live(steps, CreateSandbox=[sandbox("creating"), late], given=GUARDED)
    assert life.handle.echo.share_token is not None
    assert life.service.times("CreateSandbox") == [0.0, 1.0]


def test_stop_ends_the_search_for_the_token() -> None:
    async def steps(life: Life) -> None:
        starting = asyncio.create_task(life.driver.start())
        await asyncio.sleep(0.5)
        await life.driver.stop(10, False)
        await starting
        assert now() < 1.0

    life = live(steps, DeleteSandbox=[deleted("terminated")], given=GUARDED)
    assert life.methods() == ["Create", "Delete"]
