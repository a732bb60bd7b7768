"""A program in a Python of its own, against a peer of the test: it says where it is, and is sent signals there."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from conformance.grpc_peer import GrpcPeer
from isolated.runner import CHECKED

SECONDS = 30

PRELUDE = """
import signal, sys, time
# A test run in the background of a shell is started with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
import cwsandbox
from cwsandbox import Sandbox, Session

def say(*words):
    print(*words, flush=True)

def wait_for_a_signal(until=lambda: False):
    # Not pause(): one that came just before would be waited for without end.
    while not until():
        time.sleep(0.02)
"""


class Program:
    """Runs a script, which has ``say()`` and ``wait_for_a_signal()``; it is killed at the end, or when it hangs.

    A script that is sent a signal must not block without a time limit in the standard library: Python minds a signal
    that arrives just before such a call only when the call returns.
    """

    def __init__(self, peer: GrpcPeer, script: str, **env: str) -> None:
        # In a file, since functions are sent by their source.
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "program.py"
        path.write_text(PRELUDE + textwrap.dedent(script))
        self._process = subprocess.Popen(
            [sys.executable, *CHECKED, path],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env={**os.environ, "CWSANDBOX_BASE_URL": peer.base_url, **env},
        )
        self._watchdog = threading.Timer(SECONDS, self._kill)
        self._watchdog.start()

    def _kill(self) -> None:
        """Also its children, which have its pipes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        self._kill()
        self._process.communicate()
        self._folder.cleanup()

    def hears(self, line: str) -> None:
        """The next line that it says."""
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said == f"{line}\n", said or self._process.communicate()[1]

    def send(self, number: int = signal.SIGTERM) -> None:
        self._process.send_signal(number)

    def ends(self, code: int, *, says: str = "", complains: str = "") -> None:
        """It ends with this code; the rest of what it prints."""
        printed, complained = self._process.communicate()
        ended = (self._process.returncode, printed, complained)
        assert ended == (code, says, complains), ended

    def ends_saying(self, code: int) -> str:
        """It ends with this code, and complains of nothing; what else it says."""
        printed, complained = self._process.communicate()
        assert (self._process.returncode, complained) == (code, ""), complained
        return printed

    def ends_complaining(self, code: int) -> str:
        _, complained = self._process.communicate()
        assert self._process.returncode == code, complained
        return complained


class Held:
    """A method of the peer whose answers wait for ``release()``."""

    def __init__(self, peer: GrpcPeer, method: str, behaviour: Any) -> None:
        self._peer = peer
        self._arrived = peer.event()
        self._released = peer.event()

        async def held(request: Any, context: Any) -> Any:
            self._arrived.set()
            await self._released.wait()
            return await behaviour(request, context)

        peer.overrides[method] = held

    def wait(self) -> None:
        """Until a call of it has arrived."""
        self._peer.wait(self._arrived, SECONDS)

    def release(self) -> None:
        self._peer.set(self._released)
