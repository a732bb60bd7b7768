"""What became of a job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from cwsandbox._batch.job import Job
from cwsandbox._batch.verdict import Verdict
from cwsandbox._types import check
from cwsandbox._types.result import ProcessResult


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job of a batch ended.

    - ``job``: the job, and ``verdict``: whose doing its end was.
    - ``result``: the command's output and exit code; -1 as ``returncode`` if none was received. None if the command
      was not started.
    - ``error``: what went wrong, as text, if it was not the command itself.
    - ``attempts``: how often it was tried, in earlier runs of the batch, too; by default once.
    - ``sandbox_id``: the sandbox of the last try, if there was one.
    - ``started_at``: when the last try began, in seconds since the epoch.
    - ``wait_seconds``: how long that waited for a sandbox, and ``run_seconds``: how long it had the sandbox.
    - ``artifacts``: the content of the job's artifacts, by path. Default: none.
    - ``missing_artifacts``: those that could not be taken, with the reason. Default: none.
    - ``is_stored``: it comes from the store: an earlier run of the batch has it from then.
    """

    job: Job
    verdict: Verdict
    result: ProcessResult | None = None
    error: str | None = None
    attempts: int = 1
    sandbox_id: str | None = None
    started_at: float = 0.0
    wait_seconds: float = 0.0
    run_seconds: float = 0.0
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    missing_artifacts: Mapping[str, str] = field(default_factory=dict)
    is_stored: bool = False

    @property
    def is_infra(self) -> bool:
        """Whether the infrastructure failed, and not the job."""
        return self.verdict.is_infra


@dataclass(frozen=True)
class Summary:
    """What a batch has come to.

    - ``verdicts``: how many jobs ended with each verdict; those without any are left out.
    - ``stored``: how many of them were in the store already.
    - ``attempts``: how many tries all of them took.
    - ``sandbox_seconds``: how long the last tries of all had their sandboxes.
    - ``seconds``: how long this run of the batch took.
    """

    verdicts: Mapping[Verdict, int]
    stored: int
    attempts: int
    sandbox_seconds: float
    seconds: float

    @property
    def jobs(self) -> int:
        """How many jobs have an outcome."""
        return sum(self.verdicts.values())

    @property
    def infra(self) -> int:
        """How many of them failed for the infrastructure."""
        return sum(count for verdict, count in self.verdicts.items() if verdict.is_infra)

    def cost(self, per_sandbox_hour: float) -> float:
        """What ``sandbox_seconds`` cost where ``per_sandbox_hour`` is the price of one sandbox for an hour."""
        return self.sandbox_seconds / 3600 * check.number(per_sandbox_hour, "per_sandbox_hour")

    def __str__(self) -> str:
        parts = [f"{self.verdicts[one]} {one}" for one in Verdict if self.verdicts.get(one)]
        return f"{self.jobs} jobs: {', '.join(parts) or 'none'}"


class Tally:
    """Counts outcomes."""

    def __init__(self) -> None:
        self._verdicts: Counter[Verdict] = Counter()
        self.jobs = 0
        self._stored = 0
        self._attempts = 0
        self._sandbox_seconds = 0.0

    def add(self, outcome: Outcome) -> None:
        self.jobs += 1
        self._verdicts[outcome.verdict] += 1
        self._stored += outcome.is_stored
        self._attempts += outcome.attempts
        self._sandbox_seconds += outcome.run_seconds

    @property
    def fresh(self) -> int:
        """How many were not stored before."""
        return self.jobs - self._stored

    def summary(self, seconds: float) -> Summary:
        verdicts = {one: self._verdicts[one] for one in Verdict if self._verdicts[one]}
        return Summary(verdicts, self._stored, self._attempts, self._sandbox_seconds, seconds)
