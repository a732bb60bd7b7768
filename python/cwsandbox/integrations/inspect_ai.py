"""The sandbox provider ``cwsandbox`` of inspect_ai, which finds it by the entry point (docs/guide/inspect-ai.md)."""

from __future__ import annotations

import errno
import math
import os
import posixpath
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, overload

from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxConnection,
    SandboxEnvironment,
    SandboxEnvironmentConfigType,
    SandboxEnvironmentLimits,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
    sandboxenv,
)
from pydantic import BaseModel, ConfigDict

from cwsandbox import ProcessResult, Sandbox
from cwsandbox._service import endpoint, local
from cwsandbox.exceptions import (
    SandboxError,
    SandboxFailedError,
    SandboxFileError,
    SandboxNotFoundError,
    SandboxNotRunningError,
    SandboxTerminatedError,
    SandboxTimeoutError,
)

# By which `inspect sandbox cleanup cwsandbox` finds what was left.
TAG = "inspect-ai"

_ERRNO = {
    "CWSANDBOX_FILE_NOT_FOUND": errno.ENOENT,
    "CWSANDBOX_FILE_IS_DIRECTORY": errno.EISDIR,
    "CWSANDBOX_FILE_PERMISSION_DENIED": errno.EACCES,
}
_GONE = (SandboxNotRunningError, SandboxNotFoundError, SandboxFailedError, SandboxTerminatedError)


class CWSandboxConfig(BaseModel):
    """What a task's sandboxes are made of: arguments of ``Sandbox()``, of the same names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    container_image: str | None = None
    working_dir: str | None = None
    environment_variables: dict[str, str] | None = None
    resources: dict[str, Any] | None = None
    network: dict[str, Any] | None = None
    volumes: list[dict[str, Any]] | None = None
    secrets: list[dict[str, Any]] | None = None
    runner_ids: list[str] | None = None
    tags: list[str] = []
    max_lifetime_seconds: float | None = None

    def __hash__(self) -> int:  # inspect_ai puts configurations into sets
        return hash(self.model_dump_json())


@sandboxenv(name="cwsandbox")
class CWSandboxEnvironment(SandboxEnvironment):
    """One sandbox for each sample. Commands and relative paths begin in the container's working directory."""

    def __init__(self, sandbox: Sandbox, directory: str) -> None:
        super().__init__()
        self.sandbox = sandbox
        self._directory = directory

    @classmethod
    async def sample_init(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        metadata: dict[str, str],
    ) -> dict[str, SandboxEnvironment]:
        """A sandbox that runs. ``config`` is a ``CWSandboxConfig`` or the name of an image."""
        settings = config or CWSandboxConfig()
        if isinstance(settings, str):
            settings = CWSandboxConfig(container_image=settings)
        if not isinstance(settings, CWSandboxConfig):
            raise TypeError(
                f"sandbox must be a CWSandboxConfig or an image's name, got {settings!r}"
            )
        options = settings.model_dump(exclude_none=True)
        sandbox = Sandbox(**{**options, "tags": [TAG, *settings.tags]})
        try:
            await sandbox
            directory = (await sandbox.exec(["pwd"], check=True)).stdout.removesuffix("\n")
        except BaseException:
            sandbox.stop(graceful_shutdown_seconds=0, missing_ok=True)
            raise
        return {"default": cls(sandbox, directory)}

    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        for environment in environments.values():
            sandbox = environment.as_type(cls).sandbox
            await sandbox.stop(graceful_shutdown_seconds=0, missing_ok=True)

    @classmethod
    async def cli_cleanup(cls, id: str | None) -> None:
        """Delete the sandbox of this id, or all that samples have left."""
        left = [id] if id else [str(one.sandbox_id) for one in await Sandbox.list(tags=[TAG])]
        for sandbox_id in left:
            await Sandbox.delete(sandbox_id, missing_ok=True)

    @classmethod
    def config_deserialize(cls, config: dict[str, Any]) -> BaseModel:
        return CWSandboxConfig(**config)

    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        """Run a command. One that meets its time limit is not tried again: it was ended, not lost."""
        _check_user(user)
        limit = SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE
        with _inspect_errors():
            process = self.sandbox.exec(
                cmd,
                cwd=posixpath.join(self._directory, cwd) if cwd else None,
                env=env,
                stdin=input is not None,
                timeout_seconds=math.inf if timeout is None else timeout,
                max_output_bytes=limit,
            )
            try:
                if process.stdin is not None:
                    # A command may end without reading its input.
                    with suppress(SandboxError, OSError):
                        await process.stdin.write(_bytes(input or b""))
                        await process.stdin.close()
                result = await process
            except BaseException:
                process.cancel()
                raise
        _check_output(result, limit)
        if result.returncode == 126 and "ermission denied" in result.stderr:
            raise PermissionError(result.stderr.strip())
        code = result.returncode
        return ExecResult(code == 0, code, result.stdout, result.stderr)

    async def write_file(self, file: str, contents: str | bytes) -> None:
        path = posixpath.join(self._directory, file)
        with _inspect_errors():
            await self.sandbox.write_file(path, _bytes(contents))

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        path = posixpath.join(self._directory, file)
        with _inspect_errors():
            # Asked first, so that a huge file is never sent. What is wrong with the path the read itself tells.
            asked = await self.sandbox.exec(["stat", "-Lc", "%s %a %F", path])
            if asked.returncode == 0:
                size, mode, kind = asked.stdout.split(maxsplit=2)
                if (
                    kind.startswith("regular")
                    and int(size) > SandboxEnvironmentLimits.MAX_READ_FILE_SIZE
                ):
                    raise _too_large()
                # The sandbox's root may read it all the same, but nobody was meant to.
                if not int(mode, 8) & 0o444:
                    raise _file_error(errno.EACCES, path)
            content = await self.sandbox.read_file(path)
        return content.decode() if text else content

    async def connection(self, *, user: str | None = None) -> SandboxConnection:
        _check_user(user)
        url = self.sandbox._connection.base_url
        if url == endpoint.LOCAL:
            url = local.target()  # under its name another process would have another daemon
        return SandboxConnection(
            type="cwsandbox",
            command=f"CWSANDBOX_BASE_URL={shlex.quote(url)} cwsandbox sh {self.sandbox.sandbox_id}",
            container=self.sandbox.sandbox_id,
        )


def _check_user(user: str | None) -> None:
    if user not in (None, "root", "0"):
        raise SandboxUserUnsupportedError(f"commands run as the sandbox's root, not {user!r}")


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _too_large() -> OutputLimitExceededError:
    return OutputLimitExceededError(SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR, None)


def _check_output(result: ProcessResult, limit: int) -> None:
    for data, omitted in (
        (result.stdout_bytes, result.stdout_omitted_bytes),
        (result.stderr_bytes, result.stderr_omitted_bytes),
    ):
        if omitted:
            # Of what was kept the second half is the output's end.
            begin = data[: limit // 2].decode(errors="replace")
            raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE_STR, begin)


def _file_error(number: int, path: str | None) -> OSError:
    """FileNotFoundError and so on: Python takes the class from the number."""
    return OSError(number, os.strerror(number), path)


@contextmanager
def _inspect_errors() -> Iterator[None]:
    """Raise the package's exceptions as those that inspect_ai tells apart."""
    try:
        yield
    except SandboxTimeoutError as error:
        raise TimeoutError(str(error)) from error
    except SandboxFileError as error:
        number = _ERRNO.get(error.reason or "", errno.EIO)
        raise _file_error(number, error.filepath) from error
    except _GONE as error:
        raise SandboxUnavailableError(str(error)) from error
