"""Rollouts of an agent, in sandboxes that are ready before they are needed, while jobs of a batch use the same ones."""

import asyncio
from collections.abc import AsyncIterator

import cwsandbox
from cwsandbox import Job, Limits, Sandbox, SandboxPool


async def prepare(sandbox: Sandbox) -> None:
    """Runs once in each sandbox, before anyone has it."""
    await sandbox.write_file("/tmp/words.txt", b"alpha\nbeta\ngamma\n")


async def rollout(pool: SandboxPool, word: str) -> str:
    """Several commands in one sandbox, each chosen by what the one before has shown."""
    async with pool.acquire() as sandbox:
        found = await sandbox.exec(["grep", "-n", word, "/tmp/words.txt"])
        if found.returncode != 0:
            return f"{word}: not there"
        line = found.stdout.split(":")[0]
        rest = await sandbox.exec(["sed", f"{line}d", "/tmp/words.txt"])
        return f"{word}: leaves {' '.join(rest.stdout.split())}"


async def jobs() -> AsyncIterator[Job]:
    """Taken as there is room, so they may come from a queue or a database."""
    for number in range(6):
        yield Job(f"sum-{number}", ["sh", "-c", f"echo $(({number} + {number}))"])


async def main() -> None:
    limits = Limits(alive=4, starting=2)
    async with SandboxPool(2, max_uses=10, setup=prepare, limits=limits) as pool:
        words = ["alpha", "beta", "delta"]
        for line in await asyncio.gather(*[rollout(pool, word) for word in words]):
            print(line)
        sums = {}
        async for outcome in cwsandbox.batch(jobs(), pool=pool, concurrency=3):
            assert outcome.result is not None
            sums[outcome.job.key] = outcome.result.stdout.strip()
        print(sorted(sums.items()))


asyncio.run(main())
