"""Two terminals at once, of different sizes, in one event loop."""

import asyncio

from cwsandbox import Sandbox


async def size_of(sandbox: Sandbox, width: int, height: int) -> str:
    async with sandbox.shell(["/bin/sh"], width=width, height=height) as session:
        await session.write(b"test -t 1 && stty size >&2; exit\n")
        shown = b"".join([data async for data in session.output])
        await session
        return next(
            line for line in shown.decode().splitlines() if line.split()[:1] == [str(height)]
        )


async def main() -> None:
    async with Sandbox.run() as sandbox:
        for size in await asyncio.gather(size_of(sandbox, 80, 24), size_of(sandbox, 132, 43)):
            print(size)


asyncio.run(main())
