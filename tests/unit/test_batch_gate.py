"""How fast sandboxes may be asked for, and what a batch loads."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from cwsandbox import Limits
from cwsandbox._batch.gate import Gate
from unit.service import run


def test_starts_keep_their_distance_and_an_order_to_wait() -> None:
    async def main() -> tuple[float, float]:
        gate = Gate(Limits(per_second=100))
        now = asyncio.get_running_loop().time

        async def start() -> None:
            async with gate.start():
                pass

        begun = now()
        await asyncio.gather(*[start() for _ in range(11)])
        paced = now() - begun
        gate.hold(0.2)
        begun = now()
        await start()
        return paced, now() - begun

    paced, held = run(main())
    assert paced >= 0.099  # the first one waits for none
    assert held >= 0.199


def test_an_order_to_wait_holds_those_that_wait_for_their_turn() -> None:
    async def main() -> list[float]:
        gate = Gate(Limits(per_second=50))
        now = asyncio.get_running_loop().time
        begun: list[float] = []

        async def start() -> None:
            async with gate.start():
                begun.append(now())

        starts = [asyncio.ensure_future(start()) for _ in range(4)]
        while not begun:
            await asyncio.sleep(0)
        ordered = now()
        gate.hold(0.3)
        await asyncio.gather(*starts)
        return [at - ordered for at in begun[1:]]

    first, *later = run(main())
    assert first >= 0.299
    # They come one by one after it, too.
    assert later[0] >= 0.319
    assert later[1] >= 0.339


def test_whoever_gives_up_leaves_its_turn_to_the_next() -> None:
    async def main() -> float:
        gate = Gate(Limits(per_second=1))

        async def start() -> None:
            async with gate.start():
                pass

        await start()
        starts = [asyncio.ensure_future(start()) for _ in range(20)]
        await asyncio.sleep(0.5)
        for gone in starts[:-1]:
            gone.cancel()
        await starts[-1]
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(1.0)


def test_one_that_fails_makes_room_for_others() -> None:
    async def main() -> None:
        gate = Gate(Limits(starting=1))
        for _ in range(3):
            try:
                async with asyncio.timeout(10), gate.start():
                    raise KeyError
            except KeyError:
                continue

    run(main())


def test_a_batch_without_a_store_loads_no_database_and_no_screen() -> None:
    program = (
        "import sys, cwsandbox\n"
        "list(cwsandbox.batch([]))\n"
        "print([name for name in ('sqlite3', 'rich', 'click') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
