"""Commands from asyncio, so many awaited at once: `await sandbox.exec([...])`."""

from typing import Any

from measure import Figures, arguments, by_tasks, expect, sandbox

args = arguments(count=20000, in_flight=64)
figures = Figures()


def check(result: Any) -> None:
    expect("the exit code", result.returncode, 0)


with sandbox() as box:
    by_tasks(figures, args, lambda: box.exec(["true"]), check)

figures.report()
