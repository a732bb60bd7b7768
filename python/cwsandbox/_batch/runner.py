"""Runs jobs: takes them, finds them sandboxes, tries again, keeps what became of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from cwsandbox._batch import verdict as _verdict
from cwsandbox._batch.attempt import Attempts, Ended, failed
from cwsandbox._batch.job import Job
from cwsandbox._batch.member import Member
from cwsandbox._batch.outcome import Outcome, Tally
from cwsandbox._batch.settings import Rerun, Settings
from cwsandbox._batch.shelf import Shelf
from cwsandbox._batch.source import Source
from cwsandbox._batch.taking import take_async
from cwsandbox._batch.verdict import Verdict
from cwsandbox._runtime import tracing
from cwsandbox.exceptions import CWSandboxAuthenticationError, SandboxError

if TYPE_CHECKING:
    from cwsandbox._batch.store import Store

# How a shell and a container tell of SIGKILL and SIGTERM.
_KILLED = (128 + 9, 128 + 15)

Emit = Callable[[Outcome], "Awaitable[None] | None"]


class Runner:
    """The workers of one batch, on one event loop."""

    def __init__(
        self, source: Source, shelf: Shelf, store: Store | None, settings: Settings, emit: Emit
    ) -> None:
        self._source = source
        self._shelf = shelf
        self._store = store
        self._settings = settings
        self._emit = emit
        self._attempts = Attempts(settings.max_output_bytes, settings.max_artifact_bytes)
        # Whether jobs are still begun, those included that were taken already.
        self._is_finishing = False
        self._fault: BaseException | None = None
        self._pauses: set[asyncio.Future[None]] = set()
        # The workers that wait for a sandbox.
        self._waiting: set[asyncio.Task[Any] | None] = set()
        self.tally = Tally()
        self.running = 0
        self._knows_none = store is None or store.is_new

    async def run(self) -> None:
        """Run all jobs. What ends a batch early is raised: a fault of the jobs, the store or the credentials."""
        with tracing.span("batch"):
            await self._run_all()

    async def _run_all(self) -> None:
        workers = [asyncio.ensure_future(self._work()) for _ in range(self._settings.concurrency)]
        try:
            done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            for worker in done:
                worker.result()
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if self._fault is not None:
            raise self._fault

    def finish(self) -> None:
        """Begin no further jobs, and give up those that wait for a sandbox or for another try."""
        if self._is_finishing:
            return  # a worker that is cancelled twice takes that for the end of all
        self._is_finishing = True
        self._source.close()
        for pause in self._pauses:
            if not pause.done():
                pause.set_result(None)
        for worker in self._waiting:
            if worker is not None:
                worker.cancel()

    async def _next(self) -> Job | None:
        try:
            return await self._source.next()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            worker = asyncio.current_task()
            if worker is None or worker.cancelling():
                raise
            if isinstance(error, asyncio.CancelledError):
                # Raised as it is, it would say that the batch was cancelled.
                error, cause = RuntimeError(f"jobs raised {error!r}"), error
                error.__cause__ = cause
            # Those that were taken before have nothing to do with it, and are run.
            self._fault = self._fault or error
            self._source.close()
            return None

    async def _work(self) -> None:
        while (job := await self._next()) is not None:
            outcome = self._known(job)
            if outcome is None:
                self.running += 1
                try:
                    outcome = await self._run(job)
                finally:
                    self.running -= 1
                if outcome is None:
                    return
            else:
                await asyncio.sleep(0)  # thousands of these would leave nothing else a turn
            self.tally.add(outcome)
            if (room := self._emit(outcome)) is not None:
                await room

    def _known(self, job: Job) -> Outcome | None:
        """What the store has of a job that is not to be run again."""
        if self._knows_none or self._settings.rerun == "all":
            return None
        assert self._store is not None
        outcome = self._store.outcome(job)
        if outcome is None or _is_rerun(outcome.verdict, self._settings.rerun):
            return None
        return outcome

    async def _run(self, job: Job) -> Outcome | None:
        """Try until the verdict is final. None if the batch ends before that."""
        before = 0
        if self._store is not None and not self._knows_none:
            before = self._store.attempts(job.key)
        tries = 0
        while True:
            tries += 1
            try:
                outcome, hint = await self._try(job, before + tries)
            except _NotBegun:
                return None
            if self._shelf.is_closed and (outcome.is_infra or _was_killed(outcome)):
                # That is no end of the job, but of all: it is given up.
                raise SandboxError("the pool of the batch was closed")
            if not self._settings.retry._applies(outcome.verdict, tries):
                if self._store is not None:
                    metadata = json.dumps(dict(job.metadata)) if job.metadata else None
                    self._store.add(outcome, metadata)
                return outcome
            if self._store is not None:
                self._store.add_failed_attempt(outcome)
            await self._pause(self._settings.retry._delay(tries, hint))
            if self._is_finishing:
                return None

    async def _pause(self, seconds: float) -> None:
        pause: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pauses.add(pause)
        try:
            if not self._is_finishing:
                await asyncio.wait([pause], timeout=seconds)
        finally:
            self._pauses.discard(pause)

    async def _try(self, job: Job, number: int) -> tuple[Outcome, float | None]:
        with tracing.span("job") as span:
            span.set("cwsandbox.job.key", job.key)
            span.set("cwsandbox.job.attempt", number)
            outcome, hint = await self._attempt(job, number)
            span.set("cwsandbox.job.verdict", outcome.verdict.value)
            if outcome.sandbox_id is not None:
                span.set("cwsandbox.sandbox.id", outcome.sandbox_id)
            if outcome.verdict is not Verdict.OK:
                span.fail(outcome.verdict.value, outcome.error or "")
            return outcome, hint

    async def _attempt(self, job: Job, number: int) -> tuple[Outcome, float | None]:
        at, asked = time(), monotonic()
        member: Member | None = None
        try:
            member = await self._member(job.options())
        except CWSandboxAuthenticationError:
            raise
        except Exception as error:
            ended = failed(_verdict.of_start(error), error)
        begun = monotonic()
        if member is not None:
            ended = await self._in(member, job)
        over = monotonic()
        outcome = Outcome(
            job,
            ended.verdict,
            ended.result,
            ended.error,
            number,
            None if member is None else member.sandbox.sandbox_id,
            at,
            begun - asked,
            over - begun if member is not None else 0.0,
        )
        if job.artifacts:
            outcome = replace(outcome, artifacts=ended.artifacts, missing_artifacts=ended.missing)
        return outcome, ended.hint

    async def _in(self, member: Member, job: Job) -> Ended:
        is_clean = False
        try:
            ended = await self._attempts.make(job, member.sandbox)
            is_clean = ended.leaves_clean
            return ended
        finally:
            self._shelf.give_back(member, is_reusable=is_clean)

    async def _member(self, options: dict[str, Any]) -> Member:
        if self._is_finishing:
            raise _NotBegun
        member = self._shelf.take_idle(options)
        if member is not None:
            return member
        worker = asyncio.current_task()
        self._waiting.add(worker)
        try:
            return await take_async(self._shelf, options)
        except asyncio.CancelledError:
            # By finish() alone, or by what gives up all?
            if worker is None or not self._is_finishing or worker.uncancel():
                raise
            raise _NotBegun from None
        finally:
            self._waiting.discard(worker)


class _NotBegun(asyncio.CancelledError):
    """The batch ends before the job has a sandbox."""


def _was_killed(outcome: Outcome) -> bool:
    """Whether a signal ended the command, such as the one that ends it with its sandbox."""
    return outcome.result is not None and outcome.result.returncode in _KILLED


def _is_rerun(verdict: Verdict, rerun: Rerun) -> bool:
    if rerun == "missing":
        return False
    return verdict.is_infra or (rerun == "failed" and verdict is not Verdict.OK)
