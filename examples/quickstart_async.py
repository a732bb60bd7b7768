"""A first look in an event loop: commands are awaited, output is iterated, many run at once."""

import asyncio

from cwsandbox import Sandbox


async def talk(sandbox: Sandbox) -> None:
    """Writes to a command while it answers."""
    async with asyncio.timeout(30):
        process = sandbox.exec(
            ["sh", "-c", 'while read n; do echo "$n + $n = $((n + n))"; done'], stdin=True
        )
        answers = aiter(process.stdout)
        for number in (1, 20, 300):
            await process.stdin.writeline(str(number))
            print(await anext(answers), end="")
        await process.stdin.close()
        print("exit code", (await process).returncode)


async def main() -> None:
    async with Sandbox.run() as sandbox:
        result = await sandbox.exec(["echo", "Hello from a sandbox!"])
        print(result.stdout, end="")

        await talk(sandbox)

        results = await asyncio.gather(
            *(sandbox.exec(["sh", "-c", f"echo $(({n} * {n}))"]) for n in range(100))
        )
        print("sum of squares:", sum(int(result.stdout) for result in results))

        # Who gives up waiting ends the command.
        try:
            async with asyncio.timeout(0.5):
                await sandbox.exec(["sleep", "1000"])
        except TimeoutError:
            print("too slow")


asyncio.run(main())
