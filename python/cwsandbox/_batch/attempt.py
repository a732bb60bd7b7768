"""One try of one job in one sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cwsandbox._batch import verdict as _verdict
from cwsandbox._batch.job import Job
from cwsandbox._batch.retry import hint_of
from cwsandbox._batch.verdict import Verdict
from cwsandbox._runtime.threads import Call, Group
from cwsandbox._types.result import ProcessResult
from cwsandbox.exceptions import (
    CWSandboxAuthenticationError,
    CWSandboxError,
    SandboxFileError,
)

if TYPE_CHECKING:
    from cwsandbox._sandbox.sandbox import Sandbox

# Where a container sees how often the kernel has killed one of its processes for want of memory.
_MEMORY_EVENTS = "/sys/fs/cgroup/memory.events"


@dataclass(slots=True)
class Ended:
    """How a try has ended."""

    verdict: Verdict
    result: ProcessResult | None = None
    error: str | None = None
    hint: float | None = None
    artifacts: dict[str, bytes] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def leaves_clean(self) -> bool:
        """Whether the command has ended by itself, so that its sandbox may serve others."""
        return self.verdict in (Verdict.OK, Verdict.FAILED)


def failed(verdict: Verdict, error: BaseException) -> Ended:
    """A try without an exit code."""
    result = error.exec_result if isinstance(error, CWSandboxError) else None
    return Ended(verdict, result, _named(error), hint_of(error))


def _named(error: BaseException) -> str:
    """An exception as text that a store can keep, whoever has raised it."""
    return _kept(f"{type(error).__name__}: {error}")


def _kept(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


class Attempts:
    """Makes tries, and knows what the service has told so far."""

    def __init__(self, max_output_bytes: int, max_artifact_bytes: int) -> None:
        self._output_max = max_output_bytes
        self._artifact_max = max_artifact_bytes
        self._tells_of_memory = True

    async def make(self, job: Job, sandbox: Sandbox) -> Ended:
        """Run the job. Raises only what ends the whole batch: wrong credentials, cancellation."""
        if job.files:
            try:
                await _write(sandbox, job)
            except CWSandboxAuthenticationError:
                raise
            except (CWSandboxError, OSError, TypeError, ValueError) as error:
                return failed(_verdict.of_start(error), error)
        ended = await self._run(job, sandbox)
        if job.artifacts and not ended.verdict.is_infra and ended.verdict is not Verdict.INVALID:
            await self._collect(job, sandbox, ended)
        return ended

    async def _run(self, job: Job, sandbox: Sandbox) -> Ended:
        try:
            process = sandbox.exec(
                job.command,
                cwd=job.cwd,
                env=job.env,
                timeout_seconds=job.timeout_seconds,
                stdin=job.stdin is not None,
                max_output_bytes=self._output_max,
            )
        except (TypeError, ValueError) as error:
            return failed(Verdict.INVALID, error)
        if process.stdin is not None:
            # A command need not read its input: its result tells how it went.
            if job.stdin:
                process.stdin.write(job.stdin)
            process.stdin.close()
        try:
            result = await process
        except CWSandboxAuthenticationError:
            raise
        except CWSandboxError as error:
            return failed(_verdict.of_command(error), error)
        except BaseException:
            process.cancel()
            raise
        if result.returncode and await self._was_killed_for_memory(sandbox):
            return Ended(Verdict.OUT_OF_MEMORY, result)
        return Ended(_verdict.of_exit(result.returncode), result)

    async def _was_killed_for_memory(self, sandbox: Sandbox) -> bool:
        if not self._tells_of_memory:
            return False
        try:
            events = await sandbox.read_file(_MEMORY_EVENTS)
        except SandboxFileError:
            self._tells_of_memory = False
            return False
        except CWSandboxError:
            return False  # the exit code is known, and that counts
        return _kills(events) > 0

    async def _collect(self, job: Job, sandbox: Sandbox, ended: Ended) -> None:
        """Take the artifacts. If the sandbox is lost meanwhile, so is the try."""
        for path in job.artifacts:
            try:
                ended.artifacts[path] = await self._content(sandbox, path)
            except (SandboxFileError, _TooLarge) as error:
                ended.missing[path] = _kept(str(error))
            except CWSandboxAuthenticationError:
                raise
            except CWSandboxError as error:
                ended.verdict = Verdict.SANDBOX_LOST
                ended.error = f"the artifact {path} was lost: {_named(error)}"
                return

    async def _content(self, sandbox: Sandbox, path: str) -> bytes:
        content = bytearray()
        reader = sandbox.read_file_streaming(path)
        try:
            async for piece in reader:
                content += piece
                if len(content) > self._artifact_max:
                    raise _TooLarge(
                        f"{path} has more than the {self._artifact_max} bytes of max_artifact_bytes"
                    )
        finally:
            reader.close()
        return bytes(content)


class _TooLarge(Exception):
    """An artifact is larger than the batch takes."""


async def _write(sandbox: Sandbox, job: Job) -> None:
    for path, content in job.files.items():
        if isinstance(content, Path):
            content = await Call(content.read_bytes, Group.TRANSFERS).result(None)
        await sandbox.write_file(path, content)


def _kills(events: bytes) -> int:
    """The number behind ``oom_kill`` in a cgroup's memory.events."""
    words: Sequence[bytes]
    for words in map(bytes.split, events.splitlines()):
        if len(words) == 2 and words[0] == b"oom_kill" and words[1].isdigit():
            return int(words[1])
    return 0
