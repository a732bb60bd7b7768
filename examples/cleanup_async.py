"""A service in an event loop shuts down in its own way: what runs is finished, nothing new is begun."""

import asyncio
import os
import signal

from cwsandbox import Session, disable_signal_handlers

# Without this a signal stops the sandboxes before the program is told.
disable_signal_handlers()


async def job(session: Session, number: int) -> None:
    async with session.sandbox() as sandbox:
        result = await sandbox.exec(["sh", "-c", f"sleep 0.3; echo job {number} is whole"])
        print(result.stdout, end="")


async def main() -> None:
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    session = Session({"tags": ["cleanup-example"], "max_lifetime_seconds": 600})
    number = 0
    while not told_to_end.is_set():
        number += 1
        running = asyncio.create_task(job(session, number))
        if number == 2:
            os.kill(os.getpid(), signal.SIGTERM)  # as an orchestrator does it
        await running
    await session.close()
    print(f"{number} jobs done, {session.sandbox_count} sandboxes are left")


asyncio.run(main())
