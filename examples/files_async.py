"""Many small files at once, and a large one that is made while it is sent."""

import asyncio
from collections.abc import AsyncIterator

from cwsandbox import Sandbox


async def rows(queue: asyncio.Queue[int | None]) -> AsyncIterator[bytes]:
    """Runs in this event loop, so it may wait for what else goes on in it."""
    while (number := await queue.get()) is not None:
        yield f"{number},{number**2}\n".encode()


async def main() -> None:
    async with Sandbox.run() as sandbox:
        names = [f"/work/part-{i:03}" for i in range(100)]
        await asyncio.gather(*(sandbox.write_file(name, name.encode()) for name in names))
        contents = await asyncio.gather(*(sandbox.read_file(name) for name in names))
        print(contents[42].decode())

        queue: asyncio.Queue[int | None] = asyncio.Queue()
        writing = sandbox.write_file_streaming("/work/squares.csv", rows(queue))
        for number in range(1000):
            await queue.put(number)
        await queue.put(None)
        await writing

        size = 0
        async for data in sandbox.read_file_streaming("/work/squares.csv"):
            size += len(data)
        print(f"{size} bytes")


asyncio.run(main())
