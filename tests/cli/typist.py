"""Somebody at a terminal: a program in a pty, typed into and looked at."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

SECONDS = 30.0


class Typist:
    """Runs a program with a terminal of its own, 80 x 24. A hang is a failure."""

    def __init__(self, words: Sequence[str | Path], **env: str) -> None:
        self._master, self.slave = pty.openpty()
        self.resize(80, 24)
        self.before = self.settings()
        self.seen = b""
        self._read = 0
        self._process = self._start(words, env)

    def _start(self, words: Sequence[str | Path], env: dict[str, str]) -> subprocess.Popen[bytes]:
        wanted = {
            name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")
        }
        # Not by preexec_fn: a fork of this process, with its threads, would run Python code.
        return subprocess.Popen(
            ["setsid", "--ctty", "env", "--default-signal=INT,QUIT", *words],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env={**wanted, **env},
        )

    def settings(self) -> list[Any]:
        return termios.tcgetattr(self._master)

    @property
    def is_raw(self) -> bool:
        return not self.settings()[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    @property
    def is_stopped(self) -> bool:
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def resize(self, width: int, height: int) -> None:
        size = struct.pack("HHHH", height, width, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def see(self, text: bytes) -> bytes:
        """Wait until this is shown behind what was seen before; all that is shown up to it."""
        self.until(lambda: text in self.seen[self._read :], f"{text!r} is shown")
        end = self.seen.index(text, self._read) + len(text)
        shown, self._read = self.seen[self._read : end], end
        return shown

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition, looking at the terminal meanwhile."""
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end, f"not so in {SECONDS} s: {what}; seen: {self.seen!r}"
            assert self._look(0.02) or self._process.poll() is None or condition(), (
                f"it has ended before {what}; seen: {self.seen!r}"
            )

    def _look(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        self.seen += os.read(self._master, 65536)
        return True

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def hang_up(self) -> None:
        """The terminal's window is closed."""
        os.close(self.slave)
        os.close(self._master)
        self.slave = self._master = -1

    def wait(self) -> int:
        """Its exit code, or the negated number of the signal that ended it; all it has shown is seen then."""
        if self._master < 0:
            return self._process.wait(SECONDS)
        self.until(lambda: self._process.poll() is not None, "it ends")
        while self._look(0):
            pass
        return self._process.wait()

    def turn_away(self) -> None:
        """Look no more. Returns when the terminal takes no more output, as far as one can tell."""
        waits, before = 0, -1
        while waits < 10:
            now = struct.unpack("i", fcntl.ioctl(self._master, termios.FIONREAD, bytes(4)))[0]
            waits, before = (waits + 1 if now == before else 0), now
            time.sleep(0.02)

    def wait_turned_away(self) -> int:
        """As ``wait()``, but nothing more is seen."""
        return self._process.wait(SECONDS)

    def __enter__(self) -> Typist:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        if self._master >= 0:
            self.hang_up()
