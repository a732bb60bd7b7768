"""The exceptions: their tree, their attributes, and that they survive pickling."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
from datetime import timedelta
from typing import Any

import pytest

from cwsandbox import FieldViolation, ProcessResult, exceptions

ALL: dict[str, Any] = {
    name: value
    for name, value in vars(exceptions).items()
    if inspect.isclass(value) and issubclass(value, BaseException) and not name.startswith("_")
}

EXTRA: dict[str, Any] = {
    "field_violations": (FieldViolation("spec.image", "bad"),),
    "sandbox_id": "sb-1",
    "status_reason": "no image",
    "exec_result": ProcessResult("out", "err", 3),
    "exception_type": "ValueError",
    "exception_message": "oops",
    "stream_code": "STREAM_TRUNCATED",
    "filepath": "/a",
    "member": "a/b",
    "file_system_snapshot_id": "fss-1",
    "volume_id": "vol-1",
    "runner_id": "runner-1",
    "profile_name": "profile",
    "reason": "CWSANDBOX_X",
    "metadata": {"key": "value"},
    "retry_delay": timedelta(seconds=2),
}


def full(
    cls: type[exceptions.CWSandboxError],
) -> tuple[exceptions.CWSandboxError, dict[str, object]]:
    """One with every keyword its constructor takes."""
    names = [name for name in inspect.signature(cls).parameters if name != "message"]
    given = {name: EXTRA[name] for name in names}
    return cls("what happened", **given), given


@pytest.mark.parametrize("name", ALL)
def test_attributes_and_pickling(name: str) -> None:
    made, given = full(ALL[name])
    for error in (made, pickle.loads(pickle.dumps(made))):
        assert type(error) is ALL[name]
        assert error.args == ("what happened",)
        assert str(error) == "what happened"
        assert {key: getattr(error, key) for key in given} == given


@pytest.mark.parametrize("name", sorted(set(ALL) - {"RunnerNotFoundError", "ProfileNotFoundError"}))
def test_only_the_message_is_needed(name: str) -> None:
    error = ALL[name]("text")
    assert (error.reason, error.metadata, error.retry_delay) == (None, {}, None)


@pytest.mark.parametrize("name", ALL)
def test_message_is_needed(name: str) -> None:
    with pytest.raises(TypeError):
        ALL[name]()


def test_none_is_a_builtin_of_another_meaning() -> None:
    for cls in ALL.values():
        assert not issubclass(cls, (TimeoutError, OSError, ValueError, TypeError))


def test_metadata_is_copied() -> None:
    metadata = {"a": "1"}
    error = exceptions.SandboxError("text", metadata=metadata)
    metadata["a"] = "2"
    assert error.metadata == {"a": "1"}


@pytest.mark.parametrize("name", ["SandboxStreamBackpressureError", "SandboxStreamTruncatedError"])
def test_stream_errors_take_no_reason(name: str) -> None:
    with pytest.raises(TypeError, match="reason"):
        ALL[name]("text", reason="CWSANDBOX_X")
    assert ALL[name]("text").reason is None


@pytest.mark.parametrize("name", ["SandboxTimeoutError", "CWSandboxAuthenticationError"])
def test_partial_output_may_be_on_any_error(name: str) -> None:
    error = ALL[name]("text")
    assert error.exec_result is None
    error.exec_result = ProcessResult("so far", "", -1)
    again = pickle.loads(pickle.dumps(error))
    assert again.exec_result == ProcessResult("so far", "", -1)


def test_the_tree_in_the_docstring_names_every_class() -> None:
    documented = exceptions.__doc__ or ""
    assert [name for name in ALL if name not in documented] == []


def test_a_timeout_has_what_that_of_subprocess_has() -> None:
    expired = subprocess.TimeoutExpired(["make"], 60, output="out", stderr="err")
    error = exceptions.SandboxTimeoutError("timed out")
    names = ("cmd", "timeout", "output", "stdout", "stderr")
    assert [getattr(error, name) for name in names] == [None] * 5
    error.exec_result = ProcessResult("out", "err", -1, b"out", b"err", ["make"])
    error.timeout = 60
    for one in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        for name in names:
            assert getattr(one, name) == getattr(expired, name)


def test_field_violation_is_there_as_well() -> None:
    assert exceptions.FieldViolation is FieldViolation
    assert "FieldViolation" in dir(exceptions)
    with pytest.raises(AttributeError, match="nothing"):
        _ = exceptions.nothing  # type: ignore[attr-defined]
