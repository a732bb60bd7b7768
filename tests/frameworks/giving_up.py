"""A command of a framework whose caller gives up on it, and whether it is gone from the sandbox then."""

from __future__ import annotations

import asyncio
import linecache
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cwsandbox import Sandbox

# Does not end by itself.
COMMAND = "touch /tmp/begun; exec sleep 1000"
_BEGUN = "until [ -e /tmp/begun ]; do sleep 0.05; done"
# The brackets keep the pattern from finding itself.
_GONE = "while grep -aqs 'slee[p].1000' /proc/[0-9]*/cmdline; do sleep 0.05; done"
_SECONDS = 40


def assert_gone(sandbox: Sandbox) -> None:
    """Nothing of the command is in the sandbox, or it is about to end."""
    _look(sandbox, _GONE).result()


def interrupt(sandbox: Sandbox, call: Callable[[], object]) -> None:
    """Ctrl-C in a call that waits for ``COMMAND``. With another signal: SIGINT would stop the sandbox, too."""
    caller = threading.get_ident()

    def send() -> None:
        _look(sandbox, _BEGUN).result()
        while not _waits(caller):
            time.sleep(0.01)
        signal.pthread_kill(caller, signal.SIGUSR1)

    sender = threading.Thread(target=send)
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    try:
        sender.start()
        with pytest.raises(KeyboardInterrupt):
            call()
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


async def cancel(sandbox: Sandbox, call: Coroutine[Any, Any, object]) -> None:
    """The cancellation of a task that waits for ``COMMAND``."""
    waiting = asyncio.create_task(call)
    await _look(sandbox, _BEGUN)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def _look(sandbox: Sandbox, script: str):
    return sandbox.exec(["/bin/sh", "-c", script], check=True, timeout_seconds=_SECONDS)


def _waits(thread: int) -> bool:
    frame = sys._current_frames()[thread]
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return "/integrations/" in frame.f_code.co_filename and ".result()" in line
