"""Processes and streams that a program makes itself, for its tests: without a sandbox behind them.

Calling the public types gives objects of these classes, which say that they are of the public ones, as the doubles of
``unittest.mock`` do. The constructors take what the published ones do. There, a stream is made from an asyncio queue
and an object that can wait for it; here, from any iterable, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any

from cwsandbox import _cwsandbox
from cwsandbox._cwsandbox import OperationRef
from cwsandbox._runtime import loop
from cwsandbox._types import check
from cwsandbox.exceptions import SandboxExecutionError

StatsCallback = Callable[[Any, BaseException | None], object]


class _Command(OperationRef[Any]):
    """A future whose result has a ``returncode``."""

    def __init__(self, future: Future[Any], command: Sequence[str]) -> None:
        OperationRef.__init__(self, future)
        self._future = future
        self._command = list(check.strings(command, "command"))

    @property
    def command(self) -> list[str]:
        return [*self._command]

    @property
    def returncode(self) -> int | None:
        future = self._future
        if not future.done() or future.cancelled() or future.exception() is not None:
            return None
        return int(future.result().returncode)

    def wait(self, timeout: float | None = None) -> int:
        return int(self.result(timeout).returncode)

    def __repr__(self) -> str:
        name = self.__class__.__name__
        return f"<{name} command={self._command!r} returncode={self.returncode} made by hand>"


class Process(_Command):
    def __init__(
        self,
        future: Future[Any],
        command: Sequence[str],
        stdout: Any,
        stderr: Any,
        stdin: Any = None,
        stats_callback: StatsCallback | None = None,
    ) -> None:
        _Command.__init__(self, future, command)
        self.stdout = stdout
        self.stderr = stderr
        self.stdin = stdin
        if stats_callback is not None:
            future.add_done_callback(lambda done: stats_callback(*_outcome(done)))

    __class__ = property(lambda _: _cwsandbox.Process)

    def poll(self) -> int | None:
        if not self._future.done() or self._future.cancelled():
            return None
        return self.wait()

    def cancel(self) -> bool:
        return self._future.cancel()


def _outcome(future: Future[Any]) -> tuple[Any, BaseException | None]:
    """The result and the exception, one of which is None."""
    if future.cancelled():
        return None, CancelledError()
    error = future.exception()
    return (future.result(), None) if error is None else (None, error)


class TerminalSession(_Command):
    def __init__(
        self,
        future: Future[Any],
        command: Sequence[str],
        output: Any,
        stdin: Any,
        resize_queue: Any,
    ) -> None:
        _Command.__init__(self, future, command)
        self.output = output
        self.stdin = stdin
        self._resize_queue = resize_queue

    __class__ = property(lambda _: _cwsandbox.TerminalSession)

    def write(self, data: bytes) -> OperationRef[None]:
        written: OperationRef[None] = self.stdin.write(data)
        return written

    def resize(self, width: int, height: int) -> None:
        if self._future.done():
            raise SandboxExecutionError("the terminal session has ended")
        self._resize_queue.put_nowait((width, height))

    def __enter__(self) -> TerminalSession:
        return self

    def __exit__(self, *exception: object) -> None:
        self.output.close()

    async def __aenter__(self) -> TerminalSession:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.output.close()


# ---- streams ----


class StreamReader:
    def __init__(
        self,
        queue: Any,
        loop_manager: Any = None,
        *,
        cancel: Callable[[], object] | None = None,
    ) -> None:
        is_queue = isinstance(queue, asyncio.Queue)
        if not is_queue and not isinstance(queue, Iterable):
            raise TypeError(
                f"queue must be an asyncio.Queue or an iterable, got {check.shown(queue)}"
            )
        self._queue: asyncio.Queue[Any] | None = queue if is_queue else None
        self._items: Iterator[Any] = iter(()) if is_queue else iter(queue)
        self._manager = loop_manager
        self._cancel = cancel
        self._has_ended = False

    __class__ = property(lambda _: _cwsandbox.StreamReader)

    def __iter__(self) -> StreamReader:
        return self

    def __aiter__(self) -> StreamReader:
        return self

    def __next__(self) -> Any:
        return self._pass_on(self._wait_here, StopIteration)

    async def __anext__(self) -> Any:
        item = None if self._has_ended else await self._wait_in_loop()
        return self._pass_on(lambda: item, StopAsyncIteration)

    def chunks(self) -> StreamReader:
        """The items are what somebody has put in, whatever that is."""
        return self

    def close(self) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        if self._cancel is not None:
            self._cancel()

    def _pass_on(self, take: Callable[[], Any], end: type[Exception]) -> Any:
        item = None if self._has_ended else take()
        if item is None or self._has_ended or isinstance(item, Exception):
            self._has_ended = True
            raise item if isinstance(item, Exception) else end
        return item

    def _wait_here(self) -> Any:
        if self._queue is None:
            return next(self._items, None)
        if not self._queue.empty():
            return self._queue.get_nowait()
        return self._given_manager().run_sync(self._queue.get())

    async def _wait_in_loop(self) -> Any:
        if self._queue is None:
            return next(self._items, None)
        if not self._queue.empty():
            return self._queue.get_nowait()
        if self._manager is None:
            return await self._queue.get()
        return await asyncio.wrap_future(self._manager.run_async(self._queue.get()))

    def _given_manager(self) -> Any:
        if self._manager is None:
            raise RuntimeError("the queue is empty, and there is no loop_manager to wait for it")
        return self._manager

    def __repr__(self) -> str:
        return "<StreamReader made by hand>"


class StreamWriter:
    QUEUE_SIZE = _cwsandbox.StreamWriter.QUEUE_SIZE

    def __init__(self, queue: asyncio.Queue[Any], loop_manager: Any = None) -> None:
        if not isinstance(queue, asyncio.Queue):
            raise TypeError(f"queue must be an asyncio.Queue, got {check.shown(queue)}")
        self._queue = queue
        self._manager = loop_manager
        self._failure: BaseException | None = None
        self._is_closed = False

    __class__ = property(lambda _: _cwsandbox.StreamWriter)

    @property
    def closed(self) -> bool:
        return self._is_closed

    def write(self, data: bytes | bytearray | memoryview) -> OperationRef[None]:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data must be bytes, got {check.shown(data)}")
        if self._failure is not None:
            raise SandboxExecutionError("the stream has failed") from self._failure
        if self._is_closed:
            raise SandboxExecutionError("the stream is closed")
        return self._put(bytes(data))

    def writeline(self, text: str, encoding: str = "utf-8") -> OperationRef[None]:
        return self.write(f"{text}\n".encode(encoding))

    def close(self) -> OperationRef[None]:
        if self._is_closed:
            return loop.done(None)
        self._is_closed = True
        return self._put(None)

    def set_exception(self, exception: BaseException) -> None:
        self._failure = exception

    def _put(self, item: bytes | None) -> OperationRef[None]:
        if self._queue.full() and self._manager is not None:
            return OperationRef(self._manager.run_async(self._queue.put(item)))
        self._queue.put_nowait(item)
        return loop.done(None)

    def __repr__(self) -> str:
        return f"<StreamWriter {'closed ' if self._is_closed else ''}made by hand>"
