"""Shows a terminal session in the terminal that this program runs in."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from cwsandbox import CWSandboxError, OperationRef, TerminalSession
from cwsandbox.cli import terminal
from cwsandbox.cli.escapes import HELP, Escapes, Wish
from cwsandbox.cli.failure import Failure
from cwsandbox.cli.screen import Screen
from cwsandbox.cli.values import NO_CODE, exit_code

_KEYS = 1024
# This many bytes may wait for a session that reads nothing. With more, typing stops, and so does leaving.
_WAITING_MAX = 1024 * 1024
_END_SECONDS = 5.0


def require_terminal(what: str) -> None:
    """Fail unless stdin and stdout are a terminal, where somebody can type and read."""
    if not terminal.is_terminal():
        raise Failure(f"{what} requires a TTY: stdin and stdout must be a terminal")


def run(session: TerminalSession, interactive: bool) -> int:
    """Show a session until it ends, and type into it if ``interactive``; returns its exit code."""
    return attach(session) if interactive else show(session)


def attach(session: TerminalSession) -> int:
    """Show a session and type into it until it ends or the user leaves it; returns its exit code.

    Raises the session's failure. In every case the terminal is restored.
    """
    shown = _Shown()
    keyboard = _Keyboard(session)

    def resize() -> None:
        window = terminal.new_size()
        with suppress(CWSandboxError):  # the session may have ended
            session.resize(window.columns, window.lines)

    with terminal.raw_keys(shown.undo, resize), keyboard.reading():
        shown.all_of(session)
    if keyboard.has_left:
        click.echo("Left the session.", err=True)
        return NO_CODE
    return _exit_code(session)


def show(session: TerminalSession) -> int:
    """Show a session until it ends, without input; returns its exit code. Raises the session's failure."""
    shown = _Shown()
    session.stdin.close()
    try:
        shown.all_of(session)
    finally:
        shown.undo()
    return _exit_code(session)


def _exit_code(session: TerminalSession) -> int:
    return exit_code(session.wait(timeout=_END_SECONDS))


class _Shown:
    """Shows output, and can undo what the output has done to the terminal."""

    def __init__(self) -> None:
        self._screen = Screen()
        self._is_at_line_start = True

    def all_of(self, session: TerminalSession) -> None:
        try:
            for data in session.output:
                self._screen.show(data)
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
                self._is_at_line_start = data.endswith(b"\n")
        except CWSandboxError:
            if not self._is_at_line_start:  # the error message starts on a new line
                sys.stdout.buffer.write(b"\r\n")
                sys.stdout.buffer.flush()
            raise

    def undo(self) -> None:
        # Without the buffer: this may run in a signal handler, in the middle of a write. A terminal that takes no
        # output is not waited for.
        if (undoing := self._screen.undo()) and select.select([], [sys.stdout], [], 0)[1]:
            os.write(sys.stdout.fileno(), undoing)


class _Keyboard:
    """Passes what is typed here on to a session, in a thread of its own."""

    def __init__(self, session: TerminalSession) -> None:
        self.has_left = False
        self._session = session
        self._escapes = Escapes()
        self._waiting: deque[tuple[OperationRef[None], int]] = deque()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Pass on what is typed until the end of the block, and read nothing after that."""
        ended, end = os.pipe()
        thread = threading.Thread(target=self._type, args=(sys.stdin.fileno(), ended), daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            self._session.output.close()  # ends what the thread may be waiting for
            raise
        finally:
            os.close(end)
            thread.join(_END_SECONDS)
            os.close(ended)

    def _type(self, keys: int, ended: int) -> None:
        with suppress(CWSandboxError):  # the session has ended, and its result says how
            while typed := _next_keys(keys, ended):
                passed, wishes = self._escapes.take(typed)
                self._write(passed)
                if not self._grant(wishes):
                    return
            if typed is not None:
                self._write(self._escapes.end())
                self._session.stdin.close()

    def _grant(self, wishes: list[Wish]) -> bool:
        """Do what was asked for. False: the user leaves."""
        for wish in wishes:
            if wish is Wish.LEAVE:
                self.has_left = True
                self._session.output.close()
                return False
            click.echo("\r\n" + HELP.replace("\n", "\r\n"), err=True, nl=False)
        return True

    def _write(self, data: bytes) -> None:
        """Queue the data. Blocks only while more than ``_WAITING_MAX`` bytes wait for the session."""
        if not data:
            return
        self._waiting.append((self._session.stdin.write(data), len(data)))
        while self._waiting and self._waiting[0][0]._done():
            self._waiting.popleft()
        while sum(size for _, size in self._waiting) > _WAITING_MAX:
            self._waiting.popleft()[0].result()


def _next_keys(keys: int, ended: int) -> bytes | None:
    """What is typed next; b"" at the end of the input, None once the other end of ``ended`` is closed."""
    ready: list[Any] = select.select([keys, ended], [], [])[0]
    if ended in ready:
        return None
    try:
        return os.read(keys, _KEYS)
    except OSError:
        return b""  # the terminal is gone
