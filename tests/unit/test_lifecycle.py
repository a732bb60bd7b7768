"""States and what leads from one to the next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cwsandbox import (
    SandboxFailedError,
    SandboxNotRunningError,
    SandboxStatus,
    SandboxTerminatedError,
)
from cwsandbox._lifecycle.lifecycle import (
    NEW,
    Observation,
    Phase,
    Source,
    State,
    accepted,
    cancelled,
    completion_failure,
    gone,
    has_started,
    observed,
    startup_failure,
    stopping,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LATER = datetime(2026, 1, 3, tzinfo=UTC)

STARTING = accepted(NEW, NOW)


def seen(state: State, status: str | int, source: Source = Source.POLL, **more: Any) -> State:
    number = status if isinstance(status, int) else SandboxStatus(status).to_proto()
    return observed(state, Observation(number, **more), source, LATER)


RUNNING = seen(STARTING, "running")
STOPPING = stopping(RUNNING, NOW)


def test_states_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match=r"State\.phase cannot be changed"):
        NEW.phase = Phase.RUNNING  # type: ignore[misc]


def test_accepted() -> None:
    assert (STARTING.phase, STARTING.status, STARTING.confirmed_at) == (
        Phase.STARTING,
        SandboxStatus.PENDING,
        NOW,
    )


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("creating", Phase.STARTING),
        ("pending", Phase.STARTING),
        ("preparing", Phase.STARTING),
        ("running", Phase.RUNNING),
        ("paused", Phase.RUNNING),
        ("terminating", Phase.STOPPING),
        ("completed", Phase.TERMINAL),
        ("failed", Phase.TERMINAL),
        ("terminated", Phase.TERMINAL),
    ],
)
def test_observed(status: str, phase: Phase, source: Source) -> None:
    state = seen(STARTING, status, source)
    assert (state.phase, state.status, state.confirmed_at) == (phase, SandboxStatus(status), LATER)


def test_unspecified_is_completed_only_for_polls() -> None:
    polled = seen(RUNNING, 0, Source.POLL)
    queried = seen(RUNNING, 0, Source.QUERY)
    assert (polled.phase, polled.status) == (Phase.TERMINAL, SandboxStatus.COMPLETED)
    assert (queried.phase, queried.status) == (Phase.STARTING, SandboxStatus.UNSPECIFIED)


@pytest.mark.parametrize("source", Source)
def test_unknown_numbers_are_polled_through(source: Source) -> None:
    state = seen(STARTING, 77, source)
    assert (state.phase, state.status) == (Phase.STARTING, SandboxStatus.UNSPECIFIED)


@pytest.mark.parametrize("status", ["running", "creating", "pending", "paused", "terminating"])
def test_stopping_becomes_only_terminal(status: str) -> None:
    state = seen(STOPPING, status)
    assert (state.phase, state.status, state.stop_owned) == (
        Phase.STOPPING,
        SandboxStatus.TERMINATING,
        True,
    )
    assert state.confirmed_at == LATER
    assert seen(STOPPING, "completed").phase is Phase.TERMINAL
    assert seen(STOPPING, "completed").stop_owned


@pytest.mark.parametrize("status", ["running", "completed", "failed", "terminating"])
def test_the_end_is_final(status: str) -> None:
    for final in (seen(RUNNING, "failed", exit_code=3), cancelled(NEW)):
        assert seen(final, status) == final
        assert stopping(final, LATER) == final
        assert gone(final, LATER) == final


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("status", ["completed", "failed", "terminated"])
@pytest.mark.parametrize("code", [0, 3, None])
def test_exit_codes_of_every_end_and_look(code: int | None, status: str, source: Source) -> None:
    assert seen(RUNNING, status, source, exit_code=code).returncode == code


def test_no_exit_code_while_it_runs() -> None:
    assert seen(STARTING, "running", exit_code=0).returncode is None


def test_a_late_exit_code_is_taken_once() -> None:
    ended = seen(RUNNING, "completed")
    assert ended.lacks_exit_code
    with_code = seen(ended, "completed", exit_code=0)
    assert (with_code.returncode, with_code.lacks_exit_code) == (0, False)
    assert seen(with_code, "completed", exit_code=5).returncode == 0
    assert seen(ended, "running", exit_code=5).returncode is None


def test_no_exit_code_is_missing_after_a_stop_or_failure() -> None:
    assert not seen(STOPPING, "completed").lacks_exit_code
    assert not seen(RUNNING, "failed").lacks_exit_code
    assert not RUNNING.lacks_exit_code


def test_gone() -> None:
    state = gone(RUNNING, LATER)
    assert (state.phase, state.status, state.stop_owned) == (
        Phase.TERMINAL,
        SandboxStatus.TERMINATED,
        True,
    )


def test_which_states_take_commands() -> None:
    taking = [state for state in (NEW, STARTING, RUNNING) if state.takes_commands]
    refusing = [
        state
        for state in (
            STOPPING,
            seen(RUNNING, "terminating"),
            seen(RUNNING, "completed"),
            cancelled(NEW),
        )
        if not state.takes_commands
    ]
    assert (len(taking), len(refusing)) == (3, 4)


def test_what_a_wait_for_running_ends_with() -> None:
    assert not has_started(NEW)
    assert not has_started(STARTING)
    assert startup_failure(RUNNING, "sb-1") is None
    assert startup_failure(seen(STARTING, "terminating"), "sb-1") is None
    assert startup_failure(seen(STARTING, "completed"), "sb-1") is None
    failed = startup_failure(seen(STARTING, "failed", reason="no image"), "sb-1")
    assert isinstance(failed, SandboxFailedError)
    assert str(failed) == "Sandbox 'sb-1' failed to start: no image"
    assert (failed.sandbox_id, failed.status_reason) == ("sb-1", "no image")
    assert isinstance(startup_failure(seen(STARTING, "terminated"), "sb-1"), SandboxTerminatedError)
    stopped = startup_failure(STOPPING, "sb-1")
    assert type(stopped) is SandboxNotRunningError
    assert "has been stopped" in str(stopped)
    assert isinstance(startup_failure(seen(STOPPING, "completed"), "sb-1"), SandboxTerminatedError)
    assert "cancelled before starting" in str(startup_failure(cancelled(NEW), None))


def test_what_a_wait_for_the_end_ends_with() -> None:
    assert completion_failure(seen(RUNNING, "completed"), "sb-1", True) is None
    through = seen(seen(RUNNING, "terminating"), "completed")
    assert completion_failure(through, "sb-1", True) is None
    for ended in (seen(RUNNING, "terminated"), seen(STOPPING, "completed")):
        assert isinstance(completion_failure(ended, "sb-1", True), SandboxTerminatedError)
        assert completion_failure(ended, "sb-1", False) is None
    failed = completion_failure(seen(RUNNING, "failed"), "sb-1", False)
    assert isinstance(failed, SandboxFailedError)
    assert failed.status_reason is None
