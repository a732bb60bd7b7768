"""What ``stream_logs`` is asked for, checked at the call."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from cwsandbox import Sandbox, SandboxUnavailableError
from cwsandbox._cwsandbox import RpcError
from cwsandbox._messages.logs import since, tail
from cwsandbox._service.errors import log_exception
from cwsandbox._service.rpc import NO_INFO, ErrorInfo

NAIVE = datetime(2026, 1, 2, 3, 4, 5)
INT32_MAX = 2**31 - 1


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"tail_lines": -1}, ValueError, "tail_lines must be at least 0 .* got -1"),
        ({"tail_lines": 2**31}, ValueError, f"at most {INT32_MAX}, got {2**31}"),
        ({"tail_lines": "5"}, TypeError, "tail_lines must be an int, got '5'"),
        ({"tail_lines": 5.0}, TypeError, "tail_lines must be an int, got 5.0"),
        ({"tail_lines": True}, TypeError, "tail_lines must be an int, got True"),
        ({"since_time": NAIVE}, ValueError, "since_time must be timezone-aware, got datetime"),
        ({"since_time": "now"}, TypeError, "since_time must be a datetime, got 'now'"),
        ({"since_time": 5}, TypeError, "since_time must be a datetime, got 5"),
        ({"follow": "yes"}, TypeError, "follow must be a bool, got 'yes'"),
        ({"follow": 1}, TypeError, "follow must be a bool, got 1"),
        ({"timestamps": None}, TypeError, "timestamps must be a bool, got None"),
        ({"timeout_seconds": 0}, ValueError, "timeout_seconds must be a positive number"),
        ({"timeout_seconds": -1}, ValueError, "timeout_seconds must be a positive number"),
        ({"timeout_seconds": math.nan}, ValueError, "timeout_seconds must be a positive number"),
        ({"timeout_seconds": "1"}, TypeError, "timeout_seconds must be a number of seconds"),
        ({"container": 5}, TypeError, "container must be a str, got 5"),
    ],
)
def test_refused(given: dict[str, Any], error: type[Exception], words: str) -> None:
    sandbox = Sandbox()
    with pytest.raises(error, match=words):
        sandbox.stream_logs(**given)
    assert sandbox.sandbox_id is None
    assert sandbox._handle.log_core is None  # nothing was begun


def test_tail() -> None:
    assert [tail(None), tail(0), tail(1), tail(INT32_MAX)] == [0, 0, 1, INT32_MAX]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), (0, 0)),
        (datetime(1970, 1, 1, 2, 0, 1, 5, tzinfo=timezone(timedelta(hours=2))), (1, 5000)),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), (-1, 999_999_000)),
        (datetime(2300, 1, 1, 0, 0, 0, 123_456, tzinfo=UTC), (10413792000, 123_456_000)),
    ],
)
def test_since(given: datetime, seconds: tuple[int, int]) -> None:
    assert since(given) == seconds


def test_no_since() -> None:
    assert since(None) is None


def lost(code_text: str | None) -> RpcError:
    error = RpcError("lost")
    error.kind, error.message, error.code_text = "lost", "in words", code_text
    error.code_name = "UNAVAILABLE"
    return error


def test_given_up() -> None:
    info = ErrorInfo("CWSANDBOX_RUNNER_UNAVAILABLE", "cwsandbox.com", {"a": "b"}, None, ())
    raised = log_exception(lost(None), "sb-1", info)
    assert isinstance(raised, SandboxUnavailableError)
    assert str(raised) == ("The log of sandbox 'sb-1' could not be resumed: UNAVAILABLE: in words")
    assert (raised.reason, raised.metadata) == (info.reason, {"a": "b"})
    raised = log_exception(lost("RUNNER_DRAINING"), "sb-1", NO_INFO)
    assert isinstance(raised, SandboxUnavailableError)
    assert raised.reason == "RUNNER_DRAINING"
    assert str(raised).endswith("could not be resumed: RUNNER_DRAINING: in words")
