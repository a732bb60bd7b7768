"""Follow the logs of several sandboxes at once."""

import asyncio

from cwsandbox import Sandbox


async def follow(name: str) -> list[str]:
    script = f"for i in 1 2 3; do echo {name} $i; sleep 0.05; done"
    async with Sandbox.run("/bin/sh", "-c", script) as sandbox:
        return [line async for line in sandbox.stream_logs(follow=True)]


async def main() -> None:
    for lines in await asyncio.gather(*map(follow, ["one", "two", "three"])):
        print("".join(lines), end="")


asyncio.run(main())
