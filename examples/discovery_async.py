"""In an event loop: look at the runners on a thread, and use them meanwhile."""

import asyncio

from cwsandbox import Sandbox, format_cpu, list_runners


async def main() -> None:
    async with Sandbox.run() as sandbox:
        listing = asyncio.create_task(asyncio.to_thread(list_runners, include_resources=True))
        print((await sandbox.exec(["echo", "at work"])).stdout, end="")
        for runner in await listing:
            print("ours:", runner.runner_id == sandbox.runner_id)
            print("known:", format_cpu(runner.max_cpu_millicores) != format_cpu(0))


asyncio.run(main())
