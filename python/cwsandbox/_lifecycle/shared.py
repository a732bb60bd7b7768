"""One task at a time for everybody who needs its outcome. On the policy loop only."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Shared:
    """Makes a task when somebody needs one and none runs."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._make = make
        self._waiters = 0
        self.task: asyncio.Task[None] | None = None

    @property
    def runs(self) -> bool:
        return self.task is not None and not self.task.done()

    def begin(self) -> asyncio.Task[None]:
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._make())
            self.task.add_done_callback(_retrieve)
        return self.task

    async def join(self, *, abandon: bool = False) -> None:
        """Wait for it to end and raise its failure. With ``abandon``, the last waiter to give up ends it.

        Returns also when the task was cancelled: the sandbox's state then says why.
        """
        task = self.begin()
        self._waiters += 1
        try:
            await asyncio.wait([task])
        finally:
            self._waiters -= 1
            if abandon and not self._waiters:
                task.cancel()
        if not task.cancelled():
            task.result()

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


def _retrieve(task: asyncio.Task[None]) -> None:
    # Without a waiter left nobody else would look, and asyncio would complain.
    if not task.cancelled():
        task.exception()
