"""What the guard counts: `workload.py MARK.so`, run under callgrind.

Between two marks lies one of the parts; how many operations each of them has is printed as JSON.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import sys
from collections.abc import Callable

from cwsandbox import Sandbox

mark = ctypes.CDLL(sys.argv[1]).cws_guard_mark
TOGETHER = 16
PIECE = b"x" * 65536


def execs(box: Sandbox, count: int) -> None:
    for _ in range(count):
        box.exec(["true"]).result()


def awaits(box: Sandbox, count: int) -> None:
    async def one() -> None:
        for _ in range(count // TOGETHER):
            await box.exec(["together", str(TOGETHER)])

    async def main() -> None:
        await asyncio.gather(*[one() for _ in range(TOGETHER)])

    asyncio.run(main())


def lines(box: Sandbox, count: int) -> None:
    process = box.exec(["lines", str(count), "100", "32768"])
    assert sum(1 for _ in process.stdout) == count


def line_frames(box: Sandbox, count: int) -> None:
    process = box.exec(["lines", str(count), "100", "100"])
    assert sum(1 for _ in process.stdout) == count


def awaited_lines(box: Sandbox, count: int) -> None:
    async def main() -> None:
        process = box.exec(["lines", str(count), "100", "32768"])
        assert [None async for _ in process.stdout] == [None] * count

    asyncio.run(main())


def writes(box: Sandbox, count: int) -> None:
    process = box.exec(["sink"], stdin=True)
    assert process.stdin is not None
    for _ in range(count):
        process.stdin.write(PIECE).result()
    process.stdin.close().result()
    process.result()


PARTS: dict[str, tuple[Callable[[Sandbox, int], None], int]] = {
    "exec, one after the other": (execs, 300),
    "exec, 16 awaited at once": (awaits, 480),
    "line, in frames of 32 KiB": (lines, 20_000),
    "line, one a frame": (line_frames, 5000),
    "line awaited, in frames of 32 KiB": (awaited_lines, 20_000),
    "write of 64 KiB": (writes, 100),
}
"""Each with how many operations it does."""


def main() -> None:
    box = Sandbox.run()
    for work, count in PARTS.values():
        work(box, count // 5)
    gc.collect()
    gc.disable()
    for work, count in PARTS.values():
        mark()
        work(box, count)
    mark()
    print(json.dumps({name: count for name, (_, count) in PARTS.items()}))
    box.stop().result()


if __name__ == "__main__":
    main()
