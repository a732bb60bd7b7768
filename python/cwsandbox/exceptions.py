"""Every exception of the package.

::

    CWSandboxError
    ├ CWSandboxAuthenticationError
    ├ CWSandboxValidationError
    ├ SandboxError
    │ ├ SandboxValidationError (also CWSandboxValidationError)
    │ ├ SandboxNotRunningError
    │ │ └ SandboxUnavailableError                    worth retrying
    │ │   ├ SnapshotBackendThrottledError            (also SandboxSnapshotError)
    │ │   ├ SnapshotBucketProvisioningError          (also SandboxSnapshotError)
    │ │   └ VolumeRunnerUnavailableError             (also VolumeError)
    │ ├ SandboxTimeoutError
    │ │ ├ SandboxRequestTimeoutError                 worth retrying
    │ │ ├ SandboxCommandTimeoutError
    │ │ ├ SnapshotWaitTimeoutError                   (also SandboxSnapshotError)
    │ │ └ VolumeWaitTimeoutError
    │ ├ SandboxResourceExhaustedError                worth retrying
    │ ├ SandboxTerminatedError
    │ ├ SandboxFailedError
    │ ├ SandboxTerminalStateUnavailableError
    │ ├ SandboxNotFoundError
    │ ├ SandboxProtocolError
    │ ├ SandboxExecutionError
    │ │ ├ SandboxStreamBackpressureError
    │ │ └ SandboxStreamTruncatedError
    │ ├ SandboxFileError
    │ │ └ SandboxTransferError
    │ ├ SandboxSnapshotError
    │ │ └ SnapshotNotFoundError, SnapshotNotReadyError, SnapshotNotSupportedError, SnapshotSizeExceededError,
    │ │   SnapshotQuotaExceededError, SnapshotBucketMismatchError, SnapshotOnStopConflictError
    │ └ VolumeError
    │   └ VolumeNotFoundError, VolumeNotReadyError, VolumePlacementConflictError, VolumeTypeNotSupportedError,
    │     VolumeNotSnapshottableError, VolumeRunnerIneligibleError, VolumeBackendNotFoundError,
    │     VolumeInUseError, VolumeQuotaExceededError
    ├ DiscoveryError
    │ ├ DiscoveryValidationError (also CWSandboxValidationError)
    │ ├ RunnerNotFoundError
    │ └ ProfileNotFoundError
    ├ FunctionError
    │ └ AsyncFunctionError
    └ BatchError

Wrong arguments raise the built-in ``ValueError`` and ``TypeError``. ``result(timeout)`` raises the built-in
``TimeoutError`` when the result is not ready in time. A cancelled operation raises
``concurrent.futures.CancelledError``.
"""

from __future__ import annotations

from cwsandbox._types.annotations import on_demand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta
    from typing import Any

    from cwsandbox._types.error import FieldViolation
    from cwsandbox._types.result import ProcessResult
    from cwsandbox._types.transfer import TransferResult


def _rebuild(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    return cls.__new__(cls, *args)


class CWSandboxError(Exception):
    """Base of all exceptions of the package.

    ``reason`` is the server's reason code, ``metadata`` the details that came with it (empty if there were none), and
    ``retry_delay`` how long the server asks to wait before a retry.

    ``exec_result`` is set on every failure of a command. It is a ``ProcessResult`` with the output received until
    then. Its ``returncode`` is the command's exit code, or -1 if none was received (time limit, lost connection,
    ``stop()``).

    ``transferred`` is set on every failure of ``upload()`` and ``download()``, such as a time limit. It is a
    ``TransferResult`` with what had been copied until then, and ``last_member`` is the path below the top that was
    worked on last.

    ``filepath`` is set on every failure of an operation on a file.
    """

    reason: str | None
    metadata: dict[str, str]
    retry_delay: timedelta | None
    exec_result: ProcessResult | None = None
    transferred: TransferResult | None = None
    last_member: str | None = None
    filepath: str | None = None

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.retry_delay = retry_delay

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args), self.__dict__


class CWSandboxAuthenticationError(CWSandboxError):
    """Credentials are missing, malformed or refused."""


class CWSandboxValidationError(CWSandboxError):
    """The server refused fields of the request; ``field_violations`` names them."""

    field_violations: tuple[FieldViolation, ...]

    def __init__(
        self,
        message: str,
        *,
        field_violations: Sequence[FieldViolation] | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, retry_delay=retry_delay)
        self.field_violations = tuple(field_violations or ())


class SandboxError(CWSandboxError):
    """An operation on a sandbox failed."""


class SandboxValidationError(SandboxError, CWSandboxValidationError):
    """The server refused fields of a sandbox request."""


class SandboxNotRunningError(SandboxError):
    """The operation needs a running sandbox, and this one is stopped, stopping or not started."""


class SandboxUnavailableError(SandboxNotRunningError):
    """The service or the sandbox's runner cannot be reached at the moment. Worth retrying."""


class SandboxTimeoutError(SandboxError):
    """A wait or a command took longer than its time limit.

    ``timeout`` is that limit in seconds, or None if the limit is unknown or was somebody else's. For a command there
    are also ``cmd``, its argv, and what it had printed, as text: ``stdout`` (``output`` is the same) and ``stderr``.
    They come from ``exec_result``, under the names that ``subprocess.TimeoutExpired`` uses, and are None if no command
    was run::

        try:
            sandbox.exec(["make"], timeout_seconds=60).result()
        except SandboxTimeoutError as error:
            print(f"{error.cmd} was ended after {error.timeout} s; its last output:", error.output[-1000:])
    """

    timeout: float | None = None

    @property
    def cmd(self) -> list[str] | None:
        """The command that was run."""
        return None if self.exec_result is None else self.exec_result.command

    @property
    def stdout(self) -> str | None:
        """What the command had written to standard output."""
        return None if self.exec_result is None else self.exec_result.stdout

    output = stdout

    @property
    def stderr(self) -> str | None:
        """What the command had written to standard error."""
        return None if self.exec_result is None else self.exec_result.stderr


class SandboxRequestTimeoutError(SandboxTimeoutError):
    """A call to the service took longer than its deadline. Worth retrying."""


class SandboxCommandTimeoutError(SandboxTimeoutError):
    """The server ended the command because of the server's own time limit."""


class SandboxResourceExhaustedError(SandboxError):
    """The service is out of some resource. Worth retrying."""


class SandboxTerminatedError(SandboxError):
    """The sandbox was stopped or terminated."""


class SandboxFailedError(SandboxError):
    """The sandbox ``sandbox_id`` failed; ``status_reason`` is the server's explanation."""

    sandbox_id: str | None
    status_reason: str | None

    def __init__(
        self,
        message: str,
        *,
        sandbox_id: str | None = None,
        status_reason: str | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, retry_delay=retry_delay)
        self.sandbox_id = sandbox_id
        self.status_reason = status_reason


class SandboxTerminalStateUnavailableError(SandboxError):
    """The sandbox was told to stop, but its final state could not be observed in time."""


class SandboxNotFoundError(SandboxError):
    """There is no sandbox with this ``sandbox_id``, or no longer."""

    sandbox_id: str | None

    def __init__(
        self,
        message: str,
        *,
        sandbox_id: str | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, retry_delay=retry_delay)
        self.sandbox_id = sandbox_id


class SandboxProtocolError(SandboxError):
    """The server's reply could not be decoded."""


class SandboxExecutionError(SandboxError):
    """A command ended with a non-zero exit code under ``check=True``, or its stream broke.

    ``exception_type`` and ``exception_message`` describe the exception of a remote function.
    """

    exception_type: str | None
    exception_message: str | None

    def __init__(
        self,
        message: str,
        *,
        exec_result: ProcessResult | None = None,
        exception_type: str | None = None,
        exception_message: str | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, retry_delay=retry_delay)
        self.exec_result = exec_result
        self.exception_type = exception_type
        self.exception_message = exception_message


class _StreamError(SandboxExecutionError):
    """The server reported a fault of a stream; ``stream_code`` is its code for that."""

    stream_code: str | None

    def __init__(
        self,
        message: str,
        *,
        stream_code: str | None = None,
        exec_result: ProcessResult | None = None,
        exception_type: str | None = None,
        exception_message: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(
            message,
            exec_result=exec_result,
            exception_type=exception_type,
            exception_message=exception_message,
            metadata=metadata,
            retry_delay=retry_delay,
        )
        self.stream_code = stream_code


class SandboxStreamBackpressureError(_StreamError):
    """The server ended the stream because its output was read too slowly; part of it is lost.

    ``stream_code`` is the server's code for that.
    """


class SandboxStreamTruncatedError(_StreamError):
    """Part of the output is missing here: it was lost in transit, or not kept because nobody read it in time.

    ``stream_code`` is the server's code, if the server reported the loss.
    """


class SandboxFileError(SandboxError):
    """A file operation on ``filepath`` failed."""

    filepath: str | None

    def __init__(
        self,
        message: str,
        *,
        filepath: str | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, retry_delay=retry_delay)
        self.filepath = filepath


class SandboxTransferError(SandboxFileError):
    """``upload()`` or ``download()`` failed.

    ``filepath`` is the path in the sandbox. ``member`` is what could not be copied, as a path below the top of the
    tree, or None where it is not one entry that failed. ``transferred`` has the counts of what was copied until then,
    and ``last_member`` is the entry that was worked on last.
    """

    member: str | None

    def __init__(
        self,
        message: str,
        *,
        member: str | None = None,
        filepath: str | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(
            message, filepath=filepath, reason=reason, metadata=metadata, retry_delay=retry_delay
        )
        self.member = member


class SandboxSnapshotError(SandboxError):
    """A snapshot operation failed; ``file_system_snapshot_id`` names the snapshot if known."""

    file_system_snapshot_id: str | None

    def __init__(
        self,
        message: str,
        *,
        file_system_snapshot_id: str | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, retry_delay=retry_delay)
        self.file_system_snapshot_id = file_system_snapshot_id


class SnapshotNotFoundError(SandboxSnapshotError):
    """There is no such snapshot."""


class SnapshotNotReadyError(SandboxSnapshotError):
    """The snapshot cannot be used yet."""


class SnapshotNotSupportedError(SandboxSnapshotError):
    """This sandbox cannot be snapshotted."""


class SnapshotSizeExceededError(SandboxSnapshotError):
    """The snapshot is larger than the service allows."""


class SnapshotQuotaExceededError(SandboxSnapshotError):
    """The organization's snapshot quota is used up."""


class SnapshotBucketMismatchError(SandboxSnapshotError):
    """The snapshot lies in another bucket than the one in use."""


class SnapshotOnStopConflictError(SandboxSnapshotError):
    """A snapshot on stop was requested too late."""


class SnapshotBackendThrottledError(SandboxUnavailableError, SandboxSnapshotError):
    """The snapshot backend is busy. Worth retrying."""


class SnapshotBucketProvisioningError(SandboxUnavailableError, SandboxSnapshotError):
    """The snapshot bucket is still being set up. Worth retrying."""


class SnapshotWaitTimeoutError(SandboxTimeoutError, SandboxSnapshotError):
    """The snapshot was not ready in time."""


class VolumeError(SandboxError):
    """A registered volume cannot be used as requested; ``volume_id`` names it if known."""

    volume_id: str | None

    def __init__(
        self,
        message: str,
        *,
        volume_id: str | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, retry_delay=retry_delay)
        self.volume_id = volume_id


class VolumeNotFoundError(VolumeError):
    """There is no such volume."""


class VolumeNotReadyError(VolumeError):
    """The volume cannot be used yet."""


class VolumePlacementConflictError(VolumeError):
    """The attached volumes need different runners."""


class VolumeTypeNotSupportedError(VolumeError):
    """This kind of volume is not available here."""


class VolumeNotSnapshottableError(VolumeError):
    """This kind of volume has no snapshots."""


class VolumeRunnerIneligibleError(VolumeError):
    """The volume's runner cannot host this sandbox."""


class VolumeBackendNotFoundError(VolumeError):
    """The claim behind the volume does not exist."""


class VolumeInUseError(VolumeError):
    """The volume is attached to sandboxes."""


class VolumeQuotaExceededError(VolumeError):
    """The organization's volume quota is used up."""


class VolumeRunnerUnavailableError(VolumeError, SandboxUnavailableError):
    """The volume's runner is temporarily unavailable. Worth retrying."""


class VolumeWaitTimeoutError(SandboxTimeoutError):
    """The volume was not ready in time; ``volume_id`` names it if known."""

    volume_id: str | None

    def __init__(
        self,
        message: str,
        *,
        volume_id: str | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, retry_delay=retry_delay)
        self.volume_id = volume_id


class DiscoveryError(CWSandboxError):
    """A look-up of runners failed."""


class DiscoveryValidationError(DiscoveryError, CWSandboxValidationError):
    """The server refused fields of a look-up."""


class RunnerNotFoundError(DiscoveryError):
    """There is no runner with this ``runner_id``."""

    runner_id: str

    def __init__(
        self,
        message: str,
        *,
        runner_id: str,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, retry_delay=retry_delay)
        self.runner_id = runner_id


class ProfileNotFoundError(DiscoveryError):
    """No longer raised; kept, with ``profile_name`` and ``runner_id``, for programs that catch it."""

    profile_name: str
    runner_id: str | None

    def __init__(
        self,
        message: str,
        *,
        profile_name: str,
        runner_id: str | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, retry_delay=retry_delay)
        self.profile_name = profile_name
        self.runner_id = runner_id


class FunctionError(CWSandboxError):
    """A remote function cannot be made or run."""


class AsyncFunctionError(FunctionError):
    """Async functions cannot be remote functions."""


class BatchError(CWSandboxError):
    """A batch cannot go on: its store cannot be used, or does not fit its jobs."""


for _class in list(vars().values()):
    if isinstance(_class, type):
        on_demand(_class)
del _class


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Published programs import it from here, too. It loads dataclasses, which few need.
        if name != "FieldViolation":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from cwsandbox._types.error import FieldViolation

        return FieldViolation


def __dir__() -> list[str]:
    return sorted({*globals(), "FieldViolation"})
