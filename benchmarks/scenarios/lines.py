"""Reading a command's output as it comes: `for line in process.stdout`, or `async for`.

The count of what was yielded is among the figures, as there are clients that yield pieces as they came from the
network in place of lines.
"""

import asyncio
from collections.abc import AsyncIterable, Iterable

from measure import Figures, arguments, expect, sandbox

args = arguments(lines=1_000_000, length=100, frame=32768, style="sync", warm=1000)
figures = Figures()

with sandbox() as box:

    def output(lines: int) -> Iterable[str]:
        return box.exec(["lines", str(lines), str(args.length), str(args.frame)]).stdout

    def output_async(lines: int) -> AsyncIterable[str]:
        return box.exec(["lines", str(lines), str(args.length), str(args.frame)]).stdout

    def read(lines: int) -> tuple[int, int]:
        items = size = 0
        for line in output(lines):
            items += 1
            size += len(line)
        return items, size

    async def read_async(lines: int) -> tuple[int, int]:
        items = size = 0
        async for line in output_async(lines):
            items += 1
            size += len(line)
        return items, size

    async def main() -> tuple[int, int]:
        await read_async(args.warm)
        with figures.measured(ops=args.lines):
            return await read_async(args.lines)

    if args.style == "async":
        items, size = asyncio.run(main())
    else:
        read(args.warm)
        with figures.measured(ops=args.lines):
            items, size = read(args.lines)

expect("the size of the output", size, args.lines * args.length)
figures.more = {"bytes": size, "items": items}
figures.report()
