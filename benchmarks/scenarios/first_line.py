"""How long a line is on its way: from when the command wrote it to when the loop over stdout has it."""

import asyncio
import time

from measure import Figures, arguments, sandbox

args = arguments(count=300, pause=3, style="sync", warm=10)
figures = Figures()
command = ["tick", "1", str(args.pause)]

with sandbox() as box:

    def once() -> None:
        process = box.exec(command)
        for line in process.stdout:
            figures.delays.append(time.time_ns() - int(line))
        process.result()

    async def once_async() -> None:
        process = box.exec(command)
        async for line in process.stdout:
            figures.delays.append(time.time_ns() - int(line))
        await process

    async def main() -> None:
        for _ in range(args.warm):
            await once_async()
        figures.delays.clear()
        with figures.measured(ops=args.count):
            for _ in range(args.count):
                await once_async()

    if args.style == "async":
        asyncio.run(main())
    else:
        for _ in range(args.warm):
            once()
        figures.delays.clear()
        with figures.measured(ops=args.count):
            for _ in range(args.count):
                once()

figures.report()
