"""A deepagents backend in whose sandbox the agent's commands run and its files lie.

::

    with Sandbox() as sandbox:
        agent = create_deep_agent(model=model, backend=CWSandboxBackend(sandbox))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from deepagents.backends.protocol import ExecuteResponse, FileDownloadResponse, FileUploadResponse
from deepagents.backends.sandbox import BaseSandbox

from cwsandbox import OperationRef, Process, ProcessResult, Sandbox
from cwsandbox.exceptions import SandboxFileError, SandboxTimeoutError

_T = TypeVar("_T")

_FILE_ERRORS = {
    "CWSANDBOX_FILE_NOT_FOUND": "file_not_found",
    "CWSANDBOX_FILE_IS_DIRECTORY": "is_directory",
    "CWSANDBOX_FILE_PERMISSION_DENIED": "permission_denied",
}
# The exit code of timeout(1), which deepagents' own backends give, too.
_TIMED_OUT = 124


class CWSandboxBackend(BaseSandbox):
    """Runs what an agent asks for in a sandbox, which stays the caller's: nothing here stops it.

    - ``timeout``: limit in seconds for commands without one of their own.
    - ``shell``: what runs a command's text, which is added as the last word.
    - ``max_output_bytes``: of a longer output only the beginning and the end are kept, and the response is marked as
      truncated.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        timeout: float = 1800,
        shell: Sequence[str] = ("bash", "-c"),
        max_output_bytes: int = 8 << 20,
    ) -> None:
        self._sandbox = sandbox
        self._timeout = timeout
        self._shell = tuple(shell)
        self._max_output_bytes = max_output_bytes

    @property
    def id(self) -> str:
        """The sandbox's id; creates it if it is not."""
        if self._sandbox.sandbox_id is None:
            self._sandbox.start().result()
        return str(self._sandbox.sandbox_id)

    def execute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
        process = self._start(command, timeout)
        try:
            return _response(process.result())
        except SandboxTimeoutError as error:
            return _timed_out(error)
        except BaseException:
            process.cancel()
            raise

    async def aexecute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
        process = self._start(command, timeout)
        try:
            return _response(await process)
        except SandboxTimeoutError as error:
            return _timed_out(error)
        except BaseException:
            process.cancel()
            raise

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        outcomes = _outcomes([self._write(path, content) for path, content in files])
        return [
            FileUploadResponse(path, error)
            for (path, _), (_, error) in zip(files, outcomes, strict=True)
        ]

    def download_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        outcomes = _outcomes([self._read(path) for path in paths])
        return [
            FileDownloadResponse(path, *outcome)
            for path, outcome in zip(paths, outcomes, strict=True)
        ]

    def _start(self, command: str, timeout: int | None) -> Process:
        # The outer shell joins the streams, in the order in which they are written.
        joined = ["/bin/sh", "-c", 'exec "$@" 2>&1', "sh", *self._shell, command]
        return self._sandbox.exec(
            joined,
            timeout_seconds=timeout or self._timeout,
            max_output_bytes=self._max_output_bytes,
        )

    def _write(self, path: str, content: bytes) -> OperationRef[None] | None:
        return self._sandbox.write_file(path, content) if path.startswith("/") else None

    def _read(self, path: str) -> OperationRef[bytes] | None:
        return self._sandbox.read_file(path) if path.startswith("/") else None


def _response(result: ProcessResult) -> ExecuteResponse:
    return ExecuteResponse(
        output=result.stdout,
        exit_code=result.returncode,
        truncated=result.stdout_omitted_bytes > 0,
    )


def _timed_out(error: SandboxTimeoutError) -> ExecuteResponse:
    result = error.exec_result
    return ExecuteResponse(
        output=f"{result.stdout if result else ''}\nError: {error}",
        exit_code=_TIMED_OUT,
        truncated=result is not None and result.stdout_omitted_bytes > 0,
    )


def _outcomes(
    operations: Sequence[OperationRef[_T] | None],
) -> list[tuple[_T | None, str | None]]:
    try:
        return [_outcome(operation) for operation in operations]
    finally:
        for operation in operations:
            if operation is not None:
                operation._cancel()  # one that has ended stays as it is


def _outcome(operation: OperationRef[_T] | None) -> tuple[_T | None, str | None]:
    """What an operation gives, and the error of one that fails for a reason that the agent may mend."""
    if operation is None:
        return None, "invalid_path"
    try:
        return operation.result(), None
    except SandboxFileError as error:
        return None, _FILE_ERRORS.get(error.reason or "", str(error))
