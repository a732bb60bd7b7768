"""Typed face of the C extension. Checked against the built module by stubtest.

Everything here may be used from any thread. Objects made before a ``fork()`` are lost to the child: using one there
raises ``RuntimeError`` ("made before fork").
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from types import GenericAlias
from typing import Any, ClassVar, Generic, Literal, TypeVar, final, overload

from typing_extensions import Buffer, disjoint_base

from cwsandbox._types.result import ProcessResult
from cwsandbox._types.terminal import TerminalResult

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_S = TypeVar("_S")

@overload
def configure(
    kind: Literal["exec"],
    *,
    make_value: Callable[[Process, int, bool], Any],
    make_error: Callable[[Process, RpcError], BaseException],
) -> None: ...
@overload
def configure(
    kind: Literal["terminal"],
    *,
    make_value: Callable[[TerminalSession, int, bool], Any],
    make_error: Callable[[TerminalSession, RpcError], BaseException],
) -> None: ...
@overload
def configure(
    kind: Literal["helper"],
    *,
    make_value: Callable[[Process, int, bool], Any],
    make_error: Callable[[Process, RpcError], BaseException],
) -> None: ...
@overload
def configure(
    kind: Literal["file"],
    *,
    make_value: None = None,
    make_error: Callable[[FileOperation[Any], RpcError], BaseException],
) -> None: ...
@overload
def configure(
    kind: Literal["log"],
    *,
    make_value: None = None,
    make_error: Callable[[SandboxCore, RpcError], BaseException],
) -> None: ...
@overload
def configure(
    kind: Literal["write"],
    *,
    make_value: None = None,
    make_error: Callable[[str, BaseException | None], BaseException],
) -> None:
    """Install what makes the values and exceptions of operations of one kind.

    For an exec, ``make_value(process, returncode, check)`` returns the ``ProcessResult``, or *returns* an exception
    instance to raise (``check`` with a non-zero code). ``make_error(process, error)`` returns the exception for an exec
    that failed. For a terminal session both get the session instead, and ``check`` is False. For a log
    ``make_error`` gets the sandbox. For a write that cannot be
    done, ``make_error(reason, failure)`` returns the exception: reason is "closed" or "failed", or "ended" for a new
    size after the end, and ``failure`` is what the command's own result raises if the command has failed.

    Each is called with the GIL held, on the thread that asks, until it has returned once. What it raises is raised in
    that thread.
    """

def after_fork_in_child() -> None: ...
def shutdown() -> None:
    """Stop and join the I/O thread. Later calls raise ``RuntimeError``. Idempotent."""

def decode(data: bytes, /) -> str:
    """Output as text: ``data.decode("utf-8", "replace")``, but faster for large output."""

def small_file(place: bytes, name: bytes, /) -> tuple[bytes, int] | None:
    """A small file as the member ``name`` of a tar archive, with its padding, and the size of the file.

    None if it is not a regular file of up to 16 KiB, cannot be read or changed meanwhile, or if its name or time needs
    more than a plain header.
    """

def stats() -> dict[str, int]:
    """Live counts for leak tests: ``allocations``, ``operations``, ``connections``, ``streams``, ``mailboxes``."""

@overload
def trace(
    begin: Callable[[str, Any, Any], tuple[Any, Sequence[tuple[str, str]]] | None],
    ended: Callable[[], object],
    /,
) -> None: ...
@overload
def trace(begin: None, ended: None, /) -> None:
    """Have operations traced; with None, no more.

    ``begin(kind, subject, detail)`` is called as an operation begins, on the thread that begins it. It returns None, or
    the operation's owner and header fields that its calls carry. Kinds are "unary", where the subject is the
    ``Channel`` and the detail the method, and those of a ``SandboxCore``: "exec" and "shell" with the words, "helper"
    with its purpose, "read_file" and "write_file" with the path, and "stream_logs". ``ended()`` is called when owners
    are in ``Ended``, before who asks for an outcome gets it. What the two raise goes to ``sys.unraisablehook``.
    """

def wait_many(
    operations: Sequence[OperationRef[Any]], count: int, timeout: float | None
) -> list[bool]:
    """Block until ``count`` of the operations are done or ``timeout`` seconds have passed; one flag per operation."""

class RpcError(Exception):
    """A call or exec that failed, before the Python layer has chosen its public exception.

    ``kind`` is one of:

    - ``"status"``: a gRPC status, received or made locally
    - ``"no_exit"``: the stream ended without an exit status
    - ``"frame"``: an in-band ExecStreamError; ``code_text`` holds its code
    - ``"ready_timeout"``: no ready frame came in time for stdin
    - ``"gap"``: output that was not read in time and is not kept
    - ``"lost"``: a log that was asked for again in vain; the rest is of the last failure
    - ``"closed"``: SandboxCore.close
    - ``"not_open"``: SandboxCore.fail; ``failure`` holds the exception
    """

    kind: str
    code: int
    code_name: str
    message: str
    details: tuple[bytes, ...]
    local: bool
    code_text: str | None
    failure: BaseException | None

@disjoint_base
class OperationRef(Generic[_T_co]):
    """The result of an operation that runs in the background.

    ``OperationRef(future)`` wraps a ``concurrent.futures.Future``. The value stays: it can be retrieved any number of
    times, with ``result()`` from threads and with ``await`` from any event loop.
    """

    def __init__(self, future: Any) -> None: ...
    def result(self, timeout: float | None = None) -> _T_co:
        """Block for the value. The GIL is released meanwhile, and Ctrl-C works at once.

        Raises the operation's exception; ``TimeoutError`` when ``timeout`` seconds pass first (the operation goes on);
        ``concurrent.futures.CancelledError`` when the operation was cancelled."""
    def __await__(self) -> Generator[Any, None, _T_co]: ...
    def _done(self) -> bool: ...
    def _cancel(self) -> bool:
        """Cancel it if it is not done. True if this call or an earlier one cancelled it, False if it had finished."""
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...

class Promise(OperationRef[_T_co]):
    """An operation completed by Python code. ``on_cancel`` is called once, on the cancelling thread, if it is
    cancelled."""

    def __init__(self, on_cancel: Callable[[], object] | None = None) -> None: ...
    def set_result(self, value: Any) -> bool:
        """False if it was already done or cancelled; then nothing changes."""
    def set_exception(self, exception: BaseException) -> bool: ...

@final
class Channel:
    """The connections to one authority, shared by all channels of the process with equal settings. Making one does no
    I/O."""

    def __new__(
        cls,
        target: str,
        *,
        metadata: Sequence[tuple[str, str]] = (),
        roots_pem: bytes | None = None,
        cert_chain_pem: bytes | None = None,
        private_key_pem: bytes | None = None,
        max_receive_bytes: int = 104857600,
        ping_interval: float = 300.0,
    ) -> Channel:
        """``target``: ``http://host[:port]``, ``https://host[:port]`` or ``unix:///path``. ``ValueError`` names value
        and rule.

        ``ping_interval``: after this many seconds of silence during a command without a time limit, a PING is sent.
        """
    @property
    def is_refused(self) -> bool:
        """An operation of a sandbox was refused there: the sandbox is elsewhere."""
    def knows(self, extension: str, /) -> bool:
        """Whether the service's last answer has named this extension of the messages."""
    def connect(self, timeout: float | None, /) -> OperationRef[None]:
        """Have a connection made, if there is none. The operation ends when there is one; nothing is asked for."""
    def unary(
        self, method: str, request: Mapping[str, Any], timeout: float | None = None
    ) -> OperationRef[dict[str, Any]]:
        """Call ``"Service/Method"`` with the request as a dict of its fields. The reply is a dict, too; failures are
        ``RpcError``.

        Raises ``ValueError`` or ``TypeError`` at once if the request does not fit the message.
        """
    @property
    def target(self) -> str: ...

@final
class SandboxCore:
    """The native side of one sandbox: commands, file operations and logs wait until it runs, and end with it."""

    def __init__(self) -> None: ...
    def open(self, channel: Channel, sandbox_id: str) -> None:
        """The sandbox is known to run: waiting operations are sent, later ones are sent at once."""
    def fail(self, failure: BaseException) -> None:
        """The sandbox is not, or no longer, known to run: waiting operations fail with ``failure``; later ones wait
        again."""
    def evict_refused(self, failure: BaseException) -> None:
        """The sandbox has ended: operations that its endpoint has refused, and that wait for another way, end with
        ``failure``. To be called before ``fail()``."""
    def close(self, failure: BaseException) -> None:
        """The sandbox was stopped: waiting and running operations end with ``failure`` (running ones keep their partial
        output); later ones fail at once."""
    @property
    def is_open(self) -> bool: ...
    @property
    def is_served(self) -> bool:
        """Policy code has nothing to do for operations that begin: it is closed, or open and has all that it needs."""
    def set_direct(
        self, channel: Channel | None, permissions: int, seconds: float, strict: bool
    ) -> None:
        """From now on operations go over ``channel`` to the sandbox's own endpoint, for so many seconds and if the bits
        of ``permissions`` allow it. None: they do not. With ``strict`` they go no other way: after the seconds those
        that begin wait until ``open()`` is called again. Those that the endpoint refuses, because it has moved, or
        that have lost the connection to it before they were sent, wait once for another ``set_direct()``; they fail
        with the refusal at ``open()`` without one, and at ``fail()``."""
    @property
    def sandbox_id(self) -> str | None:
        """The id it was opened with; None before."""
    @property
    def is_closed(self) -> bool: ...
    def exec(
        self,
        command: list[str],
        stdin: bool = False,
        check: bool = False,
        timeout: float | None = None,
        container: str = "",
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        capture_output: bool = True,
        max_output_bytes: int | None = None,
        purpose: Any = None,
    ) -> Process:
        """Start the command in ``cwd``, an absolute path. Returns at once; never raises because of the sandbox's state.

        ``timeout``, in seconds, counts from the moment the exec is sent. ``TypeError`` if an item is not a str.
        ``env`` sets variables for this command. Without ``capture_output``, only unread output is kept, and it holds
        the command back. ``max_output_bytes=N`` keeps the first and the last half of N bytes of each stream. With a
        ``purpose`` the command is a helper, a part of something else: the makers of kind "helper" make its value and
        its exceptions, its readers raise those, too, and it ends when it is dropped or a reader of it is closed."""
    def read_file(
        self, path: str, timeout: float | None = None, container: str = ""
    ) -> FileOperation[bytes]:
        """Read a whole file. Returns at once; never raises because of the sandbox's state."""
    def write_file(
        self, path: str, contents: Buffer, timeout: float | None = None, container: str = ""
    ) -> FileOperation[None]:
        """Write a whole file, likewise. Beyond 64 KiB the contents are not copied."""
    write_max: int
    """For the Python layer: how much content one message may carry; 0 at first."""
    wants_serving: bool
    on_refused: Callable[[], object] | None
    """For the Python layer: what to call when the sandbox comes out of ``Refusals``; None at first."""
    def shell(
        self,
        command: list[str],
        width: int,
        height: int,
        timeout: float | None = None,
        container: str = "",
        cwd: str | None = None,
        env: dict[str, str] | None = None,
    ) -> TerminalSession:
        """Start the command with a terminal of this size. Returns at once; never raises because of the sandbox's state.

        ``TypeError`` if an item is not a str; ``TypeError`` and ``ValueError`` for what is no size. Counts as an
        exec."""
    def stream_logs(
        self,
        follow: bool,
        tail_lines: int,
        since: tuple[int, int] | None,
        timestamps: bool,
        timeout: float | None = None,
        container: str = "",
    ) -> StreamReader[str]:
        """Read the main command's log. Returns the reader at once; never raises because of the sandbox's state.

        ``tail_lines`` 0: all. ``since`` is seconds and nanoseconds. ``timeout``, in seconds, counts from the moment the
        request is sent, and is not for ``follow``. Does not count as an exec."""
    def stats(self) -> tuple[int, int, int, int]:
        """exec_count, completed_ok, completed_nonzero, failures."""

@final
class Process(OperationRef[ProcessResult]):
    """A running command. ``SandboxCore.exec`` makes it, or a program for its tests (``_sandbox/handmade.py``)."""

    def __new__(
        cls,
        future: Future[ProcessResult],
        command: Sequence[str],
        stdout: StreamReader[str],
        stderr: StreamReader[str],
        stdin: StreamWriter | None = None,
        stats_callback: Callable[[ProcessResult | None, BaseException | None], object]
        | None = None,
    ) -> Process: ...
    stdout: StreamReader[str]
    stderr: StreamReader[str]
    # "or Any" is "or None" without the duty to check, as typeshed has it: who writes knows what exec() was given. A type
    # of its own for stdin=True would refuse programs that use one variable for processes of both kinds.
    stdin: StreamWriter | Any
    """None unless ``exec`` was given ``stdin=True``."""
    @property
    def returncode(self) -> int | None: ...
    @property
    def command(self) -> list[str]: ...
    def poll(self) -> int | None:
        """The exit code; None while it runs and after ``cancel()``. Raises the failure of a failed process. Never
        blocks."""
    def wait(self, timeout: float | None = None) -> int: ...
    def cancel(self) -> bool: ...
    @property
    def _sandbox(self) -> SandboxCore: ...
    @property
    def _purpose(self) -> Any: ...
    @property
    def _timeout(self) -> float | None: ...
    @property
    def _output(self) -> Output: ...

@final
class TerminalSession(OperationRef[TerminalResult]):
    """A running command with a terminal. ``SandboxCore.shell`` makes it, or a program for its tests.

    As a context manager it is hung up at the end of the block. So is a session that nothing refers to any more.
    """

    def __new__(
        cls,
        future: Future[TerminalResult],
        command: Sequence[str],
        output: StreamReader[bytes],
        stdin: StreamWriter,
        resize_queue: asyncio.Queue[Any],
    ) -> TerminalSession: ...
    output: StreamReader[bytes]
    """What the terminal shows, as it comes. ``close()`` of it ends the session."""
    stdin: StreamWriter
    """The keyboard."""
    @property
    def returncode(self) -> int | None: ...
    @property
    def command(self) -> list[str]: ...
    def write(self, data: bytes | bytearray | memoryview) -> OperationRef[None]:
        """Type: ``stdin.write(data)``."""
    def resize(self, width: int, height: int) -> None:
        """Tell the terminal its size in characters. Returns at once. It goes in front of input that still waits; of
        several sizes that wait only the newest is sent. Ignored after ``stdin.close()``. ``TypeError`` and
        ``ValueError`` for what is no size (1 to 65535); ``SandboxExecutionError`` after the end."""
    def wait(self, timeout: float | None = None) -> int: ...
    def __enter__(self) -> TerminalSession: ...
    def __exit__(self, *exception: object) -> None:
        """End the session, as a terminal is hung up, and wait for that."""
    def __aenter__(self) -> Awaitable[TerminalSession]: ...
    def __aexit__(self, *exception: object) -> Awaitable[None]: ...
    @property
    def _sandbox(self) -> SandboxCore: ...
    @property
    def _timeout(self) -> float | None: ...

@final
class FileOperation(OperationRef[_T_co]):
    """Reading or writing a whole file. Made by ``SandboxCore`` only.

    If one call is not enough it comes out of ``UnfinishedFiles``, and is completed by Python code. A write that is
    dropped before its end comes out there, too, to be kept until it has ended. A read that is dropped is cancelled.
    """

    @property
    def _failure(self) -> RpcError | None:
        """Why the call was not enough; None for one that was dropped."""
    @property
    def _is_write(self) -> bool: ...
    @property
    def _path(self) -> str: ...
    @property
    def _container(self) -> str: ...
    @property
    def _contents(self) -> Any: ...
    @property
    def _sandbox(self) -> SandboxCore: ...
    @property
    def _timeout(self) -> float | None: ...
    @property
    def _trace(self) -> Any:
        """The owner that ``trace()``'s ``begin`` gave; None without one, or once it was taken."""
    @property
    def _time_left(self) -> float | None:
        """How much of the limit is left, once the call has ended."""
    def _when_cancelled(self, callback: Callable[[], object], /) -> None:
        """Called once, on the cancelling thread, if it is cancelled before it is completed."""
    def _set_result(self, value: Any, /) -> bool: ...
    def _set_exception(self, exception: BaseException, /) -> bool: ...

@final
class Ended:
    """The traced operations that have ended. ``async for`` wakes whenever there are any, and ``take()`` is for them."""

    def __init__(self) -> None: ...
    def take(self) -> tuple[Any, str, int, int, str | None, str | None, int, int] | None:
        """The first: its owner; how it has ended ("exited", "done", "failed", "cancelled", or a ``kind`` of
        ``RpcError``); the exit code; the gRPC status; what that says; the code of an error in the stream or the name of
        an exception; when it was sent (0: never) and ended, in nanoseconds of the time of day. ``done()`` must follow."""
    def done(self) -> None:
        """What ``take()`` gave has its span ended: who asks for an outcome needs not wait for it."""
    def __aiter__(self) -> Ended: ...
    def __anext__(self) -> Awaitable[None]: ...

@final
class UnfinishedFiles:
    """The file operations that Python code has to complete or to keep, as they come: for ``async for``."""

    def __init__(self) -> None: ...
    def __aiter__(self) -> UnfinishedFiles: ...
    def __anext__(self) -> Awaitable[FileOperation[Any]]: ...

@final
class Refusals:
    """The sandboxes whose endpoints have refused operations that wait for another way: for ``async for``. Operations
    that begin wait, too, until ``open()``. ``on_refused`` of each is to be called; without one they fail."""

    def __init__(self) -> None: ...
    def __aiter__(self) -> Refusals: ...
    def __anext__(self) -> Awaitable[SandboxCore]: ...

@final
class Output:
    """What a command has printed. It does not keep its Process alive, so a process's own result can hold it."""

    def bytes(self, stderr: bool, /) -> bytes:
        """What has been received so far. After the end, large output is moved, not copied: the same object each
        time."""
    @property
    def captured(self) -> bool:
        """False if nothing is kept for ``bytes()``."""
    def omitted(self, stderr: bool, /) -> tuple[int, int]:
        """How many received bytes are missing from ``bytes()``, and at which offset."""

@final
class StreamReader(Generic[_S]):
    """Iterates lines as they arrive: ``for`` in threads, ``async for`` in any event loop. The cursor is shared.

    If the command fails, the failure is raised once, after the output that has arrived. If somebody cancels the
    command, the iteration just ends. Where output is not kept and was not read in time, ``SandboxStreamTruncatedError``
    is raised in its place, once; iterating again continues after the gap.
    """

    def __new__(
        cls,
        queue: asyncio.Queue[Any] | Iterable[_S],
        loop_manager: Any = None,
        *,
        cancel: Callable[[], object] | None = None,
    ) -> StreamReader[_S]:
        """For tests: over a queue, in which None is the end and an exception is raised, or over any iterable."""
    def __iter__(self) -> StreamReader[_S]: ...
    def __next__(self) -> _S: ...
    def __aiter__(self) -> StreamReader[_S]: ...
    def __anext__(self) -> Awaitable[_S]: ...
    def chunks(self) -> StreamReader[_S]:
        """Iterates the text as it arrives, at most 64 KiB at a time, without waiting for the end of a line: for
        prompts. Characters are never split. It shares the cursor with the iteration of lines."""
    def _bytes(self) -> StreamReader[bytes]:
        """Iterates the bytes as they arrive, as they are, at most 64 KiB at a time. The cursor is shared here, too."""
    def close(self) -> None:
        """End the iteration, even for those who wait in it; the command goes on. ``result()`` still has the output.

        With both streams closed, ``result()`` has the first and the last 4 MiB of what each receives from then on;
        ``stdout_omitted_bytes`` and ``stderr_omitted_bytes`` say how much is missing in between. With
        ``capture_output=False``, later output of a closed stream is discarded. A log or a terminal session ends with
        its reader."""
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...

@final
class StreamWriter:
    """Standard input of a command."""

    def __new__(cls, queue: asyncio.Queue[Any], loop_manager: Any = None) -> StreamWriter:
        """For tests: what is written goes into the queue."""
    QUEUE_SIZE: ClassVar[int]
    def write(self, data: bytes | bytearray | memoryview) -> OperationRef[None]:
        """Queue bytes. The operation completes when flow control has let all of them pass to the connection.
        ``TypeError`` for a str."""
    def writeline(self, text: str, encoding: str = "utf-8") -> OperationRef[None]: ...
    def close(self) -> OperationRef[None]: ...
    def set_exception(self, exception: BaseException) -> None: ...
    @property
    def closed(self) -> bool: ...

def _certificate_request() -> tuple[bytes, bytes]: ...
def _message_pack(name: str, message: Mapping[str, Any], /) -> bytes: ...
def _message_unpack(name: str, data: bytes, /) -> dict[str, Any]: ...
