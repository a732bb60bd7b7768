"""Native operations that have ended, brought to their spans.

The I/O thread runs no Python. It puts what has ended into a queue, and whoever comes first empties that: who asks for
an outcome, before getting it; the policy loop, for what nobody asks for; the end of the process.
"""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cwsandbox import _cwsandbox
from cwsandbox._runtime import life, loop

if TYPE_CHECKING:
    import asyncio
    from typing import Any


class End(NamedTuple):
    """How an operation has ended, as ``Ended.take()`` says it."""

    how: str
    exit_code: int
    code: int
    """The gRPC status."""
    text: str | None
    """What that says."""
    reason: str | None
    """The code of an error that came in its stream."""
    sent_ns: int
    """In ns of the time of day; 0: it was never sent."""
    ended_ns: int


class Traced(Protocol):
    """The owner of a traced operation."""

    def end(self, end: End) -> None: ...


_ended: _cwsandbox.Ended | None = None
_task: asyncio.Task[Any] | None = None
# Whoever has asked for an outcome finds its span ended, also if another thread is about to end it.
_lock = threading.RLock()
_has_hooks = False


def log_failure() -> None:
    """What the program's span processors and exporters raise fails no operation."""
    from logging import getLogger

    getLogger("cwsandbox").exception("OpenTelemetry failed at a span")


def empty() -> None:
    """End the spans of all operations that have ended."""
    ended = _ended
    if ended is None:
        return
    with _lock:
        while (taken := ended.take()) is not None:
            owner = taken[0]
            try:
                owner.end(End(*taken[1:]))
            except Exception:
                log_failure()
            finally:
                ended.done()


def serve() -> None:
    """From now on, have the policy loop empty the queue, too. Cheap where it does already."""
    global _ended, _has_hooks
    if _ended is not None:
        return
    with life.lock():
        if _ended is not None:
            return
        if not _has_hooks:
            life.when_forked(_forget)
            life.when_exiting(empty)
            _has_hooks = True
        ended = _cwsandbox.Ended()
        # In a context of its own: what it ends belongs to others.
        policy = loop.policy()
        contextvars.Context().run(policy.call, lambda: _begin(ended))
        _ended = ended


def _begin(ended: _cwsandbox.Ended) -> None:
    global _task
    import asyncio

    _task = asyncio.get_running_loop().create_task(_watch(ended))


async def _watch(ended: _cwsandbox.Ended) -> None:
    async for _ in ended:
        empty()


def _forget() -> None:
    # The parent's operations do not end here.
    global _ended, _lock
    _ended = None
    _lock = threading.RLock()
