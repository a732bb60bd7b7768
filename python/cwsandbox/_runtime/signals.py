"""SIGINT and SIGTERM: what ends with the program is stopped, and then happens what would have happened without us."""

from __future__ import annotations

import signal
import threading

from cwsandbox._runtime import cleanup, life

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

DISABLING = "CWSANDBOX_DISABLE_SIGNAL_HANDLERS"
_TRUE = ("1", "true", "yes", "on")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_is_installed = False
_is_disabled = False
_is_cleaning = False
_was_told = False
# The handlers that ours took the place of.
_before: dict[int, Any] = {}


def disable_signal_handlers() -> None:
    """Leave SIGINT and SIGTERM of this process to the program, for good.

    Otherwise the first ``Sandbox(...)``, ``Sandbox.run()``, ``SandboxPool(...)``, ``batch()`` or sandbox of a
    ``Session`` takes them over: the sandboxes of sessions, pools and batches are stopped before the program's own
    handler runs, or before the program ends. Call this before that; later it is a ``RuntimeError``. Calling it again
    changes nothing. ``CWSANDBOX_DISABLE_SIGNAL_HANDLERS=1`` in the environment does the same. At the end of the
    interpreter the sandboxes of sessions are stopped in any case.

    ::

        cwsandbox.disable_signal_handlers()
        signal.signal(signal.SIGTERM, stop_the_server)
    """
    global _is_disabled
    if _is_installed:
        raise RuntimeError(
            "disable_signal_handlers() must be called before the first sandbox is made: "
            "the handlers of SIGINT and SIGTERM are installed already"
        )
    _is_disabled = True


def install() -> None:
    """Take the signals over, if that has not happened. Off the main thread it is left to a later call on it."""
    global _is_installed, _is_disabled
    if _is_installed or _is_disabled or threading.current_thread() is not threading.main_thread():
        return
    from os import environ

    if environ.get(DISABLING, "").strip().lower() in _TRUE:
        _is_disabled = True
        return
    for number in _SIGNALS:
        before = signal.getsignal(number)
        # What is ignored, as by nohup, stays so; one that Python has not set could not be called.
        if before is signal.SIG_IGN or before is None:
            continue
        _before[number] = before
        try:
            signal.signal(number, _handle)
        except ValueError:
            # A subinterpreter has no signals.
            del _before[number]
            return
    _is_installed = True


def _handle(number: int, frame: FrameType | None) -> None:
    global _is_cleaning, _was_told
    if cleanup.is_exiting():
        if life.is_worker() and not _was_told:
            # A pool that is terminated tells its workers to end, and sends them this, too.
            _was_told = True
            return
        _die(number)
    if _is_cleaning or life.is_hurried():
        life.hurry()
        raise SystemExit(128 + number)
    _is_cleaning = True
    try:
        cleanup.stop_all()
    finally:
        _is_cleaning = False
    before = _before[number]
    if before is signal.SIG_DFL:
        raise SystemExit(128 + number)
    before(number, frame)


def _die(number: int) -> None:
    """The interpreter is ending already. An exception would only be printed."""
    import os
    import sys

    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            continue
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _forget() -> None:
    """In a child nothing is there to be stopped: it dies of a signal as it would have without us."""
    global _is_installed, _is_cleaning, _was_told
    for number, before in _before.items():
        if signal.getsignal(number) is _handle:
            signal.signal(number, before)
    _before.clear()
    _is_installed = _is_cleaning = _was_told = False


life.when_forked(_forget)
