"""Whose doing the end of a job was."""

from __future__ import annotations

from enum import StrEnum, unique

from cwsandbox._service.rpc import Code, RpcFailure
from cwsandbox.exceptions import (
    CWSandboxAuthenticationError,
    CWSandboxError,
    CWSandboxValidationError,
    SandboxFailedError,
    SandboxFileError,
    SandboxRequestTimeoutError,
    SandboxTimeoutError,
)


@unique
class Verdict(StrEnum):
    """How a job ended.

    - ``OK``: the command ended with exit code 0.
    - ``FAILED``: it ended with another exit code.
    - ``TIMEOUT``: it was ended by its time limit.
    - ``OUT_OF_MEMORY``: the service says that it, or its sandbox, was killed because memory ran out.
    - ``INVALID``: the job cannot be run as it is described, so trying again would end the same.
    - ``NOT_STARTED``: there was no sandbox for it, or it was lost before the command was sent.
    - ``SANDBOX_LOST``: the sandbox, or the connection to it, was lost while the command ran.

    The last two are infrastructure failures (``is_infra``): they say nothing about the command.
    """

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    INVALID = "invalid"
    NOT_STARTED = "not_started"
    SANDBOX_LOST = "sandbox_lost"

    @property
    def is_infra(self) -> bool:
        """Whether the infrastructure failed, and not the job."""
        return self in INFRA


INFRA = frozenset({Verdict.NOT_STARTED, Verdict.SANDBOX_LOST})

# Nothing about these changes by waiting. OSError is a local file's.
_INVALID = (
    CWSandboxAuthenticationError,
    CWSandboxValidationError,
    SandboxFileError,
    ValueError,
    TypeError,
    OSError,
)
# With these the service says that the request itself is wrong.
_REFUSALS = frozenset(
    {Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION, Code.OUT_OF_RANGE, Code.UNIMPLEMENTED}
)
# How Kubernetes names it in the reason of a container's end.
_KILLED_FOR_MEMORY = "OOMKilled"


def of_exit(returncode: int) -> Verdict:
    """A command that ended by itself."""
    return Verdict.OK if returncode == 0 else Verdict.FAILED


def of_start(error: Exception) -> Verdict:
    """There is no sandbox, or the job's files are not in it."""
    cause = error.__cause__
    is_refused = isinstance(cause, RpcFailure) and cause.code in _REFUSALS
    return Verdict.INVALID if is_refused or isinstance(error, _INVALID) else Verdict.NOT_STARTED


def of_command(error: CWSandboxError) -> Verdict:
    """The command was sent, and no exit code came back."""
    if isinstance(error, SandboxFailedError) and _names_memory(error):
        return Verdict.OUT_OF_MEMORY
    if isinstance(error, SandboxTimeoutError) and not isinstance(error, SandboxRequestTimeoutError):
        return Verdict.TIMEOUT
    return Verdict.SANDBOX_LOST


def _names_memory(error: SandboxFailedError) -> bool:
    return any(
        _KILLED_FOR_MEMORY in text for text in (error.status_reason or "", error.reason or "")
    )
