"""Commands from asyncio, so many awaited at once: `await sandbox.exec([...])`."""

import asyncio
import time

from measure import Figures, arguments, expect, sandbox

args = arguments(count=20000, in_flight=64)
figures = Figures()
rounds = max(1, args.count // args.in_flight)

with sandbox() as box:

    async def work(rounds: int) -> None:
        for _ in range(rounds):
            start = time.perf_counter_ns()
            result = await box.exec(["true"])
            figures.delays.append(time.perf_counter_ns() - start)
            expect("the exit code", result.returncode, 0)

    async def main() -> None:
        await asyncio.gather(*[work(1) for _ in range(args.in_flight)])
        figures.delays.clear()
        with figures.measured(ops=rounds * args.in_flight):
            await asyncio.gather(*[work(rounds) for _ in range(args.in_flight)])

    asyncio.run(main())

figures.report()
