"""Commands without a sandbox, one after the other: `asyncio.create_subprocess_exec`, with output to be read."""

import asyncio
import subprocess

from measure import Figures, arguments, expect

args = arguments(count=1000, command="/bin/true")
figures = Figures()


async def command() -> None:
    process = await asyncio.create_subprocess_exec(
        args.command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    await process.communicate()
    expect("the exit code", process.returncode, 0)


async def main() -> None:
    loop = asyncio.get_running_loop()
    for _ in range(20):
        await command()
    with figures.measured(ops=args.count):
        for _ in range(args.count):
            start = loop.time()
            await command()
            figures.delays.append(int((loop.time() - start) * 1e9))


asyncio.run(main())
figures.report()
