"""So many one-line jobs over so many sandboxes, by hand or as a batch, without and with a store."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measure import Figures, arguments, expect

import cwsandbox
from cwsandbox import Job, Limits, Sandbox, SandboxPool

args = arguments(count=10_000, sandboxes=100, kind="store")
figures = Figures()


async def by_hand() -> None:
    """What people write: a task for each sandbox, and results that are kept by nobody."""
    async with cwsandbox.Session() as session:
        boxes = [session.sandbox() for _ in range(args.sandboxes)]
        await asyncio.gather(*[box.start() for box in boxes])
        await asyncio.gather(*[ready(box) for box in boxes])
        numbers = iter(range(args.count))

        async def work(box: Sandbox) -> None:
            for _ in numbers:
                expect("the exit code", (await box.exec(["true"])).returncode, 0)

        with figures.measured(ops=args.count):
            await asyncio.gather(*[work(box) for box in boxes])


async def ready(box: Sandbox) -> None:
    await box


async def as_batch(store: Path | None) -> None:
    limits = Limits(alive=args.sandboxes)
    async with SandboxPool(args.sandboxes, max_uses=None, limits=limits) as pool:
        while pool.idle_count < args.sandboxes:
            await asyncio.sleep(0.05)
        with figures.measured(ops=args.count):
            count = 0
            async for outcome in cwsandbox.batch(jobs(), pool=pool, store=store):
                expect("the verdict", outcome.verdict, "ok")
                count += 1
    expect("the number of outcomes", count, args.count)


def jobs() -> Iterator[Job]:
    return (Job(str(number), ["true"]) for number in range(args.count))


if args.kind == "hand":
    asyncio.run(by_hand())
else:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(as_batch(Path(folder, "run.db") if args.kind == "store" else None))
figures.report()
