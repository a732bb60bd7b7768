"""What went wrong with a file: from failed calls, and from the commands that stand in for them, to exceptions."""

from __future__ import annotations

from cwsandbox import exceptions as exc
from cwsandbox._service import errors
from cwsandbox._service.rpc import Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cwsandbox._cwsandbox import FileOperation, Process, RpcError
    from cwsandbox._service.rpc import RpcFailure, Unpack

_PREFIX = "CWSANDBOX_FILE_"

# Exit codes of the commands; others are IO_FAILED.
_BY_EXIT_CODE = {2: "NOT_FOUND", 3: "IS_DIRECTORY"}
# So much of what a command says against the transfer is shown.
_TEXT_MAX = 16 * 1024


def file_error(
    text: str, path: str, reason: str | None = None, metadata: Mapping[str, str] | None = None
) -> exc.SandboxFileError:
    return exc.SandboxFileError(
        text,
        filepath=path,
        reason=None if reason is None else _PREFIX + reason,
        metadata=metadata,
    )


def too_large(path: str, size: int, limit: int, operation: str) -> exc.SandboxFileError:
    metadata = {
        "size_bytes": str(size),
        "max_size_bytes": str(limit),
        "operation": operation,
        "filepath": path,
    }
    what = "read" if operation.startswith("read") else "write"
    return file_error(
        f"Cannot {what} file {path!r} at once: it has {size} bytes, and the limit is {limit}; "
        f"use {what}_file_streaming()",
        path,
        "TOO_LARGE",
        metadata,
    )


def _truncated(
    text: str, path: str, operation: str, size: int, delivered: int
) -> exc.SandboxFileError:
    metadata = {
        "filepath": path,
        "operation": operation,
        "size_bytes": str(size),
        "bytes_delivered": str(delivered),
    }
    return file_error(text, path, "TRUNCATED", metadata)


def call_exception(
    failure: RpcFailure, *, is_write: bool, path: str, timeout: float | None
) -> exc.CWSandboxError:
    """For a call that failed. ``timeout`` is its limit in seconds."""
    operation = f"{'Write' if is_write else 'Read'} file {path!r}"
    return _placed(errors.to_exception(failure, operation=operation, filepath=path), path, timeout)


def _placed(raised: exc.CWSandboxError, path: str, timeout: float | None) -> exc.CWSandboxError:
    """The same exception, knowing which file it is about."""
    raised.filepath = path
    if isinstance(raised, exc.SandboxTimeoutError):
        raised.timeout = timeout
    return raised


class FileHooks:
    """What file operations and the commands of transfers call to make exceptions."""

    def __init__(self, unpack: Unpack) -> None:
        self._unpack = unpack

    def make_error(self, operation: FileOperation[Any], error: RpcError) -> BaseException:
        if error.failure is not None:
            return errors.own_exception(error.failure)
        raised = call_exception(
            errors.failure_of(error, self._unpack),
            is_write=operation._is_write,
            path=operation._path,
            timeout=operation._timeout,
        )
        errors.note_not_running(raised, operation._sandbox)
        return raised

    def make_helper_value(self, process: Process, code: int, _: bool) -> Any:
        transfer: Transfer = process._purpose
        return transfer.value(process, code)

    def make_helper_error(self, process: Process, error: RpcError) -> BaseException:
        transfer: Transfer = process._purpose
        if error.failure is not None:
            return errors.own_exception(error.failure)
        raised = transfer.failure(error, errors.failure_of(error, self._unpack))
        if error.kind == "status":
            errors.note_not_running(raised, process._sandbox)
        return raised


class Transfer:
    """A file on its way through a command, and what its end means."""

    operation = ""

    def __init__(self, path: str, timeout: float | None) -> None:
        self.path = path
        self.timeout = timeout

    def value(self, process: Process, code: int) -> Any:
        """The result of a command that has exited; an exception to be raised is returned, too."""
        raise NotImplementedError

    def failure(self, error: RpcError, failure: RpcFailure) -> exc.CWSandboxError:
        """The exception for a command that did not get to its end."""
        name = f"Transfer of file {self.path!r}"
        if error.kind == "no_exit":
            return file_error(f"{name} ended without an exit status", self.path)
        if error.kind == "ready_timeout":
            text = f"{name} failed: the service was not ready for it in time: {error.message}"
            return _placed(exc.SandboxTimeoutError(text), self.path, self.timeout)
        if error.kind == "gap":
            return file_error(f"{name} has a gap: {error.message}", self.path, "TRUNCATED")
        if error.kind == "frame":
            return _placed(errors.frame_exception(error, name), self.path, None)
        if failure.code == Code.DEADLINE_EXCEEDED:
            limit = "" if self.timeout is None else f" after {self.timeout:g}s"
            late = exc.SandboxRequestTimeoutError(f"{name} timed out{limit}")
            return _placed(late, self.path, self.timeout)
        raised = errors.to_exception(failure, operation=name, filepath=self.path)
        return _placed(raised, self.path, self.timeout)

    def _refused(self, process: Process, code: int, what: str) -> exc.SandboxFileError:
        text = _said(process)
        reason = _BY_EXIT_CODE.get(code, "IO_FAILED")
        if reason == "IO_FAILED" or code == 2:
            reason = "PERMISSION_DENIED" if "Permission denied" in text else reason
        return file_error(
            f"Cannot {what} file {self.path!r}: {text or f'exit code {code}'}", self.path, reason
        )


class Reading(Transfer):
    """Reading a whole file. ``expected``: how many bytes it has; None if that is not known."""

    operation = "read_file"

    def __init__(self, path: str, timeout: float | None, expected: int | None, limit: int) -> None:
        super().__init__(path, timeout)
        self._expected = expected
        self._limit = limit

    def value(self, process: Process, code: int) -> Any:
        if code != 0:
            return self._refused(process, code, "read")
        content = process._output.bytes(False)
        if len(content) > self._limit:
            return too_large(self.path, len(content), self._limit, self.operation)
        if self._expected and len(content) < self._expected:
            return _truncated(
                f"Read file {self.path!r}: {len(content)} of its {self._expected} bytes have come",
                self.path,
                self.operation,
                self._expected,
                len(content),
            )
        return content


class Streaming(Transfer):
    """Reading a file piece by piece."""

    operation = "read_file_streaming"

    def value(self, process: Process, code: int) -> Any:
        return None if code == 0 else self._refused(process, code, "read")


class Writing(Transfer):
    """Writing a file. ``sent`` counts its bytes; ``is_whole``: all of them, and the end, were sent."""

    operation = "write_file"

    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__(path, timeout)
        self.sent = 0
        self.is_whole = False

    def value(self, process: Process, code: int) -> Any:
        if code != 0:
            return self._refused(process, code, "write")
        written = process._output.bytes(False).strip()
        if not self.is_whole:
            text = f"Write file {self.path!r}: the service ended it after {self.sent} bytes, before all were sent"
            return file_error(text, self.path, "TRUNCATED")
        if written.isdigit() and int(written) != self.sent:
            return _truncated(
                f"Write file {self.path!r}: {int(written)} of {self.sent} bytes have arrived",
                self.path,
                self.operation,
                self.sent,
                int(written),
            )
        return None

    def failure(self, error: RpcError, failure: RpcFailure) -> exc.CWSandboxError:
        raised = super().failure(error, failure)
        plain = (exc.SandboxFileError, exc.SandboxStreamBackpressureError)
        if (
            isinstance(raised, plain)
            or errors.says_not_running(raised)
            or error.kind in ("ready_timeout", "closed")
        ):
            return raised
        wrapped = file_error(f"Write file {self.path!r} failed: {raised}", self.path)
        wrapped.__cause__ = raised
        return wrapped


def _said(process: Process) -> str:
    """What the command has said on standard error, in one line."""
    said = process._output.bytes(True)
    if not said and process._output.omitted(True)[0]:
        # Not kept, but not read yet either.
        try:
            said = next(process.stderr._bytes())
        except exc.SandboxError:
            said = b""
    text = said[:_TEXT_MAX].decode("utf-8", "replace").strip()
    return "; ".join(line for line in text.splitlines() if line)
