"""The one mapping from failed calls and failed commands to the package's exceptions."""

from __future__ import annotations

from cwsandbox import exceptions as exc
from cwsandbox._service.rpc import NO_INFO, Code, ErrorInfo, RpcFailure, error_info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from cwsandbox._cwsandbox import Process, RpcError, SandboxCore, TerminalSession
    from cwsandbox._service.rpc import Unpack
    from cwsandbox._types.error import FieldViolation

_PREFIX = "CWSANDBOX_"

_FILE_REASONS = frozenset(
    _PREFIX + "FILE_" + name
    for name in (
        "NOT_FOUND",
        "IS_DIRECTORY",
        "IO_FAILED",
        "PERMISSION_DENIED",
        "TOO_LARGE",
        "TRUNCATED",
    )
)

# Reason (without the prefix) -> class. Which keywords a class takes beside the common ones follows from its base.
_BY_REASON: dict[str, type[exc.CWSandboxError]] = {
    "SANDBOX_NOT_FOUND": exc.SandboxNotFoundError,
    "SANDBOX_NOT_RUNNING": exc.SandboxNotRunningError,
    "COMMAND_TIMEOUT": exc.SandboxCommandTimeoutError,
    "RUNNER_UNAVAILABLE": exc.SandboxUnavailableError,
    "BACKEND_UNAVAILABLE": exc.SandboxUnavailableError,
    "RUNNER_SHARD_RETIRING": exc.SandboxUnavailableError,
    "FSS_NOT_FOUND": exc.SnapshotNotFoundError,
    "FSS_NOT_READY": exc.SnapshotNotReadyError,
    "FSS_NOT_SUPPORTED": exc.SnapshotNotSupportedError,
    "FSS_SIZE_EXCEEDED": exc.SnapshotSizeExceededError,
    "FSS_QUOTA_EXCEEDED": exc.SnapshotQuotaExceededError,
    "FSS_BUCKET_MISMATCH": exc.SnapshotBucketMismatchError,
    "FSS_BUCKET_UNAVAILABLE": exc.SandboxSnapshotError,
    "FSS_RESTORE_FAILED": exc.SandboxSnapshotError,
    "FSS_CREATE_FAILED": exc.SandboxSnapshotError,
    "FSS_CREATE_TIMED_OUT": exc.SandboxSnapshotError,
    "FSS_AUTH_FAILED": exc.SandboxSnapshotError,
    "FSS_TRANSPORT_FAILED": exc.SandboxSnapshotError,
    "FSS_CANCELED": exc.SandboxSnapshotError,
    "FSS_WAIT_TIMEOUT": exc.SnapshotWaitTimeoutError,
    "FSS_BACKEND_THROTTLED": exc.SnapshotBackendThrottledError,
    "FSS_INFLIGHT_LIMIT": exc.SnapshotBackendThrottledError,
    "FSS_BUCKET_PROVISIONING": exc.SnapshotBucketProvisioningError,
    "VOLUME_NOT_FOUND": exc.VolumeNotFoundError,
    "VOLUME_NOT_READY": exc.VolumeNotReadyError,
    "VOLUME_PLACEMENT_CONFLICT": exc.VolumePlacementConflictError,
    "VOLUME_TYPE_NOT_SUPPORTED": exc.VolumeTypeNotSupportedError,
    "VOLUME_NOT_SNAPSHOTTABLE": exc.VolumeNotSnapshottableError,
    "VOLUME_RUNNER_INELIGIBLE": exc.VolumeRunnerIneligibleError,
    "VOLUME_BACKEND_NOT_FOUND": exc.VolumeBackendNotFoundError,
    "VOLUME_IN_USE": exc.VolumeInUseError,
    "VOLUME_QUOTA_EXCEEDED": exc.VolumeQuotaExceededError,
    "VOLUME_RUNNER_UNAVAILABLE": exc.VolumeRunnerUnavailableError,
}

_BY_CODE: dict[int, type[exc.CWSandboxError]] = {
    Code.NOT_FOUND: exc.SandboxNotFoundError,
    Code.CANCELLED: exc.SandboxNotRunningError,
    Code.DEADLINE_EXCEEDED: exc.SandboxRequestTimeoutError,
    Code.UNAVAILABLE: exc.SandboxUnavailableError,
    Code.RESOURCE_EXHAUSTED: exc.SandboxResourceExhaustedError,
    Code.UNAUTHENTICATED: exc.CWSandboxAuthenticationError,
    Code.PERMISSION_DENIED: exc.CWSandboxAuthenticationError,
}

# What a status means in words, where the server's text alone would leave the reader guessing.
_WORDS: dict[int, str] = {
    Code.CANCELLED: "was cancelled",
    Code.DEADLINE_EXCEEDED: "timed out",
    Code.UNAVAILABLE: "failed, service unavailable",
    Code.RESOURCE_EXHAUSTED: "failed, resource exhausted",
    Code.UNAUTHENTICATED: "failed: Authentication failed",
    Code.PERMISSION_DENIED: "failed: Permission denied",
    Code.NOT_FOUND: "failed, not found",
}

_STREAM_CLASSES: dict[str, tuple[type[Any], str]] = {
    "STREAM_BACKPRESSURE": (
        exc.SandboxStreamBackpressureError,
        "the server ended the command's stream since its output was not read fast enough; part of it is lost",
    ),
    "STREAM_TRUNCATED": (
        exc.SandboxStreamTruncatedError,
        "the command finished, but part of its output was lost on the way",
    ),
}


def to_exception(
    failure: RpcFailure,
    *,
    operation: str,
    sandbox_id: str | None = None,
    filepath: str | None = None,
    snapshot_id: str | None = None,
    volume_id: str | None = None,
) -> exc.CWSandboxError:
    """The exception for a failed call, by its reason if the service gave one, else by its status.

    ``operation`` begins the message ("Create sandbox"). The ids are those the call was about.
    """
    info = failure.info
    cls = _class_of(failure, snapshot_id, volume_id)
    extra: dict[str, Any] = {}
    if issubclass(cls, exc.SandboxFileError):
        extra["filepath"] = filepath or info.metadata.get("filepath")
    elif issubclass(cls, exc.SandboxNotFoundError):
        extra["sandbox_id"] = sandbox_id
    elif issubclass(cls, exc.SandboxSnapshotError):
        extra["file_system_snapshot_id"] = snapshot_id
    elif issubclass(cls, exc.VolumeError):
        extra["volume_id"] = volume_id or info.metadata.get("volume_id")
    elif issubclass(cls, exc.CWSandboxValidationError):
        extra["field_violations"] = info.field_violations
    raised: exc.CWSandboxError = cls(
        _message(failure, operation, sandbox_id), **_common(info), **extra
    )
    return raised


def to_discovery_exception(
    failure: RpcFailure, *, operation: str, runner_id: str | None = None
) -> exc.CWSandboxError:
    """The exception for a failed look-up of runners; ``runner_id`` is the one that was looked for."""
    info = failure.info
    text = _message(failure, operation, runner_id)
    if failure.code in (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED):
        return exc.CWSandboxAuthenticationError(text, **_common(info))
    if runner_id is not None and failure.is_not_found(_PREFIX + "RUNNER_NOT_FOUND"):
        return exc.RunnerNotFoundError(text, runner_id=runner_id, **_common(info))
    if failure.code == Code.INVALID_ARGUMENT and info.field_violations:
        return exc.DiscoveryValidationError(
            text, field_violations=info.field_violations, **_common(info)
        )
    return exc.DiscoveryError(text, **_common(info))


def _class_of(failure: RpcFailure, snapshot_id: str | None, volume_id: str | None) -> type[Any]:
    reason = failure.trusted_reason or ""
    if reason in _FILE_REASONS:
        return exc.SandboxFileError
    by_reason = _BY_REASON.get(reason.removeprefix(_PREFIX)) if reason.startswith(_PREFIX) else None
    if by_reason is not None:
        return by_reason
    if failure.code == Code.NOT_FOUND and snapshot_id is not None:
        return exc.SnapshotNotFoundError
    if failure.code == Code.NOT_FOUND and volume_id is not None:
        return exc.VolumeNotFoundError
    if failure.code == Code.INVALID_ARGUMENT and failure.info.field_violations:
        return exc.SandboxValidationError
    return _BY_CODE.get(failure.code, exc.SandboxError)


def _common(info: ErrorInfo) -> dict[str, Any]:
    return {"reason": info.reason, "metadata": info.metadata, "retry_delay": info.retry_delay}


def _message(failure: RpcFailure, operation: str, subject_id: str | None) -> str:
    words = _WORDS.get(failure.code, f"failed, {failure.code_name}")
    if failure.message and failure.trusted_reason in _FILE_REASONS:
        words = "failed"  # "/x: Is a directory" says it all
    subject = f"{operation} {subject_id!r}" if subject_id else operation
    parts = [f"{subject} {words}"]
    if failure.message:
        parts.append(failure.message)
    told = failure.message or ""
    untold = [one for one in failure.info.field_violations if not _is_told(one, told)]
    if untold:
        parts.append("field violations: " + "; ".join(map(_violation_text, untold)))
    return ": ".join(parts)


def _is_told(violation: FieldViolation, text: str) -> bool:
    """Whether the server has put the violation into its message, too."""
    return violation.field in text and violation.description in text


def _violation_text(violation: FieldViolation) -> str:
    return ": ".join(part for part in (violation.field, violation.description) if part)


# ---- commands ----

_LONGEST_SHOWN = 200


def shown_command(command: list[str]) -> str:
    """The command as one would type it into a shell, in one line of bounded length."""
    from shlex import quote

    text = ""
    for word in command:
        visible = printable(quote(word[:_LONGEST_SHOWN]))
        text += f" {visible}" if text else visible
        if len(text) > _LONGEST_SHOWN:
            return text[: _LONGEST_SHOWN - 3] + "..."
    return text


def printable(text: str) -> str:
    """Text of others, without what a terminal would act upon."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def command_exception(
    error: RpcError, command: list[str], timeout: float | None, info: ErrorInfo
) -> BaseException:
    """The exception for a command that failed; ``timeout`` is its limit in seconds, ``info`` what the status says.

    A new object on each call: it is going to carry the command's own output.
    """
    name = shown_command(command)
    if error.kind == "no_exit":
        return exc.SandboxExecutionError(f"Command {name} ended without an exit status")
    if error.kind == "ready_timeout":
        return exc.SandboxTimeoutError(
            f"Command {name} failed: no ready signal for its standard input in time: {error.message}"
        )
    if error.kind == "gap":
        return exc.SandboxStreamTruncatedError(
            f"Part of the output of command {name} is missing: {error.message}; iterate again to go on behind it"
        )
    if error.kind == "frame":
        return frame_exception(error, name)
    if error.failure is not None:
        return own_exception(error.failure)
    if error.kind == "closed":
        return exc.SandboxNotRunningError(f"Command {name} failed: the sandbox has been stopped")
    if error.code == Code.DEADLINE_EXCEEDED:
        limit = "" if timeout is None else f" after {timeout:g}s"
        return exc.SandboxTimeoutError(f"Command {name} timed out{limit}", **_common(info))
    failure = RpcFailure(error.code, error.code_name, error.message, info)
    return to_exception(failure, operation=f"Command {name}")


def log_exception(error: RpcError, sandbox_id: str | None, info: ErrorInfo) -> BaseException:
    """The exception for a log that did not end well."""
    subject = "The log of sandbox" if sandbox_id is None else f"The log of sandbox {sandbox_id!r}"
    if error.failure is not None:
        return own_exception(error.failure)
    if error.kind == "closed":
        return exc.SandboxNotRunningError(f"{subject} ended with the sandbox")
    code = error.code_text
    if error.kind == "lost":
        last = f"{error.code_name}: {error.message}" if code is None else f"{code}: {error.message}"
        return exc.SandboxUnavailableError(
            f"{subject} could not be resumed: {last}",
            reason=code or info.reason,
            metadata=info.metadata,
            retry_delay=info.retry_delay,
        )
    if error.kind == "frame":
        text = f"{subject} broke off: {error.message or code}"
        if code == "STREAM_TRUNCATED":
            truncated = exc.SandboxStreamTruncatedError(text, stream_code=code)
            truncated.reason = code
            return truncated
        return exc.SandboxError(text, reason=code)
    failure = RpcFailure(error.code, error.code_name, error.message, info)
    return to_exception(failure, operation="Read log of sandbox", sandbox_id=sandbox_id)


def frame_exception(error: RpcError, name: str) -> exc.SandboxError:
    code = error.code_text or ""
    if code in _STREAM_CLASSES:
        cls, guidance = _STREAM_CLASSES[code]
        raised: exc.SandboxError = cls(f"Command {name} failed: {guidance}", stream_code=code)
        return raised
    text = error.message or code or "the server gave no reason"
    return exc.SandboxExecutionError(f"Command {name} failed: {text}", reason=code or None)


def own_exception(failure: BaseException) -> BaseException:
    """The same failure, as an object of its own."""
    # All commands that waited for the sandbox get the same failure; each needs one that can carry its own output.
    # Each write of a command that has failed gets the command's, and a traceback of its own.
    cls = type(failure)
    try:
        # Not copy(), which calls __init__: that may want other arguments than those an exception keeps.
        own = cls.__new__(cls, *failure.args)
    except TypeError:
        return failure
    own.__dict__.update(failure.__dict__)
    # One that nobody has raised has no traceback to add, and would only be told twice.
    own.__cause__ = failure if failure.__traceback__ else failure.__cause__
    return own


def says_not_running(failure: BaseException) -> bool:
    """Whether this is a service's word on the sandbox, and not on itself or the way to it."""
    kinds = (exc.SandboxNotRunningError, exc.SandboxNotFoundError)
    return isinstance(failure, kinds) and not isinstance(failure, exc.SandboxUnavailableError)


def note_not_running(failure: BaseException, sandbox: SandboxCore) -> None:
    """After a failure that says so: the next operation has the sandbox asked first."""
    if says_not_running(failure) and sandbox.is_open:
        sandbox.fail(failure)


def details_of(error: RpcError, unpack: Unpack) -> ErrorInfo:
    """What the details of an error say, nothing if there are none."""
    return error_info(error.details, unpack) if error.details else NO_INFO


def failure_of(error: RpcError, unpack: Unpack) -> RpcFailure:
    """The native layer's error as the policy code sees it."""
    return RpcFailure(
        error.code,
        error.code_name,
        error.message,
        details_of(error, unpack),
        # A service that is late itself does not know what becomes of it, either.
        is_unanswered=error.local or error.code == Code.DEADLINE_EXCEEDED,
    )


class Hooks:
    """What the native types call to make results and exceptions."""

    def __init__(self, unpack: Unpack, result_of: Callable[[Process, int], Any]) -> None:
        self._unpack = unpack
        self._result_of = result_of

    def make_result(self, process: Process, returncode: int, check: bool) -> Any:
        result = self._result_of(process, returncode)
        if not check or returncode == 0:
            return result
        text = f"Command {shown_command(process.command)} failed with exit code {returncode}"
        if not result.output_captured:
            text += "; its output was not captured (capture_output=False)"
        return exc.SandboxExecutionError(text, exec_result=result)

    def make_error(self, process: Process, error: RpcError) -> BaseException:
        raised = self._raised(process, error)
        if isinstance(raised, exc.CWSandboxError):
            raised.exec_result = self._result_of(process, -1)
        if isinstance(raised, exc.SandboxTimeoutError) and error.failure is None:
            raised.timeout = process._timeout
        return raised

    def make_terminal_result(self, session: TerminalSession, returncode: int, _: bool) -> Any:
        from cwsandbox._types.terminal import TerminalResult

        return TerminalResult(returncode, session.command)

    def make_terminal_error(self, session: TerminalSession, error: RpcError) -> BaseException:
        return self._raised(session, error)

    def make_log_error(self, sandbox: SandboxCore, error: RpcError) -> BaseException:
        return log_exception(error, sandbox.sandbox_id, details_of(error, self._unpack))

    def _raised(self, command: Process | TerminalSession, error: RpcError) -> BaseException:
        raised = command_exception(
            error, command.command, command._timeout, details_of(error, self._unpack)
        )
        if error.kind == "status":
            note_not_running(raised, command._sandbox)
        return raised

    def make_write_error(self, reason: str, failure: BaseException | None) -> BaseException:
        if reason == "ended":
            return exc.SandboxExecutionError(
                "Cannot resize the terminal: the terminal session has ended"
            )
        if failure is not None and not isinstance(failure, exc.SandboxExecutionError):
            return own_exception(failure)  # whoever tries again what was lost must know it
        states: Mapping[str, str] = {
            "closed": "is closed",
            "failed": "has failed, the command has ended",
        }
        return exc.SandboxExecutionError(
            f"Cannot write to standard input: the stream {states[reason]}"
        )
