"""Failed calls and commands become exceptions: the whole table."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from cwsandbox import _cwsandbox, exceptions
from cwsandbox._service.errors import Hooks, command_exception, to_exception
from cwsandbox._service.rpc import NO_INFO, Code, ErrorInfo, RpcFailure, error_info
from cwsandbox._types.error import FieldViolation
from cwsandbox._types.result import ProcessResult
from unit.service import failure

_E = TypeVar("_E", bound=BaseException)

pack, unpack = _cwsandbox._message_pack, _cwsandbox._message_unpack

BY_REASON = {
    "FILE_NOT_FOUND": "SandboxFileError",
    "FILE_IS_DIRECTORY": "SandboxFileError",
    "FILE_IO_FAILED": "SandboxFileError",
    "FILE_PERMISSION_DENIED": "SandboxFileError",
    "FILE_TOO_LARGE": "SandboxFileError",
    "FILE_TRUNCATED": "SandboxFileError",
    "SANDBOX_NOT_FOUND": "SandboxNotFoundError",
    "SANDBOX_NOT_RUNNING": "SandboxNotRunningError",
    "COMMAND_TIMEOUT": "SandboxCommandTimeoutError",
    "RUNNER_UNAVAILABLE": "SandboxUnavailableError",
    "BACKEND_UNAVAILABLE": "SandboxUnavailableError",
    "RUNNER_SHARD_RETIRING": "SandboxUnavailableError",
    "FSS_NOT_FOUND": "SnapshotNotFoundError",
    "FSS_NOT_READY": "SnapshotNotReadyError",
    "FSS_NOT_SUPPORTED": "SnapshotNotSupportedError",
    "FSS_SIZE_EXCEEDED": "SnapshotSizeExceededError",
    "FSS_QUOTA_EXCEEDED": "SnapshotQuotaExceededError",
    "FSS_BUCKET_MISMATCH": "SnapshotBucketMismatchError",
    "FSS_BUCKET_UNAVAILABLE": "SandboxSnapshotError",
    "FSS_RESTORE_FAILED": "SandboxSnapshotError",
    "FSS_CREATE_FAILED": "SandboxSnapshotError",
    "FSS_CREATE_TIMED_OUT": "SandboxSnapshotError",
    "FSS_AUTH_FAILED": "SandboxSnapshotError",
    "FSS_TRANSPORT_FAILED": "SandboxSnapshotError",
    "FSS_CANCELED": "SandboxSnapshotError",
    "FSS_WAIT_TIMEOUT": "SnapshotWaitTimeoutError",
    "FSS_BACKEND_THROTTLED": "SnapshotBackendThrottledError",
    "FSS_INFLIGHT_LIMIT": "SnapshotBackendThrottledError",
    "FSS_BUCKET_PROVISIONING": "SnapshotBucketProvisioningError",
    "VOLUME_NOT_FOUND": "VolumeNotFoundError",
    "VOLUME_NOT_READY": "VolumeNotReadyError",
    "VOLUME_PLACEMENT_CONFLICT": "VolumePlacementConflictError",
    "VOLUME_TYPE_NOT_SUPPORTED": "VolumeTypeNotSupportedError",
    "VOLUME_NOT_SNAPSHOTTABLE": "VolumeNotSnapshottableError",
    "VOLUME_RUNNER_INELIGIBLE": "VolumeRunnerIneligibleError",
    "VOLUME_BACKEND_NOT_FOUND": "VolumeBackendNotFoundError",
    "VOLUME_IN_USE": "VolumeInUseError",
    "VOLUME_QUOTA_EXCEEDED": "VolumeQuotaExceededError",
    "VOLUME_RUNNER_UNAVAILABLE": "VolumeRunnerUnavailableError",
}

# Every status code; those not named here are SandboxError.
BY_CODE = {
    1: "SandboxNotRunningError",
    4: "SandboxRequestTimeoutError",
    5: "SandboxNotFoundError",
    7: "CWSandboxAuthenticationError",
    8: "SandboxResourceExhaustedError",
    14: "SandboxUnavailableError",
    16: "CWSandboxAuthenticationError",
}


@pytest.mark.parametrize("reason", BY_REASON)
def test_reason_beats_status(reason: str) -> None:
    error = to_exception(failure(Code.UNAVAILABLE, reason=f"CWSANDBOX_{reason}"), operation="Do it")
    assert type(error).__name__ == BY_REASON[reason]
    assert error.reason == f"CWSANDBOX_{reason}"


# Reasons of the daemon that say no more than their status does.
TOLD_BY_STATUS = {
    "INVALID_REQUEST",
    "NOT_IMPLEMENTED",
    "REQUEST_ID_CONFLICT",
    "RUNNER_CAPACITY_EXHAUSTED",
    "RUNNER_OVERLOADED",
    "PLACEMENT_CONSTRAINT_UNSATISFIED",
    "RESOURCE_CEILING_EXCEEDED",
    "SECRET_STORE_NOT_PROVISIONED",
    "PRECONDITION_FAILED",
    "RUNNER_NOT_FOUND",
    "TEMPLATE_ALREADY_EXISTS",
    "TEMPLATE_NOT_FOUND",
    "VOLUME_ALREADY_EXISTS",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "INTERNAL",
}


def test_every_reason_of_the_daemon_is_decided_on() -> None:
    header = Path(__file__).parents[2] / "src" / "cwsandboxd" / "values" / "fault.h"
    reasons = set(re.findall(r'"CWSANDBOX_(\w+)"', header.read_text()))
    assert "SANDBOX_NOT_RUNNING" in reasons
    assert reasons <= BY_REASON.keys() | TOLD_BY_STATUS


@pytest.mark.parametrize("domain", ["", "example.com"])
def test_a_foreign_domain_only_decorates(domain: str) -> None:
    foreign = failure(
        Code.UNAVAILABLE, reason="CWSANDBOX_SANDBOX_NOT_FOUND", domain=domain, delay=2, a="1"
    )
    error = to_exception(foreign, operation="Do it")
    assert type(error) is exceptions.SandboxUnavailableError
    assert error.reason == "CWSANDBOX_SANDBOX_NOT_FOUND"
    assert error.metadata == {"a": "1"}
    assert error.retry_delay == timedelta(seconds=2)


@pytest.mark.parametrize("code", range(1, 17))
def test_status(code: int) -> None:
    error = to_exception(RpcFailure(code, "NAME", "the text"), operation="Do it")
    assert type(error).__name__ == BY_CODE.get(code, "SandboxError")
    assert str(error).startswith("Do it ")
    assert str(error).endswith("the text")


def test_unknown_reason_falls_through() -> None:
    error = to_exception(failure(Code.INVALID_ARGUMENT, reason="CWSANDBOX_NEW"), operation="Do it")
    assert type(error) is exceptions.SandboxError
    unprefixed = to_exception(
        failure(Code.INVALID_ARGUMENT, reason="FSS_NOT_FOUND"), operation="Do it"
    )
    assert type(unprefixed) is exceptions.SandboxError


def test_not_found_is_about_what_the_call_was_about() -> None:
    bare = failure(Code.NOT_FOUND)
    snapshot = to_exception(bare, operation="Get", snapshot_id="fss-1")
    volume = to_exception(bare, operation="Get", volume_id="vol-1")
    sandbox = to_exception(bare, operation="Get", sandbox_id="sb-1")
    assert isinstance(snapshot, exceptions.SnapshotNotFoundError)
    assert snapshot.file_system_snapshot_id == "fss-1"
    assert isinstance(volume, exceptions.VolumeNotFoundError)
    assert volume.volume_id == "vol-1"
    assert isinstance(sandbox, exceptions.SandboxNotFoundError)
    assert sandbox.sandbox_id == "sb-1"
    assert "'sb-1'" in str(sandbox)


def test_paths_and_ids_from_metadata() -> None:
    file = failure(Code.NOT_FOUND, reason="CWSANDBOX_FILE_NOT_FOUND", filepath="/theirs")
    error = to_exception(file, operation="Read")
    assert isinstance(error, exceptions.SandboxFileError)
    assert error.filepath == "/theirs"
    error = to_exception(file, operation="Read", filepath="/ours")
    assert isinstance(error, exceptions.SandboxFileError)
    assert error.filepath == "/ours"
    volume = failure(Code.NOT_FOUND, reason="CWSANDBOX_VOLUME_NOT_FOUND", volume_id="vol-9")
    error = to_exception(volume, operation="Get")
    assert isinstance(error, exceptions.VolumeNotFoundError)
    assert error.volume_id == "vol-9"


def test_field_violations() -> None:
    violations = (FieldViolation("spec.image", "is bad"), FieldViolation("", "all wrong"))
    refused = RpcFailure(3, "INVALID_ARGUMENT", "no", ErrorInfo(field_violations=violations))
    error = to_exception(refused, operation="Create")
    assert isinstance(error, exceptions.SandboxValidationError)
    assert error.field_violations == violations
    assert "field violations: spec.image: is bad; all wrong" in str(error)


def test_what_the_message_says_already_is_said_once() -> None:
    text = "container: 'x' is not in sandbox sb-1"
    violations = (FieldViolation("container", "'x' is not in sandbox sb-1"),)
    refused = RpcFailure(3, "INVALID_ARGUMENT", text, ErrorInfo(field_violations=violations))
    error = to_exception(refused, operation="Command 'a'")
    assert str(error) == f"Command 'a' failed, INVALID_ARGUMENT: {text}"
    assert isinstance(error, exceptions.SandboxValidationError)
    assert error.field_violations == violations


# ---- the details of a status ----


def detail(name: str, message: dict[str, Any]) -> dict[str, Any]:
    return {"type_url": f"type.googleapis.com/{name}", "value": pack(name, message)}


def status(*details: dict[str, Any]) -> bytes:
    return pack("google.rpc.Status", {"code": 14, "message": "m", "details": list(details)})


INFO = detail(
    "google.rpc.ErrorInfo",
    {"reason": "CWSANDBOX_X", "domain": "cwsandbox.com", "metadata": {"a": "1"}},
)


def retry(seconds: int, nanos: int = 0) -> dict[str, Any]:
    return detail("google.rpc.RetryInfo", {"retry_delay": {"seconds": seconds, "nanos": nanos}})


def parsed(*details: bytes) -> ErrorInfo:
    return error_info(details, unpack)


def test_details_are_read() -> None:
    info = parsed(status(INFO, retry(1, 500_000_000)))
    delay = timedelta(seconds=1.5)
    assert info == ErrorInfo("CWSANDBOX_X", "cwsandbox.com", {"a": "1"}, delay)


@pytest.mark.parametrize(
    "broken", [b"\xff", b"", status(), status(detail("google.rpc.ErrorInfo", {}))]
)
def test_the_first_that_says_anything_wins(broken: bytes) -> None:
    assert parsed(broken) == NO_INFO
    assert parsed(broken, status(INFO)).reason == "CWSANDBOX_X"


def test_broken_and_unknown_details_are_skipped() -> None:
    broken = {"type_url": "type.googleapis.com/google.rpc.ErrorInfo", "value": b"\xff\xff"}
    unknown = {"type_url": "type.googleapis.com/example.Other", "value": b"\xff"}
    assert parsed(status(broken, unknown, INFO)).reason == "CWSANDBOX_X"


def test_delays() -> None:
    assert parsed(status(INFO)).retry_delay is None
    assert parsed(status(INFO, retry(0))).retry_delay == timedelta(0)
    assert parsed(status(retry(-1))).retry_delay == timedelta(seconds=-1)
    assert parsed(status(INFO, retry(2**62))).retry_delay is None
    assert parsed(status(INFO, detail("google.rpc.RetryInfo", {}))).retry_delay is None


def test_violation_texts() -> None:
    violations = [
        {"field": "a", "description": "described", "reason": "R"},
        {"field": "b", "localized_message": {"message": "localized"}, "reason": "R"},
        {"field": "c", "reason": "R"},
        {"field": "", "description": ""},
    ]
    info = parsed(status(detail("google.rpc.BadRequest", {"field_violations": violations})))
    assert info.field_violations == (
        FieldViolation("a", "described"),
        FieldViolation("b", "localized"),
        FieldViolation("c", "R"),
    )


# ---- commands ----


def rpc_error(kind: str, code: int = 2, message: str = "", **more: Any) -> Any:
    defaults: dict[str, Any] = {"details": (), "local": False, "code_text": None, "failure": None}
    name = "DEADLINE_EXCEEDED" if code == 4 else "NAME"
    return SimpleNamespace(
        kind=kind, code=code, code_name=name, message=message, **{**defaults, **more}
    )


@pytest.mark.parametrize(
    ("error", "cls", "words"),
    [
        (rpc_error("status", 4), "SandboxTimeoutError", "timed out after 2.5s"),
        (rpc_error("no_exit"), "SandboxExecutionError", "ended without an exit status"),
        (rpc_error("status", 14, "gone"), "SandboxUnavailableError", "gone"),
        (rpc_error("status", 5), "SandboxNotFoundError", "not found"),
        (rpc_error("status", 13, "bug"), "SandboxError", "bug"),
        (rpc_error("closed"), "SandboxNotRunningError", "has been stopped"),
        (rpc_error("ready_timeout"), "SandboxTimeoutError", "ready signal"),
        (rpc_error("frame", message="no such file"), "SandboxExecutionError", "no such file"),
        (
            rpc_error("frame", code_text="STREAM_BACKPRESSURE", message="theirs"),
            "SandboxStreamBackpressureError",
            "not read fast enough",
        ),
        (
            rpc_error("frame", code_text="STREAM_TRUNCATED"),
            "SandboxStreamTruncatedError",
            "lost on the way",
        ),
    ],
)
def test_commands(error: Any, cls: str, words: str) -> None:
    raised = command_exception(error, ["prog", "arg"], 2.5, NO_INFO)
    assert type(raised).__name__ == cls
    assert words in str(raised)
    assert "ommand prog arg " in str(raised)


def test_stream_code_and_reason_of_frames() -> None:
    truncated: Any = command_exception(
        rpc_error("frame", code_text="STREAM_TRUNCATED"), ["x"], None, NO_INFO
    )
    assert (truncated.stream_code, truncated.reason) == ("STREAM_TRUNCATED", None)
    other: Any = command_exception(
        rpc_error("frame", code_text="SPAWN_FAILED"), ["x"], None, NO_INFO
    )
    assert other.reason == "SPAWN_FAILED"
    bare: Any = command_exception(rpc_error("frame"), ["x"], None, NO_INFO)
    assert bare.reason is None


def raised_by_somebody(failure: _E) -> _E:
    try:
        raise failure
    except type(failure):
        return failure


def test_a_failed_start_is_copied_for_each_command() -> None:
    failed = raised_by_somebody(
        exceptions.SandboxFailedError("failed to start", sandbox_id="sb-1", status_reason="why")
    )
    first, second = (
        command_exception(rpc_error("not_open", failure=failed), ["x"], None, NO_INFO)
        for _ in range(2)
    )
    assert first is not second
    for raised in (first, second):
        assert type(raised) is exceptions.SandboxFailedError
        assert str(raised) == "failed to start"
        assert raised.status_reason == "why"
        assert raised.__cause__ is failed


def of_command(failure: BaseException) -> BaseException:
    return command_exception(rpc_error("not_open", failure=failure), ["x"], None, NO_INFO)


def test_a_failure_of_any_class_is_copied() -> None:
    class Odd(Exception):
        def __init__(self, *, code: int) -> None:
            super().__init__(f"code {code}")
            self.code = code

    odd = raised_by_somebody(Odd(code=3))
    own: Any = of_command(odd)
    assert own is not odd
    assert (type(own), str(own), own.code, own.__cause__) == (Odd, "code 3", 3, odd)


def test_a_failure_that_nobody_has_raised_is_told_once() -> None:
    stopped = exceptions.SandboxNotRunningError("has been stopped")
    assert of_command(stopped).__cause__ is None
    refusal = RuntimeError("refused")
    stopped.__cause__ = refusal
    assert of_command(stopped).__cause__ is refusal


def test_a_failure_that_cannot_be_copied_is_told_as_it_is() -> None:
    class Odd(Exception):
        def __new__(cls, *args: object) -> Odd:
            if args:
                raise TypeError("no copy")
            return super().__new__(cls)

    odd = Odd()
    odd.args = ("one",)
    assert of_command(odd) is odd


def test_what_interrupts_the_copying_is_not_hidden() -> None:
    class Interrupted(Exception):
        def __new__(cls, *args: object) -> Interrupted:
            if args:
                raise MemoryError
            return super().__new__(cls)

    failure = Interrupted()
    failure.args = ("one",)
    with pytest.raises(MemoryError):
        of_command(failure)


def hooks() -> Hooks:
    return Hooks(
        unpack, lambda process, code: ProcessResult("so far", "", code, command=process.command)
    )


PROCESS: Any = SimpleNamespace(
    command=["prog"], _timeout=3.0, _sandbox=SimpleNamespace(is_open=False)
)


def test_result_hook() -> None:
    assert hooks().make_result(PROCESS, 1, False).returncode == 1
    assert hooks().make_result(PROCESS, 0, True).returncode == 0
    error = hooks().make_result(PROCESS, 7, True)
    assert type(error) is exceptions.SandboxExecutionError
    assert str(error) == "Command prog failed with exit code 7"
    assert error.exec_result == ProcessResult("so far", "", 7, command=["prog"])
    assert error.reason is None


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["sh", "-c", "exit 7"], "sh -c 'exit 7'"),
        (["a b", "", "c'd", "\u00e9"], "'a b' '' 'c'\"'\"'d' '\u00e9'"),
        (
            ["python", "-c", "import sys\nsys.exit(7)\x1b"],
            r"python -c 'import sys\nsys.exit(7)\x1b'",
        ),
        (["a", "x" * 1_000_000], "a " + "x" * 195 + "..."),
        (["\n"] * 1_000_000, r"'\n' " * 39 + r"'\..."),
    ],
)
def test_a_failure_shows_the_command_in_one_line_of_bounded_length(
    command: list[str], shown: str
) -> None:
    process = SimpleNamespace(command=command)
    assert str(hooks().make_result(process, 7, True)) == f"Command {shown} failed with exit code 7"
    assert len(shown) <= 200


def test_result_hook_without_output() -> None:
    made = Hooks(unpack, lambda process, code: ProcessResult("", "", code, output_captured=False))
    error = made.make_result(PROCESS, 7, True)
    assert "failed with exit code 7; its output was not captured" in str(error)
    assert not error.exec_result.output_captured


def test_a_gap_in_the_output() -> None:
    error = hooks().make_error(
        PROCESS, rpc_error("gap", 15, "12 bytes of its stdout were not read")
    )
    assert type(error) is exceptions.SandboxStreamTruncatedError
    assert "12 bytes of its stdout were not read; iterate again" in str(error)


@pytest.mark.parametrize("kind", ["status", "no_exit", "frame", "closed", "ready_timeout"])
def test_every_failed_command_carries_its_output(kind: str) -> None:
    error = hooks().make_error(PROCESS, rpc_error(kind, 4))
    assert isinstance(error, exceptions.SandboxError)
    assert error.exec_result == ProcessResult("so far", "", -1, command=["prog"])


def test_details_reach_the_command_s_exception() -> None:
    raw = rpc_error("status", 14, details=(status(INFO, retry(2)),))
    error: Any = hooks().make_error(PROCESS, raw)
    assert (error.reason, error.retry_delay) == ("CWSANDBOX_X", timedelta(seconds=2))


@pytest.mark.parametrize(
    ("kind", "code", "is_open", "is_told"),
    [
        ("status", Code.CANCELLED, True, True),
        ("status", Code.NOT_FOUND, True, True),
        ("status", Code.CANCELLED, False, False),
        ("status", Code.UNAVAILABLE, True, False),
        ("closed", Code.CANCELLED, True, False),
    ],
)
def test_a_service_that_says_not_running_is_asked_by_the_next_command(
    kind: str, code: Code, is_open: bool, is_told: bool
) -> None:
    told: list[BaseException] = []
    sandbox = SimpleNamespace(is_open=is_open, fail=told.append)
    process: Any = SimpleNamespace(command=["prog"], _timeout=3.0, _sandbox=sandbox)
    error = hooks().make_error(process, rpc_error(kind, code))
    assert told == ([error] if is_told else [])


def test_write_errors() -> None:
    closed = hooks().make_write_error("closed", None)
    failed = hooks().make_write_error("failed", None)
    assert type(closed) is type(failed) is exceptions.SandboxExecutionError
    assert "stream is closed" in str(closed)
    assert "stream has failed" in str(failed)


def test_a_write_fails_of_what_the_command_failed_of() -> None:
    lost = raised_by_somebody(exceptions.SandboxUnavailableError("connection lost"))
    error = hooks().make_write_error("failed", lost)
    assert type(error) is exceptions.SandboxUnavailableError
    assert error is not lost
    assert (str(error), error.__cause__) == (str(lost), lost)
    ended = exceptions.SandboxExecutionError("ended without an exit status")
    assert "the command has ended" in str(hooks().make_write_error("failed", ended))


@pytest.mark.parametrize("code", [5, 7, 8, 9])
def test_a_file_error_says_what_is_wrong_with_the_file_and_nothing_else(code: int) -> None:
    info = ErrorInfo(reason="CWSANDBOX_FILE_IS_DIRECTORY", domain="cwsandbox.com")
    refused = RpcFailure(code, "SHOUTED", "/x: Is a directory", info)
    error = to_exception(refused, operation="Read file '/x'")
    assert str(error) == "Read file '/x' failed: /x: Is a directory"
    untrusted = RpcFailure(9, "SHOUTED", "/x: Is a directory", ErrorInfo(reason=info.reason))
    assert "SHOUTED" in str(to_exception(untrusted, operation="Read file '/x'"))
