"""Files of 1 KiB from asyncio, so many at once: `await sandbox.read_file(path)` or `write_file(path, contents)`."""

import asyncio

from measure import Figures, arguments, expect, sandbox

SIZE = 1024
args = arguments(count=1000, in_flight=64, verb="read")
figures = Figures()
rounds = max(1, args.count // args.in_flight)
content = bytes(SIZE)

with sandbox() as box:

    async def work(rounds: int) -> None:
        for _ in range(rounds):
            if args.verb == "read":
                expect("the size", len(await box.read_file(f"/{SIZE}")), SIZE)
            else:
                await box.write_file(f"/{SIZE}", content)

    async def main() -> None:
        await asyncio.gather(*[work(1) for _ in range(args.in_flight)])
        with figures.measured(ops=rounds * args.in_flight):
            await asyncio.gather(*[work(rounds) for _ in range(args.in_flight)])

    asyncio.run(main())

figures.report()
