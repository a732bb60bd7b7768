"""Two terminals at once, of different sizes, in one event loop."""

import asyncio

from cwsandbox import Sandbox

ASK = ["/bin/sh", "-c", 'read name; echo "$name has $(stty size)"']


async def answer(sandbox: Sandbox, name: str, width: int, height: int) -> str:
    async with sandbox.shell(ASK, width=width, height=height) as session:
        await session.write(f"{name}\n".encode())
        shown = b"".join([data async for data in session.output])
        assert (await session).returncode == 0
    return shown.decode().splitlines()[-1]


async def main() -> None:
    async with Sandbox.run() as sandbox:
        first, second = answer(sandbox, "Ada", 80, 24), answer(sandbox, "Grace", 132, 43)
        for line in await asyncio.gather(first, second):
            print(line)


asyncio.run(main())
