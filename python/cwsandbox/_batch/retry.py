"""Which ends of a job are followed by another try, and after how long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import uniform

from cwsandbox._batch.verdict import INFRA, Verdict
from cwsandbox._types import check
from cwsandbox.exceptions import CWSandboxError


@dataclass(frozen=True)
class Retry:
    """When a job of a batch is tried again, in another sandbox.

    - ``times``: how often at most, after the first try. Default: 2; 0: never.
    - ``on``: the verdicts that are followed by another try. Default: infrastructure failures only.
    - ``backoff``: seconds before the second try. They double with each further one, and vary by a fifth, so that jobs
      that failed together do not come back together. Default: 1.
    - ``max_backoff``: seconds between two tries at most, unless the service asks for more. Default: 30.
    """

    times: int = 2
    on: frozenset[Verdict] = INFRA
    backoff: float = 1.0
    max_backoff: float = 30.0

    def __post_init__(self) -> None:
        if check.integer(self.times, "times") < 0:
            raise ValueError(f"times must be >= 0, got {self.times}")
        object.__setattr__(self, "on", verdicts(self.on, "on"))
        if Verdict.OK in self.on:
            raise ValueError("on must not contain 'ok': what succeeded is not tried again")
        check.budget(self.backoff, "backoff")
        check.budget(self.max_backoff, "max_backoff")

    def _applies(self, verdict: Verdict, tries: int) -> bool:
        """Whether a job that ended like this after so many tries is tried again."""
        return verdict in self.on and tries <= self.times

    def _delay(self, tries: int, hint: float | None) -> float:
        """Seconds to wait after so many tries; ``hint`` is what the service asks for."""
        pause = min(self.backoff * 2.0 ** min(tries - 1, 30), self.max_backoff)
        return max(pause * uniform(0.8, 1.2), hint or 0.0)


def verdicts(values: Iterable[Verdict | str], what: str) -> frozenset[Verdict]:
    """Several verdicts, each given as itself or as its text."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{what} must be a set of verdicts, got {check.shown(values)}")
    return frozenset(check.choice(value, Verdict, what) for value in values)


def hint_of(error: BaseException) -> float | None:
    """How many seconds the service asks to wait, None if it does not."""
    delay = error.retry_delay if isinstance(error, CWSandboxError) else None
    return None if delay is None else delay.total_seconds()
