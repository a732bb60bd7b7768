"""Many sandboxes at once, each running one command after the other, from asyncio."""

import asyncio

from measure import Figures, arguments, expect, sandbox

from cwsandbox import Sandbox

args = arguments(sandboxes=200, execs=20)
figures = Figures()
boxes = [sandbox() for _ in range(args.sandboxes)]


async def work(box: Sandbox, execs: int) -> None:
    for _ in range(execs):
        expect("the exit code", (await box.exec(["true"])).returncode, 0)


async def main() -> None:
    await asyncio.gather(*[work(box, 1) for box in boxes])
    with figures.measured(ops=args.sandboxes * args.execs):
        await asyncio.gather(*[work(box, args.execs) for box in boxes])


try:
    asyncio.run(main())
finally:
    for ending in [box.stop() for box in boxes]:
        ending.result()

figures.report()
