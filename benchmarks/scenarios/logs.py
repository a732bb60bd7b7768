"""Following a log: `for line in sandbox.stream_logs(follow=True)`, or one that nobody reads.

The server sends the log that `container` asks for: so many lines of so many bytes in entries of such a size. The log
that nobody reads counts for the memory of the reader's process.
"""

import asyncio
import time

from measure import Figures, arguments, expect, sandbox

args = arguments(lines=1_000_000, length=100, entry=32768, style="sync", warm=1000)
figures = Figures()

with sandbox() as box:

    def log(lines: int):  # type: ignore[no-untyped-def]
        return box.stream_logs(follow=True, container=f"{lines} {args.length} {args.entry}")

    def read(lines: int) -> int:
        return sum(map(len, log(lines)))

    async def read_async(lines: int) -> int:
        return sum([len(line) async for line in log(lines)])

    async def main() -> int:
        await read_async(args.warm)
        with figures.measured(ops=args.lines):
            return await read_async(args.lines)

    def unread() -> None:
        reader = log(args.lines)
        next(iter(reader))
        time.sleep(2)  # nothing tells that no more will come
        reader.close()

    size = args.lines * args.length
    if args.style == "async":
        size = asyncio.run(main())
    else:
        read(args.warm)
        with figures.measured(ops=args.lines):
            if args.style == "sync":
                size = read(args.lines)
            else:
                unread()

expect("the size of the log", size, args.lines * args.length)
figures.more = {"bytes": size}
figures.report()
