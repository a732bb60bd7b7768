"""A failed call as the policy code sees it: its status, and the structured details the server sent with it."""

from __future__ import annotations

from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from cwsandbox._types.error import FieldViolation
from cwsandbox._types.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Unpack = Callable[[str, bytes], dict[str, Any]]

TRUSTED_DOMAIN = "cwsandbox.com"
_NO_METADATA: Mapping[str, str] = {}


class Code(IntEnum):
    """The gRPC status codes other than OK."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ErrorInfo(Record):
    """What the details of a status say. ``retry_delay`` may be zero, which is not the same as absent."""

    reason: str | None = None
    domain: str = ""
    metadata: Mapping[str, str] = _NO_METADATA
    retry_delay: timedelta | None = None
    field_violations: tuple[FieldViolation, ...] = ()


NO_INFO = ErrorInfo()


class RpcFailure(Exception):
    """A call that ended with a status other than OK, received or made locally.

    ``is_unanswered``: the service may have done what was asked for, and nobody has said whether it did.
    """

    def __init__(
        self,
        code: int,
        code_name: str,
        message: str,
        info: ErrorInfo = NO_INFO,
        *,
        is_unanswered: bool = False,
    ) -> None:
        super().__init__(f"{code_name}: {message}" if message else code_name)
        self.is_unanswered = is_unanswered
        self.code = code
        self.code_name = code_name
        self.message = message
        self.info = info

    @property
    def trusted_reason(self) -> str | None:
        """The reason code, if the service itself gave it."""
        return self.info.reason if self.info.domain == TRUSTED_DOMAIN else None

    def is_not_found(self, reason: str) -> bool:
        """Whether the thing is not there: the status says so, or the service by ``reason``."""
        return self.code == Code.NOT_FOUND or self.trusted_reason == reason


def error_info(details: Iterable[bytes], unpack: Unpack) -> ErrorInfo:
    """The first of several ``google.rpc.Status`` that says anything. Broken ones are skipped, never raised."""
    for data in details:
        try:
            info = _from_status(unpack("google.rpc.Status", data), unpack)
        except (ValueError, TypeError):
            continue
        if info != NO_INFO:
            return info
    return NO_INFO


def _from_status(status: Mapping[str, Any], unpack: Unpack) -> ErrorInfo:
    reason: str | None = None
    domain = ""
    metadata = _NO_METADATA
    delay: timedelta | None = None
    violations: list[FieldViolation] = []
    for name, detail in _details(status, unpack):
        if name == "google.rpc.ErrorInfo" and reason is None and detail["reason"]:
            reason, domain, metadata = detail["reason"], detail["domain"], detail["metadata"]
        elif name == "google.rpc.RetryInfo" and delay is None:
            delay = _delay(detail.get("retry_delay"))
        elif name == "google.rpc.BadRequest":
            violations.extend(_violations(detail))
    return ErrorInfo(reason, domain, metadata, delay, tuple(violations))


_READ = frozenset({"google.rpc.ErrorInfo", "google.rpc.RetryInfo", "google.rpc.BadRequest"})


def _details(status: Mapping[str, Any], unpack: Unpack) -> Iterable[tuple[str, dict[str, Any]]]:
    for detail in status["details"]:
        name = detail["type_url"].rpartition("/")[2]
        if name not in _READ:
            continue
        try:
            yield name, unpack(name, detail["value"])
        except ValueError:
            continue


def _delay(duration: Mapping[str, int] | None) -> timedelta | None:
    if duration is None:
        return None
    try:
        return timedelta(seconds=duration["seconds"], microseconds=duration["nanos"] / 1000)
    except OverflowError:
        return None


def _violations(detail: Mapping[str, Any]) -> Iterable[FieldViolation]:
    for violation in detail["field_violations"]:
        localized = violation.get("localized_message") or {}
        text = violation["description"] or localized.get("message") or violation["reason"]
        if violation["field"] or text:
            yield FieldViolation(violation["field"], text)
