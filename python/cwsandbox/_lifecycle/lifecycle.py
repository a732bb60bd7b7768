"""A sandbox's life as this process knows it: immutable states and the one function that leads from one to the next.

::

    NOT_STARTED ─ stop ─▶ CANCELLED
         │ create accepted
         ▼
      STARTING ─▶ RUNNING ─▶ STOPPING ─▶ TERMINAL      (each may also go straight to STOPPING or TERMINAL)

TERMINAL and CANCELLED are for good; STOPPING only ever becomes TERMINAL, so that answers which were under way when the
sandbox was told to stop do not bring it back.
"""

from __future__ import annotations

from enum import Enum

from cwsandbox._messages.observation import Observation
from cwsandbox._types.enums import SandboxStatus, member
from cwsandbox._types.record import Record
from cwsandbox.exceptions import (
    SandboxError,
    SandboxFailedError,
    SandboxNotRunningError,
    SandboxTerminatedError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime


class Phase(Enum):
    NOT_STARTED = "not_started"
    CANCELLED = "cancelled"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    TERMINAL = "terminal"


# Constants, since every exec asks, and looking a member up in its class is slow in Python 3.11.
_TAKES_COMMANDS = (Phase.NOT_STARTED, Phase.STARTING, Phase.RUNNING)
_OVER = (Phase.TERMINAL, Phase.CANCELLED)

_PHASE_OF = {
    SandboxStatus.RUNNING: Phase.RUNNING,
    SandboxStatus.PAUSED: Phase.RUNNING,
    SandboxStatus.CREATING: Phase.STARTING,
    SandboxStatus.PREPARING: Phase.STARTING,
    SandboxStatus.PENDING: Phase.STARTING,
    SandboxStatus.UNSPECIFIED: Phase.STARTING,
    SandboxStatus.TERMINATING: Phase.STOPPING,
    SandboxStatus.COMPLETED: Phase.TERMINAL,
    SandboxStatus.FAILED: Phase.TERMINAL,
    SandboxStatus.TERMINATED: Phase.TERMINAL,
}


class Source(Enum):
    """Who looked: a poll that waits for something, or a single query."""

    POLL = "poll"
    QUERY = "query"


class State(Record):
    """What is known of a sandbox. ``confirmed_at`` is when a server last said so, ``reason`` its words."""

    phase: Phase = Phase.NOT_STARTED
    status: SandboxStatus | None = None
    confirmed_at: datetime | None = None
    returncode: int | None = None
    reason: str = ""
    # Told to stop by this handle, so that an end is no natural one.
    stop_owned: bool = False

    @property
    def is_over(self) -> bool:
        return self.phase in _OVER

    @property
    def takes_commands(self) -> bool:
        return self.phase in _TAKES_COMMANDS

    @property
    def lacks_exit_code(self) -> bool:
        """Whether it ended by itself, and the exit code may still be on its way."""
        return (
            self.status is SandboxStatus.COMPLETED
            and self.returncode is None
            and not self.stop_owned
        )


NEW = State()


def accepted(state: State, now: datetime) -> State:
    """The create was accepted."""
    return state.changed(phase=Phase.STARTING, status=SandboxStatus.PENDING, confirmed_at=now)


def cancelled(state: State) -> State:
    """Stopped before it was ever started."""
    return state.changed(phase=Phase.CANCELLED)


def stopping(state: State, now: datetime) -> State:
    """The server accepted this handle's stop."""
    if state.is_over:
        return state
    return state.changed(
        phase=Phase.STOPPING,
        status=SandboxStatus.TERMINATING,
        confirmed_at=now,
        stop_owned=True,
    )


def gone(state: State, now: datetime) -> State:
    """The server has no such sandbox, and that was to be expected."""
    if state.is_over:
        return state
    return state.changed(
        phase=Phase.TERMINAL,
        status=SandboxStatus.TERMINATED,
        confirmed_at=now,
        stop_owned=True,
    )


def observed(state: State, seen: Observation, source: Source, now: datetime) -> State:
    """The server said how the sandbox is.

    A poll takes "unspecified" for completed, since it could wait for ever otherwise; a query keeps it as it is.
    """
    status = member(SandboxStatus, seen.number)
    if status is None:
        status = SandboxStatus.from_proto(seen.number)
    elif status is SandboxStatus.UNSPECIFIED and source is Source.POLL:
        status = SandboxStatus.COMPLETED
    phase = _PHASE_OF[status]
    if state.is_over:
        return _with_late_code(state, seen, phase, now)
    if state.phase is Phase.STOPPING and phase is not Phase.TERMINAL:
        return state.changed(confirmed_at=now)
    return state.changed(
        phase=phase,
        status=status,
        confirmed_at=now,
        reason=seen.reason,
        returncode=seen.exit_code if phase is Phase.TERMINAL else None,
    )


def _with_late_code(state: State, seen: Observation, phase: Phase, now: datetime) -> State:
    if state.returncode is None and seen.exit_code is not None and phase is Phase.TERMINAL:
        return state.changed(returncode=seen.exit_code, confirmed_at=now)
    return state


# ---- what a state means for those who wait ----


def has_started(state: State) -> bool:
    """Whether waiting for the sandbox to run is over, one way or the other."""
    return state.phase in (Phase.RUNNING, Phase.STOPPING, Phase.TERMINAL, Phase.CANCELLED)


def startup_failure(state: State, sandbox_id: str | None) -> SandboxError | None:
    """What to raise for a wait for running that is over; None when it is or was running."""
    if state.phase is Phase.CANCELLED:
        return SandboxNotRunningError("Sandbox was cancelled before starting")
    if state.phase is Phase.STOPPING:
        return stopped_error(sandbox_id) if state.stop_owned else None
    if state.phase is Phase.TERMINAL:
        return _terminal_failure(state, sandbox_id, "failed to start")
    return None


def completion_failure(
    state: State, sandbox_id: str | None, raise_on_termination: bool
) -> SandboxError | None:
    """What to raise for a wait for the end that is over; None when it ended well."""
    if state.phase is Phase.CANCELLED:
        return SandboxNotRunningError("Sandbox was cancelled before starting")
    failure = _terminal_failure(state, sandbox_id, "failed")
    if isinstance(failure, SandboxTerminatedError) and not raise_on_termination:
        return None
    return failure


def _terminal_failure(state: State, sandbox_id: str | None, words: str) -> SandboxError | None:
    name = f"Sandbox {sandbox_id!r}"
    if state.status is SandboxStatus.FAILED:
        text = f"{name} {words}: {state.reason}" if state.reason else f"{name} {words}"
        return SandboxFailedError(text, sandbox_id=sandbox_id, status_reason=state.reason or None)
    if state.status is SandboxStatus.TERMINATED or state.stop_owned:
        return SandboxTerminatedError(f"{name} was terminated")
    return None


def stopped_error(sandbox_id: str | None) -> SandboxNotRunningError:
    """For use of a sandbox that is stopping or over."""
    name = f"Sandbox {sandbox_id!r}" if sandbox_id else "Sandbox"
    return SandboxNotRunningError(f"{name} has been stopped")
