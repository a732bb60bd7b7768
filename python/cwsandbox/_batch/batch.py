"""``batch()``: many commands in many sandboxes, each run to its end once."""

from __future__ import annotations

import contextvars
import sys
import threading
import weakref
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import suppress
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, get_args

from cwsandbox._batch import leftovers
from cwsandbox._batch.job import Job
from cwsandbox._batch.limits import Limits
from cwsandbox._batch.outcome import Outcome, Summary
from cwsandbox._batch.pool import SandboxPool, check_options
from cwsandbox._batch.retry import Retry
from cwsandbox._batch.settings import Rerun, Settings
from cwsandbox._runtime import life
from cwsandbox._types import check
from cwsandbox._types.annotations import on_demand
from cwsandbox._types.single import Single

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task

    from cwsandbox._batch.channel import Channel
    from cwsandbox._batch.runner import Runner
    from cwsandbox._batch.source import Source
    from cwsandbox._batch.store import Store

_Iteration = Generator[Outcome, None, None] | AsyncGenerator[Outcome, None]

THREAD_NAME = "cwsandbox-batch"
DEFAULT_CONCURRENCY = 16
MAX_OUTPUT_BYTES = 1 << 20
MAX_ARTIFACT_BYTES = 64 << 20
# What SQLite takes is 1 GB for each row: two streams and what else there is, or an artifact and its path.
_KEPT_OUTPUT_MAX = 450_000_000
_KEPT_ARTIFACT_MAX = 900_000_000


@on_demand
def batch(
    jobs: Iterable[Job] | AsyncIterable[Job],
    *,
    store: str | PathLike[str] | None = None,
    rerun: Rerun = "infra",
    pool: SandboxPool | None = None,
    jobs_per_sandbox: int | None = 1,
    concurrency: int | None = None,
    limits: Limits | None = None,
    retry: Retry | None = None,
    max_output_bytes: int = MAX_OUTPUT_BYTES,
    max_artifact_bytes: int = MAX_ARTIFACT_BYTES,
    **sandbox: Any,
) -> Batch:
    """Run each job in a sandbox, many at once, and give their outcomes in the order of their ends.

    - ``jobs``: an iterable of ``Job``, or an asynchronous one for ``async for``. They are taken from it as there is
      room, so there may be any number. Each has its own key. Where jobs have to be waited for, let it be an
      asynchronous one: while a plain one waits, so do the jobs that run.
    - ``store``: a file that keeps the outcomes. A batch that is run again with it goes on where it was, however it
      ended: what has an outcome there is not run again, and is given as it was. Default: nothing is kept.
    - ``rerun``: which of the jobs with an outcome in the store are run again all the same: "missing" (none), "infra"
      (those that the infrastructure failed, the default), "failed" (all that are not ok) or "all".
    - ``pool``: where the sandboxes come from. Default: a pool of the batch's own, which is closed at the end.
    - ``jobs_per_sandbox``: after so many jobs a sandbox is replaced. Default: 1, a fresh one for each. None: as many
      as there are. Jobs with other options than the batch's share a sandbox only with jobs that have equal ones.
    - ``concurrency``: how many jobs run at once. Default: as many as ``limits.alive`` allows, else 16.
    - ``limits``: how many sandboxes there may be, and how fast they may be asked for, as ``Limits``.
    - ``retry``: what is tried again, as ``Retry``. Default: infrastructure failures, twice.
    - ``max_output_bytes``: of each stream of a command the first and last half of so many bytes are kept. Default:
      1 MiB; at most 450 MB with a store.
    - ``max_artifact_bytes``: a larger artifact is not taken. Default: 64 MiB; at most 900 MB with a store.

    ``sandbox`` is all other names: options of ``Sandbox(...)``, for each sandbox; a job's own take precedence.

    Faults in the arguments are raised here; a store that cannot be used is a ``BatchError``. A fault of ``jobs``, such
    as a key that comes twice, is raised when the jobs that run have ended. Wrong credentials end the batch at once.

    ::

        jobs = [Job(str(n), ["python3", "-c", f"print({n} ** 2)"]) for n in range(1000)]
        for outcome in cwsandbox.batch(jobs, store="squares.db", concurrency=32):
            print(outcome.job.key, outcome.verdict, outcome.result.stdout)
    """
    if check.text(rerun, "rerun") not in get_args(Rerun):
        raise ValueError(f"rerun must be one of {', '.join(get_args(Rerun))}, got {rerun!r}")
    retry = Retry() if retry is None else retry
    if not isinstance(retry, Retry):
        raise TypeError(f"retry must be a Retry, got {check.shown(retry)}")
    for name, value, kept_max in (
        ("max_output_bytes", max_output_bytes, _KEPT_OUTPUT_MAX),
        ("max_artifact_bytes", max_artifact_bytes, _KEPT_ARTIFACT_MAX),
    ):
        if not 1 <= check.integer(value, name) <= sys.maxsize:
            raise ValueError(f"{name} must be at least 1, got {value}")
        if store is not None and value > kept_max:
            raise ValueError(f"{name} must be at most {kept_max} with a store, got {value}")
    check_options(sandbox, "batch()", batch.__kwdefaults__ or ())
    from cwsandbox._batch.source import Source

    source = Source(jobs)
    lender = _pool(pool, jobs_per_sandbox, limits, sandbox)
    alive = lender._shelf.limits.alive
    if concurrency is None:
        concurrency = DEFAULT_CONCURRENCY if alive is None else alive
    elif check.integer(concurrency, "concurrency") < 1:
        raise ValueError(f"concurrency must be >= 1, got {concurrency}")
    settings = Settings(concurrency, retry, rerun, max_output_bytes, max_artifact_bytes)
    kept = None if store is None else _open(store)
    if kept is not None and pool is None:
        lender._shelf.tag = leftovers.tag_of(kept.id)
    return Batch._of(source, lender, kept, settings, closes_pool=pool is None)


def _pool(
    pool: SandboxPool | None,
    jobs_per_sandbox: int | None,
    limits: Limits | None,
    sandbox: dict[str, Any],
) -> SandboxPool:
    if pool is None:
        if jobs_per_sandbox is not None and check.integer(jobs_per_sandbox, "jobs_per_sandbox") < 1:
            raise ValueError(f"jobs_per_sandbox must be >= 1, got {jobs_per_sandbox}")
        return SandboxPool(max_uses=jobs_per_sandbox, limits=limits, **sandbox)
    if not isinstance(pool, SandboxPool):
        raise TypeError(f"pool must be a SandboxPool, got {check.shown(pool)}")
    pool._shelf.claim()
    given = [*sandbox, *(["limits"] if limits is not None else [])]
    if jobs_per_sandbox != 1:
        given.append("jobs_per_sandbox")
    if given:
        raise ValueError(f"{', '.join(given)}: with a pool, that is the pool's to say")
    return pool


def _open(store: str | PathLike[str]) -> Store:
    from cwsandbox._batch.store import Store  # which loads sqlite3

    life.install()  # a child of fork() is to let go of it
    return Store(Path(check.path(store, "store")))


@on_demand
class Batch(Single):
    """A batch that is run as it is iterated, once: with ``for``, or with ``async for`` in any event loop.

    Leaving the iteration early gives up what runs; so does the end of a ``with`` or ``async with`` block around it.
    What was given up has no outcome, and is run again with the same store. With ``for`` the jobs run on a thread of the
    batch's own, while the program's code works on outcomes; with ``async for`` they run on the program's event loop.

    After ``fork()`` it is still the parent's: in the child its methods raise ``RuntimeError``.
    """

    _instead = "it runs once; batch() makes another, and its store may be the same"

    def __init__(self) -> None:
        """Refused: ``batch()`` makes them."""
        raise TypeError("a Batch comes from batch()")

    @classmethod
    def _of(cls, *what: Any, **more: Any) -> Batch:
        made = object.__new__(cls)
        made._setup(*what, **more)
        return made

    def _setup(
        self,
        source: Source,
        pool: SandboxPool,
        store: Store | None,
        settings: Settings,
        *,
        closes_pool: bool,
    ) -> None:
        self._source = source
        self._pool = pool
        self._store = store
        self._settings = settings
        self._closes_pool = closes_pool
        self._generation = life.generation()
        self._runner: Runner | None = None
        self._work: Task[None] | None = None
        self._loop: AbstractEventLoop | None = None
        self._begun = 0.0
        self._seconds: float | None = None
        self._is_cancelled = False
        self._is_finishing = False
        # Weak but in a block: it refers to this, and is to end when the program drops it.
        self._iteration: Callable[[], _Iteration | None] = lambda: None
        self._is_in_block = False

    # ---- what it has come to ----

    def summary(self) -> Summary:
        """What it has come to so far, or in the end."""
        from cwsandbox._batch.outcome import Tally

        tally = Tally() if self._runner is None else self._runner.tally
        if self._seconds is not None:
            return tally.summary(self._seconds)
        return tally.summary(monotonic() - self._begun if self._begun else 0.0)

    @property
    def running(self) -> int:
        """How many jobs are being run, those included that wait for a sandbox or for another try."""
        return 0 if self._runner is None else self._runner.running

    # ---- its end ----

    def finish(self) -> None:
        """Begin no further jobs: the iteration ends when those that run have ended. From any thread.

        Those that still wait for a sandbox, or for another try, are given up.
        """
        self._check_process()
        self._is_finishing = True
        self._tell(lambda: self._runner.finish() if self._runner is not None else None)

    def cancel(self) -> None:
        """Give up what runs: the iteration ends as soon as the sandboxes are stopped. From any thread."""
        self._check_process()
        if not self._is_cancelled:
            self._is_cancelled = True
            self._tell(lambda: self._work.cancel() if self._work is not None else None)

    def _tell(self, what: Callable[[], object]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed, as all is over
                self._loop.call_soon_threadsafe(what)

    def _is_ours(self) -> bool:
        return self._generation == life.generation()

    def _check_process(self) -> None:
        if not self._is_ours():
            raise RuntimeError(
                "this batch was made before fork() and belongs to the parent process"
            )

    # ---- iterating ----

    def __iter__(self) -> Iterator[Outcome]:
        """Run it, on a thread of its own."""
        if self._source.is_asynchronous:
            raise TypeError("jobs is an asynchronous iterable: use `async for`")
        self._begin()
        iteration = self._on_thread()
        self._keep(iteration)
        return iteration

    def _on_thread(self) -> Generator[Outcome, None, None]:
        import asyncio

        from cwsandbox._batch.channel import ThreadChannel

        self._check_process()
        channel = ThreadChannel()
        failures: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(self._run(channel))
            except BaseException as failure:
                failures.append(failure)
            finally:
                channel.end()

        own = contextvars.copy_context()  # the jobs belong to what the caller is doing
        thread = threading.Thread(target=own.run, args=(run,), name=THREAD_NAME, daemon=True)
        thread.start()
        try:
            while taken := channel.take():
                for outcome in taken:
                    yield outcome
                    self._check_process()
        finally:
            if self._is_ours():
                self.cancel()
                if not life.is_hurried():
                    thread.join()
        if failures:
            raise failures[0]

    def __aiter__(self) -> AsyncIterator[Outcome]:
        """Run it, on this event loop."""
        self._begin()
        iteration = self._on_loop()
        self._keep(iteration)
        return iteration

    async def _on_loop(self) -> AsyncGenerator[Outcome, None]:
        import asyncio

        from cwsandbox._batch.channel import LoopChannel

        self._check_process()
        channel = LoopChannel()
        running = asyncio.ensure_future(self._run(channel))
        running.add_done_callback(lambda _: channel.end())
        try:
            while taken := await channel.take():
                for outcome in taken:
                    yield outcome
                    self._check_process()
        finally:
            if self._is_ours():
                self.cancel()
                if not life.is_hurried():
                    await asyncio.wait([running])
        running.result()

    def _keep(self, iteration: _Iteration) -> None:
        self._iteration = (lambda: iteration) if self._is_in_block else weakref.ref(iteration)

    def _begin(self) -> None:
        self._check_process()
        if self._begun:
            raise RuntimeError("a batch can be iterated once: call batch() again")
        self._begun = monotonic()

    async def _run(self, channel: Channel) -> None:
        """All of it, on its event loop. Raises what ended it early, unless that was ``cancel()``."""
        import asyncio

        from cwsandbox._batch.runner import Runner

        self._runner = Runner(
            self._source, self._pool._shelf, self._store, self._settings, channel.put
        )
        try:
            self._loop = asyncio.get_running_loop()
            if self._is_finishing:
                self._runner.finish()
            self._work = asyncio.ensure_future(self._all(self._runner))
            if self._is_cancelled:
                self._work.cancel()
            await asyncio.wait([self._work])
            if not self._work.cancelled():
                self._work.result()
        finally:
            try:
                if self._closes_pool:
                    closing = self._pool.close()
                    if not life.is_hurried():
                        await closing
            finally:
                self._seconds = monotonic() - self._begun
                if self._store is not None:
                    self._store.close()

    async def _all(self, runner: Runner) -> None:
        shelf = self._pool._shelf
        if self._store is not None and shelf.tag is not None and self._store.was_left:
            await leftovers.stop(shelf.tag, shelf.options)
        await runner.run()

    # ---- blocks ----

    def __enter__(self) -> Batch:
        """Nothing is begun; gives the batch."""
        self._is_in_block = True
        return self

    def __exit__(self, *exception: object) -> None:
        """Give up what runs."""
        iteration = self._left()
        if isinstance(iteration, Generator):
            iteration.close()

    async def __aenter__(self) -> Batch:
        """Nothing is begun; gives the batch."""
        self._is_in_block = True
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Give up what runs."""
        iteration = self._left()
        if isinstance(iteration, AsyncGenerator):
            await iteration.aclose()

    def _left(self) -> _Iteration | None:
        """What is to be closed at the end of the block."""
        if not self._is_ours():
            return None
        if not self._begun:
            self._begin()  # nobody can any more
            if self._store is not None:
                self._store.close()
        iteration, self._iteration = self._iteration(), lambda: None
        return iteration
