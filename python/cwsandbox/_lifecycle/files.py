"""File operations that one call does not complete, and the commands that transfer files instead.

A read or write begins as one native call. Where that was not enough (the file is too large for a message, the
service asks to come back), the operation comes out of ``UnfinishedFiles``, and a coroutine here completes it on the
policy loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import random
from collections import deque
from typing import TYPE_CHECKING, Any

from cwsandbox import _cwsandbox
from cwsandbox._lifecycle.file_sources import ITEM_COST, pieces_of
from cwsandbox._messages import files as wire
from cwsandbox._runtime import life, loop
from cwsandbox._runtime.policy import given_up
from cwsandbox._service import errors, retry
from cwsandbox._service.file_errors import Reading, Writing, call_exception, too_large
from cwsandbox._service.rpc import Code
from cwsandbox.exceptions import SandboxError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import TypeVar

    from cwsandbox._cwsandbox import FileOperation, OperationRef, Process, SandboxCore
    from cwsandbox._service.rpc import RpcFailure

    _T = TypeVar("_T")

_TOO_LARGE = "CWSANDBOX_FILE_TOO_LARGE"
# So many bytes of a file may be on their way into the connection at once; each piece counts for some more, since it
# needs an operation.
_WINDOW = 2 * 1024 * 1024

# ---- operations that are unfinished ----


def serve() -> None:
    """Have unfinished file operations completed from now on. To be called once in a process."""
    # In a context of its own: what it completes belongs to others.
    contextvars.Context().run(loop.policy().call, lambda: _keep(_serve()))


_tasks: set[asyncio.Task[Any]] = set()


def _keep(
    work: Coroutine[Any, Any, Any], context: contextvars.Context | None = None
) -> asyncio.Task[Any]:
    """Run it in the background."""
    task = asyncio.get_running_loop().create_task(work, context=context)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


async def _serve() -> None:
    async for operation in _cwsandbox.UnfinishedFiles():
        if operation._failure is None:
            # Dropped while it is under way: kept until it has ended.
            _keep(_outlast(operation))
            continue
        traced = operation._trace
        task = _keep(_complete(operation), None if traced is None else traced.context())
        operation._when_cancelled(_canceller(task))


def _canceller(task: asyncio.Task[Any]) -> Any:
    policy = asyncio.get_running_loop()
    return lambda: policy.call_soon_threadsafe(task.cancel)


async def _outlast(operation: FileOperation[Any]) -> None:
    ending = asyncio.ensure_future(operation)
    await asyncio.wait([ending])
    if not ending.cancelled():
        ending.exception()  # nobody is left to be told, so asyncio need not log it


async def _complete(operation: FileOperation[Any]) -> None:
    try:
        value = await (_write if operation._is_write else _read)(operation)
    except asyncio.CancelledError:
        ending = given_up()
        if ending is not None:
            operation._set_exception(ending)
        operation._cancel()
        raise
    except BaseException as error:
        operation._set_exception(error)
    else:
        operation._set_result(value)


def _failure(operation: FileOperation[Any]) -> RpcFailure:
    error = operation._failure
    assert error is not None
    return errors.failure_of(error, _cwsandbox._message_unpack)


def _exception(operation: FileOperation[Any], failure: RpcFailure) -> SandboxError:
    raised = call_exception(
        failure,
        is_write=operation._is_write,
        path=operation._path,
        timeout=operation._timeout,
    )
    errors.note_not_running(raised, operation._sandbox)
    return raised  # type: ignore[return-value]


def _note_limit(core: SandboxCore, failure: RpcFailure) -> None:
    """Remember what the service takes in one message, if it says so."""
    limit = wire.size_in(failure.info.metadata, "max_size_bytes")
    if limit:
        core.write_max = min(limit, wire.MESSAGE_MAX)


def message_max(core: SandboxCore) -> int:
    """How much content is written with one message."""
    return core.write_max or wire.MESSAGE_MAX_DEFAULT


# ---- reading ----

# Which attempt a read is that follows another one; a first one is not in here.
_attempts: dict[FileOperation[Any], int] = {}


async def _read(operation: FileOperation[Any]) -> bytes:
    failure = _failure(operation)
    if failure.trusted_reason == _TOO_LARGE:
        _note_limit(operation._sandbox, failure)
        size = wire.size_in(failure.info.metadata, "size_bytes")
        if size is None:
            raise _exception(operation, failure)
        if size > wire.FILE_MAX:
            # The service's limit is one for messages, which does not count here.
            raise too_large(operation._path, size, wire.FILE_MAX, "read_file")
        return await _read_by_command(operation, size)
    if failure.code == Code.RESOURCE_EXHAUSTED:
        return await _read_by_command(operation, None)
    return await _read_again(operation, failure)


async def _read_again(operation: FileOperation[Any], failure: RpcFailure) -> bytes:
    attempt = _attempts.pop(operation, 1)
    left = operation._time_left
    delay = retry.server_delay(
        failure, attempt, float("inf") if left is None else left, random.uniform
    )
    if delay is None:
        raise _exception(operation, failure)
    await asyncio.sleep(delay)
    again = operation._sandbox.read_file(
        operation._path, None if left is None else left - delay, operation._container
    )
    _attempts[again] = attempt + 1
    try:
        return await again
    finally:
        _attempts.pop(again, None)


async def _read_by_command(operation: FileOperation[Any], size: int | None) -> bytes:
    reading = Reading(operation._path, operation._timeout, size, wire.FILE_MAX)
    process = operation._sandbox.exec(
        wire.read_command(operation._path, limited=not size),
        timeout=operation._timeout,
        container=operation._container,
        purpose=reading,
    )
    content: Any = await process
    return content  # type: ignore[no-any-return]


# ---- writing ----


async def _write(operation: FileOperation[Any]) -> None:
    failure = _failure(operation)
    if failure.trusted_reason == _TOO_LARGE:
        _note_limit(operation._sandbox, failure)
    elif failure.code != Code.RESOURCE_EXHAUSTED or not _is_about_messages(failure):
        raise _exception(operation, failure)
    await write_by_command(
        operation._sandbox,
        operation._path,
        memoryview(operation._contents),
        operation._timeout,
        operation._container,
    )


def _is_about_messages(failure: RpcFailure) -> bool:
    text = failure.message.lower()
    return "message" in text and "larger than max" in text


async def refuse_size(path: str, size: int) -> None:
    """For content that is too large however it is sent."""
    raise too_large(path, size, wire.FILE_MAX, "write_file")


async def write_by_command(
    core: SandboxCore, path: str, content: memoryview, timeout: float | None, container: str
) -> None:
    """Write content of a known size through the standard input of a command."""
    writing = Writing(path, timeout)
    process = core.exec(
        wire.write_command(path, content.nbytes),
        stdin=True,
        timeout=timeout,
        container=container,
        purpose=writing,
    )
    await upload(process, writing, content)


async def upload(process: Process, writing: Writing, source: Any) -> None:
    """Send what ``source`` gives to the command, and wait for its end.

    ``source`` is bytes-like, an iterable or an async iterable. What it raises is raised here; the command ends then.
    """
    here = asyncio.get_running_loop()
    feeding = asyncio.ensure_future(_feed(process, writing, source))
    ending = asyncio.ensure_future(_end_of(process))
    try:
        await asyncio.wait({feeding, ending}, return_when=asyncio.FIRST_COMPLETED)
        if feeding.done():
            feeding.result()
            await asyncio.wait({ending})
        ending.result()
    finally:
        process.cancel()
        if _runs_in(here):
            await _give_up(feeding, ending)


def _runs_in(here: asyncio.AbstractEventLoop) -> bool:
    """False where a coroutine of that event loop is only let go, as the loop was closed or dropped. It cannot await."""
    return asyncio._get_running_loop() is here


async def _give_up(*tasks: asyncio.Task[None]) -> None:
    """Cancel these and wait for their end, so that a source is not used any more afterwards."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()


async def _end_of(process: Process) -> None:
    await process


async def _feed(process: Process, writing: Writing, source: Any) -> None:
    assert process.stdin is not None
    under_way: deque[tuple[int, OperationRef[None]]] = deque()
    size = 0
    here = asyncio.get_running_loop()
    pieces = pieces_of(source)
    try:
        async for piece in pieces:
            try:
                cost = piece.nbytes + ITEM_COST
                under_way.append((cost, process.stdin.write(piece)))
                size += cost
                while size > _WINDOW:
                    await under_way[0][1]
                    size -= under_way.popleft()[0]
            except SandboxError:
                return  # the command has ended; why, is for it to say
            writing.sent += piece.nbytes
    finally:
        if _runs_in(here):
            await pieces.aclose()
    with contextlib.suppress(SandboxError):
        for _, written in under_way:
            await written
        writing.is_whole = True
        await process.stdin.close()


def _forget() -> None:
    _tasks.clear()
    _attempts.clear()


life.when_forked(_forget)
