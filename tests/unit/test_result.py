"""ProcessResult: a dataclass whose text and large output are made when asked for."""

from __future__ import annotations

import copy
import dataclasses
import gc
import inspect
import pickle
import weakref
from typing import Any
from unittest.mock import create_autospec

import pytest

from cwsandbox import ProcessResult


class Output:
    """What the native one does, without a process behind it."""

    def __init__(self, stdout: bytes, stderr: bytes, omitted: tuple[int, int] | None) -> None:
        self._streams = {False: stdout, True: stderr}
        self._omitted = omitted
        self.captured = True
        self.copies = 0

    def omitted(self, stderr: bool) -> tuple[int, int]:
        return (self._omitted if not stderr else None) or (0, len(self._streams[stderr]))

    def bytes(self, stderr: bool) -> bytes:
        self.copies += 1
        return self._streams[stderr]


class Process:
    """Holds its result, as the native one does."""

    def __init__(
        self,
        stdout: bytes,
        stderr: bytes,
        *,
        omitted: tuple[int, int] | None = None,
        captures: bool = True,
    ) -> None:
        self._output = Output(stdout, stderr, omitted)
        self._output.captured = captures
        self.command = ["prog", "arg"]
        self.result: Any = None


def result_of(process: Process, code: int = 0) -> ProcessResult:
    stand_in: Any = process
    made = ProcessResult._of(stand_in, code)
    process.result = made
    return made


LARGE = b"x" * 100_000


def test_constructor() -> None:
    result = ProcessResult("out", "err", 3)
    assert (result.stdout_bytes, result.stderr_bytes, result.command) == (b"", b"", [])
    assert list(inspect.signature(ProcessResult).parameters) == [
        "stdout",
        "stderr",
        "returncode",
        "stdout_bytes",
        "stderr_bytes",
        "command",
        "stdout_omitted_bytes",
        "stderr_omitted_bytes",
        "output_captured",
    ]
    with pytest.raises(TypeError):
        ProcessResult("", "", 0, b"", b"", [], 5)  # type: ignore[misc]
    assert ProcessResult("", "", 0, stdout_omitted_bytes=5).stdout_omitted_bytes == 5
    assert inspect.signature(ProcessResult).parameters["stdout_bytes"].default == b""


@pytest.mark.parametrize("stdout", [b"h\xc3\xa9 \xff\r\n", LARGE])
def test_values(stdout: bytes) -> None:
    result = result_of(Process(stdout, b"warn"), 5)
    assert result.stdout == stdout.decode("utf-8", "replace")
    assert result.stderr == "warn"
    assert (result.stdout_bytes, result.stderr_bytes) == (stdout, b"warn")
    assert (result.returncode, result.command) == (5, ["prog", "arg"])


def test_equal_to_one_made_by_hand() -> None:
    by_hand = ProcessResult(LARGE.decode(), "e", 0, LARGE, b"e", ["prog", "arg"])
    assert result_of(Process(LARGE, b"e")) == by_hand
    assert result_of(Process(LARGE, b"f")) != by_hand
    assert repr(result_of(Process(b"a", b"e"))) == (
        "ProcessResult(stdout='a', stderr='e', returncode=0, stdout_bytes=b'a', stderr_bytes=b'e', "
        "command=['prog', 'arg'])"
    )


def test_what_is_omitted() -> None:
    # A snowman lies on each side of the gap, in part.
    result = result_of(Process(b"a\xe2\x98\x83b", b"e", omitted=(10, 3)))
    assert result.stdout_omitted_bytes == 10
    assert result.stdout == "a\ufffd\ufffdb"
    assert result.stdout_bytes == b"a\xe2\x98\x83b"
    assert (result.stderr, result.stderr_omitted_bytes, result.output_captured) == ("e", 0, True)
    assert repr(result).endswith("command=['prog', 'arg'], stdout_omitted_bytes=10)")
    assert pickle.loads(pickle.dumps(result)) == result
    assert result != result_of(Process(b"a\xe2\x98\x83b", b"e"))
    only_asked = result_of(Process(b"ab", b"", omitted=(7, 1)))
    assert only_asked.stdout_omitted_bytes == 7
    assert only_asked.stdout_bytes == b"ab"


def test_what_is_not_captured() -> None:
    result = result_of(Process(b"", b"", omitted=(12, 0), captures=False))
    assert (result.stdout, result.stdout_bytes, result.stdout_omitted_bytes) == ("", b"", 12)
    assert not result.output_captured
    assert repr(result).endswith(", stdout_omitted_bytes=12, output_captured=False)")
    assert not pickle.loads(pickle.dumps(result)).output_captured
    assert not dataclasses.replace(result, returncode=3).output_captured


@pytest.mark.parametrize("stdout", [b"small", LARGE])
def test_pickle_copy_replace_asdict(stdout: bytes) -> None:
    by_hand = ProcessResult(stdout.decode(), "", 0, stdout, b"", ["prog", "arg"])
    assert pickle.loads(pickle.dumps(result_of(Process(stdout, b"")))) == by_hand
    assert copy.deepcopy(result_of(Process(stdout, b""))) == by_hand
    assert dataclasses.replace(result_of(Process(stdout, b"")), returncode=9).returncode == 9
    assert dataclasses.asdict(result_of(Process(stdout, b"")))["stdout_bytes"] == stdout


def test_unhashable_and_mutable() -> None:
    result = result_of(Process(b"a", b""))
    with pytest.raises(TypeError, match="unhashable"):
        hash(result)
    result.stdout = "changed"
    assert result.stdout == "changed"


def test_output_is_copied_once_and_only_when_asked_for() -> None:
    process = Process(LARGE, LARGE)
    result = result_of(process)
    assert process._output.copies == 0
    assert result.stdout is result.stdout
    assert result.stdout_bytes is result.stdout_bytes
    assert process._output.copies == 1


@pytest.mark.parametrize("stdout", [b"small", LARGE])
def test_process_and_result_do_not_keep_each_other_alive(stdout: bytes) -> None:
    process = Process(stdout, b"")
    result = result_of(process)
    alive = weakref.ref(process)
    gc.disable()
    try:
        del process
        assert alive() is None
    finally:
        gc.enable()
    assert result.stdout_bytes == stdout


def test_a_result_read_whole_does_not_keep_the_native_output() -> None:
    process = Process(LARGE, b"e")
    result = result_of(process)
    alive = weakref.ref(process._output)
    del process
    assert (result.stdout_bytes, result.stderr_bytes) == (LARGE, b"e")
    assert alive() is None


def test_unknown_attributes() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        getattr(result_of(Process(LARGE, b"")), "nothing")  # noqa: B009
    with pytest.raises(AttributeError, match="nothing"):
        getattr(ProcessResult("", "", 0), "nothing")  # noqa: B009


def test_the_defaults_are_seen_on_the_class() -> None:
    assert (ProcessResult.stdout_bytes, ProcessResult.stderr_bytes) == (b"", b"")
    assert ProcessResult.output_captured is True
    assert ProcessResult.stdout_omitted_bytes == ProcessResult.stderr_omitted_bytes == 0
    double = create_autospec(ProcessResult, instance=True, stdout_bytes=b"x")
    assert double.stdout_bytes == b"x"
    assert inspect.signature(ProcessResult).parameters["stdout_bytes"].default == b""
