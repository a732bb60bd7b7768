"""Handles that programs make for their tests: they look and behave like those of a sandbox."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, Future
from types import SimpleNamespace
from typing import Any

import pytest

from cwsandbox import (
    OperationRef,
    Process,
    ProcessResult,
    SandboxError,
    SandboxExecutionError,
    StreamReader,
    StreamWriter,
    TerminalResult,
    TerminalSession,
    results,
    wait,
)

DONE = ProcessResult("out\n", "", 3)


def future_of(outcome: Any) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    elif outcome is not None:
        future.set_result(outcome)
    return future


def process(outcome: Any = None, **options: Any) -> Process:
    readers = StreamReader(["out\n"]), StreamReader(())
    return Process(future_of(outcome), ["make", "all"], *readers, **options)


# ---- processes ----


def test_what_it_is() -> None:
    made = process(DONE)
    assert isinstance(made, Process)
    assert isinstance(made, OperationRef)
    assert made.__class__ is Process
    assert made.command == ["make", "all"]
    assert list(made.stdout) == ["out\n"]
    assert list(made.stderr) == []
    assert made.stdin is None
    assert repr(made) == "<Process command=['make', 'all'] returncode=3 made by hand>"


def test_a_process_that_has_ended() -> None:
    made = process(DONE)
    assert made.result() is DONE
    assert (made.wait(), made.poll(), made.returncode) == (3, 3, 3)
    assert made.cancel() is False
    assert results([made]) == [DONE]
    assert wait([made, process()], num_returns=1)[0] == [made]

    async def main() -> object:
        return await made

    assert asyncio.run(main()) is DONE


def test_a_process_that_runs_and_is_cancelled() -> None:
    made = process()
    assert (made.poll(), made.returncode) == (None, None)
    with pytest.raises(TimeoutError):
        made.wait(timeout=0)
    assert made.cancel() is True
    with pytest.raises(CancelledError):
        made.result()
    assert (made.poll(), made.returncode) == (None, None)


def test_a_process_that_has_failed() -> None:
    made = process(SandboxError("lost"))
    for ask in (made.result, made.wait, made.poll):
        with pytest.raises(SandboxError, match="lost"):
            ask()
    assert made.returncode is None


@pytest.mark.parametrize("outcome", [DONE, SandboxError("lost"), "cancelled"])
def test_the_callback_is_called_once(outcome: Any) -> None:
    called: list[tuple[Any, Any]] = []
    future: Future[Any] = Future()
    reader = StreamReader[str](())
    made = Process(future, ["x"], reader, reader, None, lambda *both: called.append(both))
    assert called == []
    if outcome == "cancelled":
        future.cancel()
    elif isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
    made.poll() if outcome is DONE else None
    [(result, error)] = called
    assert result is (DONE if outcome is DONE else None)
    assert type(error) is (
        CancelledError if outcome == "cancelled" else type(None) if result else SandboxError
    )


def test_wrong_arguments() -> None:
    reader = StreamReader[str](())
    with pytest.raises(TypeError, match=r"concurrent\.futures\.Future"):
        Process(object(), ["x"], reader, reader)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="command must be a sequence of strings"):
        Process(Future(), "x", reader, reader)
    with pytest.raises(TypeError, match="missing"):
        Process()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="an iterable, got 5"):
        StreamReader(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"asyncio.Queue, got \[\]"):
        StreamWriter([])  # type: ignore[arg-type]


# ---- readers ----


def test_a_reader_over_an_iterable() -> None:
    reader = StreamReader(line for line in ("a", "b", "c"))
    assert isinstance(reader, StreamReader)
    assert next(reader) == "a"

    async def rest() -> list[str]:
        return [line async for line in reader]

    assert asyncio.run(rest()) == ["b", "c"]
    assert list(reader) == []


def test_an_exception_among_the_items_is_raised_once() -> None:
    reader: StreamReader[Any] = StreamReader(["a", SandboxError("lost"), "b"])
    assert next(reader) == "a"
    with pytest.raises(SandboxError, match="lost"):
        next(reader)
    assert list(reader) == []


def test_a_closed_reader() -> None:
    called: list[str] = []
    reader = StreamReader(["a", "b"], cancel=lambda: called.append("cancel"))
    assert next(reader) == "a"
    reader.close()
    reader.close()
    assert list(reader) == []
    assert called == ["cancel"]


def filled(*items: Any) -> asyncio.Queue[Any]:
    queue: asyncio.Queue[Any] = asyncio.Queue()
    for item in items:
        queue.put_nowait(item)
    return queue


def test_a_reader_over_a_queue() -> None:
    assert list(StreamReader(filled("a", "b", None, "c"))) == ["a", "b"]
    with pytest.raises(RuntimeError, match="loop_manager"):
        next(StreamReader(filled()))


def test_an_empty_queue_is_waited_for_by_the_manager() -> None:
    manager = SimpleNamespace(run_sync=asyncio.run)
    queue = filled()

    async def get() -> str:
        return "late"

    queue.get = get  # type: ignore[method-assign]
    assert next(StreamReader(queue, manager)) == "late"


def test_an_empty_queue_is_waited_for_in_the_event_loop() -> None:
    async def main() -> list[str]:
        queue = filled("a")
        asyncio.get_running_loop().call_soon(queue.put_nowait, "b")
        asyncio.get_running_loop().call_soon(queue.put_nowait, None)
        return [line async for line in StreamReader(queue)]

    assert asyncio.run(main()) == ["a", "b"]


def test_an_empty_queue_is_waited_for_in_the_managers_loop() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        queue = filled()
        manager = SimpleNamespace(
            run_async=lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop)
        )

        async def main() -> str:
            loop.call_soon_threadsafe(queue.put_nowait, "late")
            return await anext(aiter(StreamReader[str](queue, manager)))

        assert asyncio.run(main()) == "late"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


# ---- writers and terminals ----


def test_a_writer() -> None:
    queue = filled()
    writer = StreamWriter(queue, None)
    assert isinstance(writer, StreamWriter)
    writer.write(b"a").result()
    writer.writeline("ü", encoding="latin-1").result()
    assert not writer.closed
    writer.close().result()
    writer.close().result()
    assert writer.closed
    assert [queue.get_nowait() for _ in range(queue.qsize())] == [b"a", b"\xfc\n", None]
    with pytest.raises(SandboxExecutionError, match="closed"):
        writer.write(b"b")
    with pytest.raises(TypeError, match="must be bytes"):
        writer.write("b")  # type: ignore[arg-type]
    writer.set_exception(ValueError("broken"))
    with pytest.raises(SandboxExecutionError, match="failed") as raised:
        writer.write(b"b")
    assert str(raised.value.__cause__) == "broken"


def test_a_full_queue() -> None:
    queue: asyncio.Queue[Any] = asyncio.Queue(1)
    writer = StreamWriter(queue)
    writer.write(b"a")
    with pytest.raises(asyncio.QueueFull):
        writer.write(b"b")
    waiting: Future[Any] = Future()

    def run_async(coroutine: Any) -> Future[Any]:
        coroutine.close()
        return waiting

    operation = StreamWriter(queue, SimpleNamespace(run_async=run_async)).write(b"b")
    assert wait([operation], timeout=0)[0] == []
    waiting.set_result(None)
    assert operation.result() is None


def test_a_terminal() -> None:
    queue, sizes = filled(), filled()
    future: Future[Any] = Future()
    session = TerminalSession(
        future, ["bash"], StreamReader([b"$ "]), StreamWriter(queue, None), sizes
    )
    assert isinstance(session, TerminalSession)
    with session:
        assert next(session.output) == b"$ "
        session.write(b"exit\n").result()
        session.resize(80, 24)
        future.set_result(TerminalResult(7, ["bash"]))
    assert (session.wait(), session.returncode, session.result().command) == (7, 7, ["bash"])
    assert (queue.get_nowait(), sizes.get_nowait()) == (b"exit\n", (80, 24))
    with pytest.raises(SandboxExecutionError, match="ended"):
        session.resize(1, 1)
