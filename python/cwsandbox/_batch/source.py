"""Where the jobs of a batch come from, one at a time, as there is room for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import Any

from cwsandbox._batch.job import Job
from cwsandbox._types import check

_END = object()


class Source:
    """Gives jobs to the workers of a batch, all on one event loop, until there are none or it is closed."""

    def __init__(self, jobs: Iterable[Job] | AsyncIterable[Job]) -> None:
        self._keys: set[str] = set()
        self._iterator: Any
        self.is_asynchronous = isinstance(jobs, AsyncIterable)
        if isinstance(jobs, AsyncIterable):
            self._iterator = aiter(jobs)
        elif isinstance(jobs, Iterable) and not isinstance(jobs, (str, bytes)):
            self._iterator = iter(jobs)
        else:
            raise TypeError(f"jobs must be an iterable of Job, got {check.shown(jobs)}")
        self._is_over = False
        self._turn: asyncio.Lock | None = None
        self._reading: asyncio.Task[Any] | None = None
        self.fault: BaseException | None = None

    async def next(self) -> Job | None:
        """The next job; None when there is none any more. ``fault`` tells if that is because of a failure."""
        if not self.is_asynchronous:
            return self._checked(_END if self._is_over else next(self._iterator, _END))
        self._turn = self._turn or asyncio.Lock()
        async with self._turn:
            return None if self._is_over else self._checked(await self._read())

    async def _read(self) -> Any:
        self._reading = asyncio.ensure_future(anext(self._iterator, _END))
        try:
            return await self._reading
        except asyncio.CancelledError:
            if not self._is_over:
                self._reading.cancel()
                raise
            return _END

    def _checked(self, job: Any) -> Job | None:
        if job is _END:
            self._is_over = True
            return None
        if not isinstance(job, Job):
            raise TypeError(f"jobs must give Job, got {check.shown(job)}")
        if job.key in self._keys:
            raise ValueError(f"two jobs have the key {job.key!r}: each needs its own")
        self._keys.add(job.key)
        return job

    def close(self) -> None:
        """Give no more jobs."""
        self._is_over = True
        if self._reading is not None:
            self._reading.cancel()
