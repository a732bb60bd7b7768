"""Whose doing the end of a job was, and what is tried again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cwsandbox import Limits, Retry, Verdict, exceptions
from cwsandbox._batch import verdict
from cwsandbox._batch.retry import hint_of

INFRA_AT_START = [
    exceptions.SandboxUnavailableError("x"),
    exceptions.SandboxResourceExhaustedError("x"),
    exceptions.SandboxFailedError("x"),
    exceptions.SandboxTerminatedError("x"),
    exceptions.SandboxRequestTimeoutError("x"),
    exceptions.SandboxTimeoutError("x"),
    exceptions.SandboxNotRunningError("x"),
    exceptions.SandboxProtocolError("x"),
]
INVALID_AT_START = [
    exceptions.SandboxValidationError("x"),
    exceptions.CWSandboxAuthenticationError("x"),
    exceptions.SandboxFileError("x"),
    ValueError("x"),
    TypeError("x"),
    FileNotFoundError("x"),
]


@pytest.mark.parametrize("error", INFRA_AT_START, ids=lambda error: type(error).__name__)
def test_a_sandbox_that_is_not_there_is_not_the_jobs_fault(error: Exception) -> None:
    assert verdict.of_start(error) is Verdict.NOT_STARTED
    assert verdict.of_start(error).is_infra


@pytest.mark.parametrize("error", INVALID_AT_START, ids=lambda error: type(error).__name__)
def test_what_is_wrong_in_the_job_stays_wrong(error: Exception) -> None:
    assert verdict.of_start(error) is Verdict.INVALID
    assert not verdict.of_start(error).is_infra


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (exceptions.SandboxTimeoutError("x"), Verdict.TIMEOUT),
        (exceptions.SandboxCommandTimeoutError("x"), Verdict.TIMEOUT),
        (exceptions.SandboxRequestTimeoutError("x"), Verdict.SANDBOX_LOST),
        (exceptions.SandboxUnavailableError("x"), Verdict.SANDBOX_LOST),
        (exceptions.SandboxTerminatedError("x"), Verdict.SANDBOX_LOST),
        (exceptions.SandboxNotFoundError("x"), Verdict.SANDBOX_LOST),
        (exceptions.SandboxExecutionError("x"), Verdict.SANDBOX_LOST),
        (exceptions.SandboxStreamTruncatedError("x"), Verdict.SANDBOX_LOST),
        (exceptions.SandboxFailedError("x"), Verdict.SANDBOX_LOST),
        (
            exceptions.SandboxFailedError("x", status_reason="container main: OOMKilled"),
            Verdict.OUT_OF_MEMORY,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_commands_without_an_exit_code(error: exceptions.CWSandboxError, expected: Verdict) -> None:
    assert verdict.of_command(error) is expected


def test_commands_with_an_exit_code() -> None:
    assert verdict.of_exit(0) is Verdict.OK
    assert verdict.of_exit(1) is Verdict.FAILED
    assert verdict.of_exit(137) is Verdict.FAILED  # a kill, whoever it was


def test_only_infrastructure_failures_are_tried_again_and_not_for_ever() -> None:
    retry = Retry()
    assert {one for one in Verdict if retry._applies(one, 1)} == {
        Verdict.NOT_STARTED,
        Verdict.SANDBOX_LOST,
    }
    assert [retry._applies(Verdict.SANDBOX_LOST, tries) for tries in (1, 2, 3)] == [
        True,
        True,
        False,
    ]
    assert not Retry(times=0)._applies(Verdict.NOT_STARTED, 1)
    assert Retry(on=frozenset({Verdict.TIMEOUT}))._applies(Verdict.TIMEOUT, 1)


def test_waits_double_up_to_a_limit_and_follow_the_service() -> None:
    retry = Retry(times=9, backoff=1.0, max_backoff=4.0)
    for tries, base in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 4.0), (2000, 4.0)):
        assert 0.8 * base <= retry._delay(tries, None) <= 1.2 * base
    assert retry._delay(1, 60.0) == 60.0
    assert hint_of(exceptions.SandboxError("x", retry_delay=timedelta(seconds=3))) == 3.0
    assert hint_of(exceptions.SandboxError("x")) is None
    assert hint_of(ValueError("x")) is None


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: Retry(times=-1), ["times", "-1"]),
        (lambda: Retry(times=True), ["times", "True"]),
        (lambda: Retry(on=frozenset({"late"})), ["on", "late", "timeout"]),
        (lambda: Retry(on="timeout"), ["on", "timeout"]),
        (lambda: Retry(on=frozenset({"ok"})), ["on", "ok"]),
        (lambda: Retry(backoff=float("inf")), ["backoff", "inf"]),
        (lambda: Limits(alive=0), ["alive", "0"]),
        (lambda: Limits(starting=-3), ["starting", "-3"]),
        (lambda: Limits(starting=1.5), ["starting", "1.5"]),
        (lambda: Limits(per_second=0), ["per_second", "0"]),
        (lambda: Limits(per_second=float("nan")), ["per_second", "nan"]),
    ],
)
def test_faults_are_named(make: object, parts: list[str]) -> None:
    assert callable(make)
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    for part in parts:
        assert part in str(caught.value)


def test_verdicts_may_be_given_as_text() -> None:
    assert Retry(on={"timeout"}).on == frozenset({Verdict.TIMEOUT})  # type: ignore[arg-type]
