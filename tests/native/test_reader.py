"""StreamReader: lines for threads and event loops."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from conformance.grpc_peer import Call, GrpcPeer
from native.conftest import Run
from native.instance import CheckError, ExecError
from native.signals import InterruptedByTest, signal_soon
from native.steps import Steps, collect

LINES = [
    "plain\n",
    "grüße \N{SNOWMAN}\U0001f40d\n",
    "\n",
    "tab\tand\rreturn\x00nul\r\n",
    "other breaks \x0b\x0c\x85\u2028 do not count\n",
    "no newline at the end \U0001f40d",
]
TEXT = "".join(LINES)


@pytest.fixture(scope="module", autouse=True)
def commands(peer: GrpcPeer) -> None:
    @peer.command("pieces")
    async def pieces(call: Call) -> None:
        size = int(call.argv[1])
        data = TEXT.encode()
        for at in range(0, len(data), size):
            await call.out(data[at : at + size])
            await call.err(b"x")
        await call.exit(0)

    @peer.command("bytes")
    async def raw(call: Call) -> None:
        await call.out(bytes.fromhex(call.argv[1]))
        await call.exit(int(call.argv[2]))

    @peer.command("fails")
    async def fails(call: Call) -> None:
        await call.out(b"one\ntw")
        await call.error("EXEC_FAILED", "broken")

    @peer.command("count")
    async def count(call: Call) -> None:
        lines = [f"{n}\n".encode() for n in range(int(call.argv[1]))]
        for at in range(0, len(lines), 100):
            await call.out(b"".join(lines[at : at + 100]))
        await call.exit(0)


@pytest.fixture
def steps(peer: GrpcPeer, sandbox: Any) -> Iterator[Steps]:
    made = Steps(peer, sandbox)
    yield made
    del made.process


def start(sandbox: Any, *argv: str, **options: Any) -> Any:
    return sandbox.exec(list(argv), **options)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_lines_however_they_are_cut(sandbox: Any, size: int) -> None:
    process = start(sandbox, "pieces", str(size))
    assert list(process.stdout) == LINES
    assert list(process.stdout) == []
    assert "".join(process.stderr) == "x" * -(-len(TEXT.encode()) // size)
    assert process._output.bytes(False) == TEXT.encode()


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_in_a_loop(sandbox: Any, run: Run, size: int) -> None:
    async def main() -> None:
        process = start(sandbox, "pieces", str(size))
        assert await collect(process.stdout) == LINES
        assert await collect(process.stdout) == []
        assert (await process).returncode == 0

    run(main())


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe\n\x80",
        b"\xf0\x9f\x90\n\x8d\n",
        b"\xc3",
        b"a\xe2\x98b\n\xed\xa0\x80\n",
        b"\n\n",
        b"",
    ],
    ids=bytes.hex,
)
def test_invalid_bytes_become_replacement_characters(sandbox: Any, data: bytes) -> None:
    process = start(sandbox, "bytes", data.hex(), "0")
    assert "".join(process.stdout) == data.decode(errors="replace")


def test_line_is_there_at_once(steps: Steps) -> None:
    steps.send(b"first\nsec")
    assert next(steps.process.stdout) == "first\n"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, steps.process.stdout)
        steps.send(b"ond\nthird")
        assert waiting.result(30) == "second\n"
        waiting = pool.submit(list, steps.process.stdout)
        steps.end()
        assert waiting.result(30) == ["third"]


def test_async_next_is_woken(steps: Steps, run: Run) -> None:
    """On a loop in which nothing else happens."""

    async def main() -> None:
        reader = steps.process.stdout
        for n in range(20):
            threading.Timer(0.001, steps.send, [f"{n}\n".encode()]).start()
            assert await anext(reader) == f"{n}\n"
        threading.Timer(0.001, steps.end).start()
        with pytest.raises(StopAsyncIteration):
            await anext(reader)

    run(main())


def test_lines_that_are_there_need_no_trip_through_the_loop(sandbox: Any, run: Run) -> None:
    async def main() -> None:
        process = start(sandbox, "count", "1000")
        await process
        loop, turns = asyncio.get_running_loop(), 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(turn)

        loop.call_soon(turn)
        for n in range(1000):
            assert await anext(process.stdout) == f"{n}\n"
        # But for one in 0.2 ms (test_await_fairness.py), on a slow machine more.
        assert turns < 300

    run(main())


def test_many_lines(sandbox: Any, run: Run) -> None:
    expected = [f"{n}\n" for n in range(20000)]
    assert list(start(sandbox, "count", "20000").stdout) == expected
    assert run(collect(start(sandbox, "count", "20000").stdout)) == expected


def test_two_threads_share_the_lines(sandbox: Any) -> None:
    process = start(sandbox, "count", "5000")
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(list, [process.stdout] * 4))
    assert sorted(line for part in parts for line in part) == sorted(f"{n}\n" for n in range(5000))
    for part in parts:
        assert part == sorted(part, key=int)


def test_threads_and_loops_share_the_lines(sandbox: Any, run: Run) -> None:
    process = start(sandbox, "count", "5000")

    async def main() -> list[str]:
        halves = await asyncio.gather(collect(process.stdout), collect(process.stdout))
        return halves[0] + halves[1]

    with ThreadPoolExecutor(2) as pool:
        here = pool.submit(list, process.stdout)
        there = pool.submit(run, main())
        lines = here.result(30) + there.result(30)
    assert sorted(lines) == sorted(f"{n}\n" for n in range(5000))


def test_second_consumer_ends_too(steps: Steps) -> None:
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(list, steps.process.stdout) for _ in range(3)]
        steps.send(b"only\n")
        steps.end()
        assert sorted(line for one in waiting for line in one.result(30)) == ["only\n"]


def test_cancelled_read_loses_nothing(steps: Steps, run: Run) -> None:
    async def main() -> None:
        reader = steps.process.stdout
        for n in range(10):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(reader), 0.001)
            task = asyncio.ensure_future(anext(reader))
            await asyncio.sleep(0)
            task.cancel()
            steps.send(f"{n}\n".encode())
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await anext(reader) == f"{n}\n"
        assert steps.process.poll() is None
        steps.end()
        assert await collect(reader) == []
        assert await steps.process

    run(main())


def test_interrupted_read_loses_nothing(steps: Steps) -> None:
    with pytest.raises(InterruptedByTest), signal_soon(handler_raises=True):
        next(steps.process.stdout)
    steps.send(b"line\n")
    assert next(steps.process.stdout) == "line\n"
    steps.end()
    assert list(steps.process.stdout) == []


def test_awaitable_that_is_never_awaited_takes_nothing(sandbox: Any, run: Run) -> None:
    async def main() -> None:
        process = start(sandbox, "count", "3")
        process.stdout.__anext__()
        used = process.stdout.__anext__()
        assert await used == "0\n"
        with pytest.raises(RuntimeError, match="already awaited"):
            await used
        assert await collect(process.stdout) == ["1\n", "2\n"]

    run(main())


def test_awaitables_that_are_kept(sandbox: Any, run: Run) -> None:
    """The reader uses its awaitable again, but not one that anybody has."""

    async def main() -> None:
        process = start(sandbox, "count", "100")
        kept = [anext(process.stdout) for _ in range(10)]
        assert len(set(map(id, kept))) == 10
        assert [await one for one in kept] == [f"{n}\n" for n in range(10)]
        for one in kept:
            with pytest.raises(RuntimeError, match="already awaited"):
                await one
        one = anext(process.stdout)
        assert await one == "10\n"
        assert await anext(process.stdout) == "11\n"
        with pytest.raises(RuntimeError, match="already awaited"):
            await one

    run(main())


def test_awaitables_used_again_after_every_end(steps: Steps, run: Run) -> None:
    async def main() -> None:
        reader = steps.process.stdout
        seen = set()

        def ask() -> Any:
            awaitable = anext(reader)
            seen.add(id(awaitable))
            return awaitable

        for n in range(5):
            ask()  # is never awaited
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ask(), 0.001)
            task = asyncio.ensure_future(ask())
            await asyncio.sleep(0)
            task.cancel("enough")
            with pytest.raises(asyncio.CancelledError, match="enough"):
                await task
            del task
            begun = ask()
            begun.send(None)
            steps.send(f"{n}\n".encode())
            del begun  # its letter may be under way
            assert await ask() == f"{n}\n"
        assert len(seen) < 20
        steps.end()
        assert await collect(reader) == []

    run(main())


def test_reader_goes_with_the_last_who_has_it(sandbox: Any, run: Run) -> None:
    """Its awaitable does not keep it, nor the process, once the line was had."""

    async def main() -> None:
        process = start(sandbox, "count", "3")
        assert await anext(process.stdout) == "0\n"
        reader, gone = process.stdout, weakref.ref(process)
        assert await anext(reader) == "1\n"
        task = asyncio.ensure_future(anext(reader))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task, process
        assert gone() is not None
        gc.disable()
        try:
            del reader
            assert gone() is None
        finally:
            gc.enable()

    run(main())


def test_failure_is_raised_once_after_the_lines(sandbox: Any) -> None:
    process = start(sandbox, "fails")
    seen = []
    with pytest.raises(ExecError) as caught:
        for line in process.stdout:
            seen.append(line)
    assert seen == ["one\n", "tw"]
    assert list(process.stdout) == []
    with pytest.raises(ExecError) as again:
        list(process.stderr)
    with pytest.raises(ExecError) as result:
        process.result()
    assert caught.value is again.value is result.value


def test_failure_is_raised_in_a_loop(sandbox: Any, run: Run) -> None:
    async def main() -> None:
        process = start(sandbox, "fails")
        seen = []
        with pytest.raises(ExecError):
            async for line in process.stdout:
                seen.append(line)
        assert seen == ["one\n", "tw"]
        assert await collect(process.stdout) == []

    run(main())


def test_check_is_not_the_readers_concern(sandbox: Any) -> None:
    process = start(sandbox, "bytes", b"out\n".hex(), "3", check=True)
    assert list(process.stdout) == ["out\n"]
    with pytest.raises(CheckError):
        process.result()


def test_sandbox_that_never_opens(core: ModuleType) -> None:
    sandbox = core.SandboxCore()
    process = start(sandbox, "count", "1")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, process.stdout)
        sandbox.fail(KeyError("quota"))
        with pytest.raises(ExecError) as caught:
            waiting.result(30)
    assert caught.value.args[1].kind == "not_open"


def test_a_loop_ends_when_somebody_cancels_the_process(steps: Steps, run: Run) -> None:
    steps.send(b"one\n")
    reader = steps.process.stdout
    assert next(reader) == "one\n"

    async def main() -> None:
        reading = asyncio.create_task(collect(reader))
        asyncio.get_running_loop().call_soon(steps.process.cancel)
        assert await reading == []
        assert await collect(reader) == []

    run(main())
    steps.end()


def test_a_thread_s_loop_ends_when_another_cancels_the_process(steps: Steps) -> None:
    steps.send(b"one\ntw")
    reader = steps.process.stdout
    read: list[str] = []
    begun = threading.Event()

    def loop() -> None:
        for line in reader:
            read.append(line)
            begun.set()

    with ThreadPoolExecutor(1) as pool:
        looping = pool.submit(loop)
        assert begun.wait(30)
        assert steps.process.cancel()
        assert looping.result(30) is None
    assert read in (["one\n", "tw"], ["one\n"])  # "tw" had come, or not yet
    assert list(steps.process.stderr) == []
    assert list(steps.process.stdout.chunks()) == []
    assert steps.process.poll() is None
    with pytest.raises(CancelledError):
        steps.process.result()
    steps.end()


def test_close(steps: Steps) -> None:
    steps.send(b"one\ntwo\n")
    reader = steps.process.stdout
    assert next(reader) == "one\n"
    reader.close()
    reader.close()
    assert list(reader) == []
    assert list(steps.process.stdout) == []
    steps.send(b"three\n")
    steps.end()
    assert steps.process.wait() == 0
    assert steps.process._output.bytes(False) == b"one\ntwo\nthree\n"


def test_close_wakes_who_waits(steps: Steps, run: Run) -> None:
    async def main() -> None:
        waiting = asyncio.ensure_future(collect(steps.process.stdout))
        await asyncio.sleep(0)
        steps.process.stdout.close()
        assert await waiting == []

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(list, steps.process.stdout)
        run(main())
        assert waiting.result(30) == []
    steps.end()
    assert steps.process.wait() == 0


def test_closed_reader_does_not_raise_the_failure(sandbox: Any) -> None:
    process = start(sandbox, "fails")
    process.stdout.close()
    assert list(process.stdout) == []
    with pytest.raises(ExecError):
        process.result()


def test_iterators_return_themselves(sandbox: Any, core: ModuleType) -> None:
    reader = start(sandbox, "count", "0").stdout
    assert iter(reader) is reader
    assert aiter(reader) is reader
    assert core.StreamReader[str].__origin__ is core.StreamReader


def test_out_of_memory_loses_no_line(sandbox: Any) -> None:
    testcapi = pytest.importorskip("_testcapi")
    process = start(sandbox, "count", "3")
    process.wait()
    reader = process.stdout
    try:
        testcapi.set_nomemory(0, 1)  # the next allocation fails: the text of the line
        next(reader)
    except MemoryError:
        failed = True
    else:
        failed = False
    finally:
        testcapi.remove_mem_hooks()
    assert failed
    assert list(reader) == ["0\n", "1\n", "2\n"]
