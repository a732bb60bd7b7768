"""What ``stream_logs`` is asked for, checked."""

from __future__ import annotations

from cwsandbox._types import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

_INT32_MAX = 2**31 - 1


def tail(tail_lines: int | None) -> int:
    """How many lines; 0: all."""
    if tail_lines is None:
        return 0
    lines = check.integer(tail_lines, "tail_lines")
    if not 0 <= lines <= _INT32_MAX:
        raise ValueError(
            f"tail_lines must be at least 0 and at most {_INT32_MAX}, got {check.shown(tail_lines)}"
        )
    return lines


def since(since_time: datetime | None) -> tuple[int, int] | None:
    """Seconds since 1970 in UTC, and nanoseconds."""
    if since_time is None:
        return None
    from datetime import UTC, datetime, timedelta

    if not isinstance(since_time, datetime):
        raise TypeError(f"since_time must be a datetime, got {check.shown(since_time)}")
    if since_time.utcoffset() is None:
        raise ValueError(
            f"since_time must be timezone-aware, got {check.shown(since_time)}: "
            "use datetime.now(timezone.utc) or .astimezone()"
        )
    microseconds = (since_time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    seconds, rest = divmod(microseconds, 1_000_000)
    return seconds, rest * 1000
