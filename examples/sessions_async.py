"""A batch of jobs in an event loop: three sandboxes share them, and are stopped together."""

import asyncio

from cwsandbox import Session

JOBS = [2, 3, 5, 7, 11, 13]


async def work(session: Session, jobs: asyncio.Queue[int], squares: dict[int, int]) -> None:
    """One sandbox takes jobs for as long as there are some."""
    sandbox = session.sandbox()
    while not jobs.empty():
        number = jobs.get_nowait()
        result = await sandbox.exec(["sh", "-c", f"echo $(({number} * {number}))"], check=True)
        squares[number] = int(result.stdout)


async def main() -> None:
    jobs: asyncio.Queue[int] = asyncio.Queue()
    for number in JOBS:
        jobs.put_nowait(number)
    squares: dict[int, int] = {}
    async with Session({"tags": ["sessions-example"], "max_lifetime_seconds": 600}) as session:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(work(session, jobs, squares))
        metrics = session.get_metrics()
    print([squares[number] for number in JOBS])
    print(
        f"{metrics['cwsandbox/executions']} commands in {metrics['cwsandbox/startup_count']} sandboxes"
    )


asyncio.run(main())
