"""A copy of files into or out of a sandbox: one command there, and a thread here for the local disk."""

from __future__ import annotations

import abc
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from cwsandbox._archive.exclude import Excludes
from cwsandbox._archive.fault import ArchiveFault, CallerError, told
from cwsandbox._archive.tally import Tally, shown
from cwsandbox._runtime.threads import Call, Group
from cwsandbox._service.errors import own_exception, printable, shown_command
from cwsandbox._types.transfer import TransferResult
from cwsandbox.exceptions import CWSandboxError, SandboxTransferError

if TYPE_CHECKING:
    from typing import NoReturn

    from cwsandbox._cwsandbox import Process, SandboxCore
    from cwsandbox._lifecycle.driver import Driver
    from cwsandbox._types.result import ProcessResult

Progress = Callable[[int, int | None], object]

# The exit codes of our scripts, as in sysexits.h: none of them is tar's.
NO_INPUT = 66
NO_TAR = 69
_NOT_FOUND = "CWSANDBOX_FILE_NOT_FOUND"
# Begins each script. Paths come with all but plain characters as octal numbers, since a message has no other bytes than
# UTF-8; the x keeps newlines at the end.
PROLOGUE = f"""
fail() {{ printf '%s\\n' "$2" >&2; exit "$1"; }}
given() {{ printf '%bx' "$1"; }}
unset TAR_OPTIONS
command -v tar >/dev/null 2>&1 || fail {NO_TAR} 'there is no tar program in the sandbox'
"""
# So many lines of what a command had to say are told.
_LINES_MAX = 4
_LINE_MAX = 300
# The progress is told after so many bytes, and at the end.
_PROGRESS_STEP = 256 * 1024


class Order(NamedTuple):
    """What was asked for: the paths here and there, what to leave out, whom to tell, how long, and where."""

    local: str
    remote: str
    excluded: Excludes | None
    progress: Progress | None
    timeout: float | None
    container: str


class Transfer(abc.ABC):
    """One copy. ``run`` is for the policy loop, all else for the copy's own thread."""

    def __init__(self, core: SandboxCore, order: Order) -> None:
        self._core = core
        self.order = order
        self.tally = Tally()
        # How many bytes there are to copy, once that is known.
        self.total: int | None = None
        self._process: Process | None = None
        self._is_cancelled = False
        self._told_bytes = -1

    async def run(self, driver: Driver) -> TransferResult:
        """Copy, once the sandbox runs."""
        if not self._core.is_served:
            await self._running(driver)
        call = Call(self._work, Group.TRANSFERS)
        try:
            return await call.result(None)
        finally:
            self._cancel()

    async def _running(self, driver: Driver) -> None:
        try:
            await driver.bring_up()
        except CWSandboxError as error:
            own = own_exception(error)
            if isinstance(own, CWSandboxError):
                self._complete(own)
            raise own from own.__cause__

    def _cancel(self) -> None:
        # The thread sees this, or we see its command.
        self._is_cancelled = True
        if self._process is not None:
            self._process.cancel()

    def _work(self) -> TransferResult:
        try:
            try:
                self.copy()
                self.tell_progress(at_end=True)
            except ArchiveFault as fault:
                self.fail(str(fault), fault.member, cause=fault.__cause__)
        except CallerError as carried:
            raise carried.error from carried.error.__cause__
        except CWSandboxError as error:
            self._complete(error)
            raise
        finally:
            self._cancel()
        return self._result()

    @abc.abstractmethod
    def copy(self) -> None:
        """Copy. ArchiveFault and CWSandboxError when that fails, and whatever functions of the user raise."""

    @abc.abstractmethod
    def subject(self) -> str:
        """What a message about the copy begins with."""

    @abc.abstractmethod
    def counted(self) -> Tally:
        """What has been copied, as far as is known."""

    def begin(
        self, words: list[str], *, stdin: bool, capture_output: bool, max_output_bytes: int | None
    ) -> Process:
        """Start the command."""
        order = self.order
        self._process = self._core.exec(
            words,
            stdin,
            False,
            order.timeout,
            order.container,
            None,
            None,
            capture_output,
            max_output_bytes,
        )
        if self._is_cancelled:
            self._process.cancel()
        return self._process

    def tell_progress(self, *, at_end: bool = False) -> None:
        """Call the user's function, if it is time for that."""
        progress, now = self.order.progress, self.counted().bytes
        if progress is None:
            return
        is_first = self._told_bytes < 0
        if (
            is_first
            or now - self._told_bytes >= _PROGRESS_STEP
            or (at_end and now != self._told_bytes)
        ):
            self._told_bytes = now
            try:
                progress(now, self.total)
            except Exception as error:
                raise CallerError(error) from error

    def fail(
        self,
        text: str,
        member: str | None = None,
        *,
        cause: BaseException | None = None,
        result: ProcessResult | None = None,
        reason: str | None = None,
    ) -> NoReturn:
        """Raise the exception for a copy that failed."""
        where = "" if member is None else f"{member!r} "
        done = self.counted()
        error = SandboxTransferError(
            f"{self.subject()} failed: {where}{text} "
            f"({done.files} files with {done.bytes} bytes had been copied)",
            member=member,
            filepath=self.order.remote,
            reason=reason,
        )
        error.exec_result = result
        raise error from cause

    def fail_of(self, result: ProcessResult, stderr: str) -> NoReturn:
        """Raise the exception for a command that ended with another exit code than 0."""
        lines = [line.strip()[:_LINE_MAX] for line in stderr.splitlines() if line.strip()]
        text = printable("; ".join(lines[:_LINES_MAX]))
        self.fail(
            text or f"tar ended with exit code {result.returncode}",
            result=result,
            reason=_NOT_FOUND if result.returncode == NO_INPUT else None,
        )

    def _result(self) -> TransferResult:
        done = self.counted()
        return TransferResult(done.files, done.directories, done.symlinks, done.bytes)

    def _complete(self, error: CWSandboxError) -> None:
        """Have it say what was copied, and speak of the copy instead of the command."""
        error.transferred = self._result()
        last = self.tally.last
        error.last_member = None if last is None else shown(last)
        if self._process is not None and error.args:
            command = f"Command {shown_command(self._process.command)}"
            error.args = (str(error.args[0]).replace(command, self.subject()), *error.args[1:])


def word(path: str) -> str:
    """A path as an argument for the scripts' ``given``. It never looks like an option."""
    given = os.fsencode(path)
    if not given.startswith(b"/"):
        given = b"./" + given
    return escaped(given)


def escaped(given: bytes) -> str:
    """Bytes for printf's ``%b``."""
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"
    return "".join(chr(byte) if byte in plain else f"\\0{byte:03o}" for byte in given)


def last_part(path: str) -> bytes:
    """The name that a copy gets inside of a directory: "." where it is the content that is to go there."""
    name = os.fsencode(path).rstrip(b"/").rpartition(b"/")[2]
    return b"." if name in (b"", b"..") else name


def local_fault(path: str, error: OSError, *, is_source: bool) -> ArchiveFault:
    """The fault for a local path that is not below the top."""
    return ArchiveFault(f"cannot be {'read' if is_source else 'written'}: {told(error)}", path)
