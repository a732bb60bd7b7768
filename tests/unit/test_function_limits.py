"""What is too large to travel to a remote function, or back."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest

import cwsandbox._session.function
from cwsandbox import SandboxDefaults, SandboxExecutionError, Session
from cwsandbox._session import capture, outcome, remote_script
from cwsandbox._session.call import script
from unit.remote_calls import JSON, PICKLE, plain, ran

LIMIT = 200_000


def failure(function: Any, *args: Any, mode: Any, folder: Path) -> SandboxExecutionError:
    """Of a call in a sandbox where a result may have ``LIMIT`` bytes."""
    text = script().replace("RESULT_MAX = 256 << 20\n", f"RESULT_MAX = {LIMIT}\n")
    assert text != script()
    payload = capture.payload(plain(function), args, {}, mode, plain)
    process, data = ran(payload, mode, str(folder), text)
    assert data is not None
    assert len(data) <= LIMIT
    with pytest.raises(SandboxExecutionError) as caught:
        outcome.value_of(data, "f", mode, process)
    return caught.value


def large(size: int) -> str:
    return "x" * size


def fail(size: int, letter: str) -> None:
    raise ValueError(letter * size)


def fill_up(room: int) -> str:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    return "x" * room


@pytest.mark.parametrize("mode", [JSON, PICKLE])
def test_a_value_that_is_too_large(mode: Any, tmp_path: Path) -> None:
    error = failure(large, LIMIT, mode=mode, folder=tmp_path)
    assert error.exception_type == "ValueError"
    assert str(error.exception_message).startswith("return value cannot be sent: it has 2000")
    assert f"bytes, and the limit is {LIMIT}: write it to a file" in str(error)


@pytest.mark.parametrize("mode", [JSON, PICKLE])
@pytest.mark.parametrize("letter", ["x", "\N{SNOWMAN}"])
def test_an_exception_that_is_too_large(mode: Any, letter: str, tmp_path: Path) -> None:
    error = failure(fail, LIMIT, letter, mode=mode, folder=tmp_path)
    assert error.exception_type == "ValueError"
    assert error.exception_message == letter * remote_script.SHOWN_MAX + "…"


def test_a_pickle_that_is_too_large_leaves_the_text_whole(tmp_path: Path) -> None:
    error = failure(fail, LIMIT * 2 // 5, "x", mode=PICKLE, folder=tmp_path)
    assert error.exception_message == "x" * (LIMIT * 2 // 5)
    assert error.__cause__ is None


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    error = failure(fill_up, 10_000, mode=JSON, folder=tmp_path)
    assert error.exception_type == "OSError"
    assert "return value cannot be sent: [Errno 27] File too large" in str(error)


def test_arguments_that_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cwsandbox._session.function, "FILE_MAX", LIMIT)
    session = Session(SandboxDefaults(base_url="http://127.0.0.1:1"))
    for mode in (JSON, PICKLE):
        called = session.function(serialization=mode)(count).remote("x" * LIMIT)
        told = (
            rf"function 'count', its arguments and .* have 20\d+ bytes as {mode}, and the limit is"
        )
        with pytest.raises(ValueError, match=told):
            called.result()
    assert session.sandbox_count == 0


def count(text: str) -> int:
    return len(text)
