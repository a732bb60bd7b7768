"""An ``async for`` over lines that are there already lets its event loop go on from time to time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from conformance.grpc_peer import GrpcPeer
from native.commands import MANY, finished, numbers
from native.conftest import Run


@pytest.fixture(scope="module", autouse=True)
def commands(peer: GrpcPeer) -> None:
    peer.command("numbers")(numbers)


class Ticker:
    """Another task: counts the loop's turns."""

    def __init__(self) -> None:
        self.ticks = 0
        self._began = time.thread_time()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.ticks += 1
            await asyncio.sleep(0)

    @property
    def has_its_turns(self) -> bool:
        """One at least for each 4 ms of this thread, ten times what is promised: however quick the machine is."""
        return self.ticks > (time.thread_time() - self._began) / 0.004

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


async def iterates(process: Any) -> None:
    async for _ in process.stdout:
        pass


async def asks_for_each(process: Any) -> None:
    """Each time by another reader object."""
    while await anext(process.stdout, None) is not None:
        pass


@pytest.mark.parametrize("read", [iterates, asks_for_each], ids=lambda f: f.__name__)
def test_other_tasks_go_on(sandbox: Any, run: Run, read: Callable[[Any], Awaitable[None]]) -> None:
    async def main() -> None:
        process = await finished(sandbox, MANY)
        ticker = Ticker()
        await read(process)
        assert ticker.has_its_turns
        await ticker.stop()

    run(main())


def test_other_tasks_go_on_while_each_line_takes_its_time(sandbox: Any, run: Run) -> None:
    async def main() -> None:
        process = await finished(sandbox, 40)
        ticker = Ticker()
        seen = set()
        async for _ in process.stdout:
            seen.add(ticker.ticks)
            time.sleep(0.002)
        assert len(seen) > 20
        await ticker.stop()

    run(main())


def test_timeout_ends_it(sandbox: Any, run: Run) -> None:
    async def main() -> None:
        process = await finished(sandbox, MANY)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                async for _ in process.stdout:
                    time.sleep(0.001)

    run(main())


def test_cancelled_one_has_taken_nothing(sandbox: Any, run: Run) -> None:
    async def main() -> None:
        process = await finished(sandbox, MANY)
        seen: list[str] = []

        async def read() -> None:
            async for line in process.stdout:
                seen.append(line)

        task = asyncio.create_task(read())
        while not seen:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert 0 < len(seen) < MANY
        seen += [line async for line in process.stdout]
        assert seen == [f"{n}\n" for n in range(MANY)]

    run(main())


def test_two_tasks_take_turns(sandbox: Any, run: Run) -> None:
    async def main() -> None:
        order: list[int] = []
        processes = [await finished(sandbox, MANY) for _ in range(2)]

        async def read(which: int) -> None:
            async for _ in processes[which].stdout:
                if not order or order[-1] != which:
                    order.append(which)

        await asyncio.gather(read(0), read(1))
        assert len(order) > 10

    run(main())


def test_result_that_is_there_does_not_suspend(sandbox: Any, run: Run) -> None:
    """As with a future of asyncio's that is done: however often it is awaited."""

    async def main() -> None:
        process = await finished(sandbox, 1)
        ticker = Ticker()
        began = time.monotonic()
        while time.monotonic() < began + 0.01:
            assert (await process).returncode == 0
        assert ticker.ticks == 0
        await ticker.stop()

    run(main())


def test_loops_of_several_threads_have_turns_of_their_own(sandbox: Any, run: Run) -> None:
    turns: list[bool] = []

    async def main() -> None:
        process = await finished(sandbox, MANY)
        ticker = Ticker()
        await iterates(process)
        turns.append(ticker.has_its_turns)
        await ticker.stop()

    threads = [threading.Thread(target=run, args=[main()]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert turns == [True] * 3
