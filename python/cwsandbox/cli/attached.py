"""A terminal session, shown in the terminal that this program runs in."""

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
# So much may wait for a session that takes nothing. Until then it can be left.
_WAITING_MAX = 1024 * 1024
_END_SECONDS = 5.0


def require_terminal(what: str) -> None:
    """Fail if nobody can type here, or see what is shown."""
    if not terminal.is_terminal():
        raise Failure(f"{what} requires a TTY: stdin and stdout must be a terminal")


def run(session: TerminalSession, interactive: bool) -> int:
    """Show a session until it ends; its exit code. If ``interactive``, what is typed here is typed into it."""
    return attach(session) if interactive else show(session)


def attach(session: TerminalSession) -> int:
    """Show a session and type into it until it ends or is left; its exit code.

    Raises what the session fails with. The terminal is then as it was before.
    """
    shown = _Shown()
    keyboard = _Keyboard(session)

    def resize() -> None:
        window = terminal.new_size()
        with suppress(CWSandboxError):  # it has ended meanwhile
            session.resize(window.columns, window.lines)

    with terminal.raw_keys(shown.undo, resize), keyboard.reading():
        shown.all_of(session)
    if keyboard.has_left:
        click.echo("Left the session.", err=True)
        return NO_CODE
    return _exit_code(session)


def show(session: TerminalSession) -> int:
    """Show a session that nobody types into until it ends; its exit code. Raises what it fails with."""
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
    """Shows output, and can undo what that has done to the terminal."""

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
            if not self._is_at_line_start:  # so that the message has a line of its own
                sys.stdout.buffer.write(b"\r\n")
                sys.stdout.buffer.flush()
            raise

    def undo(self) -> None:
        # Not by the buffer: this may be a signal's handler, in the middle of a write. Nor does that wait for a terminal
        # that takes no more output.
        if (undoing := self._screen.undo()) and select.select([], [sys.stdout], [], 0)[1]:
            os.write(sys.stdout.fileno(), undoing)


class _Keyboard:
    """Types into a session what is typed here, in a thread of its own."""

    def __init__(self, session: TerminalSession) -> None:
        self.has_left = False
        self._session = session
        self._escapes = Escapes()
        self._waiting: deque[tuple[OperationRef[None], int]] = deque()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Until the end of the block. What is typed later is left for whoever reads then."""
        ended, end = os.pipe()
        thread = threading.Thread(target=self._type, args=(sys.stdin.fileno(), ended), daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            self._session.output.close()  # whatever the thread waits for ends, too
            raise
        finally:
            os.close(end)
            thread.join(_END_SECONDS)
            os.close(ended)

    def _type(self, keys: int, ended: int) -> None:
        with suppress(CWSandboxError):  # it has ended: its result says how
            while typed := _next_keys(keys, ended):
                passed, wishes = self._escapes.take(typed)
                self._write(passed)
                if not self._grant(wishes):
                    return
            if typed is not None:
                self._write(self._escapes.end())
                self._session.stdin.close()

    def _grant(self, wishes: list[Wish]) -> bool:
        """Do what was asked for. False: that was to leave."""
        for wish in wishes:
            if wish is Wish.LEAVE:
                self.has_left = True
                self._session.output.close()
                return False
            click.echo("\r\n" + HELP.replace("\n", "\r\n"), err=True, nl=False)
        return True

    def _write(self, data: bytes) -> None:
        """Queue it. Only a session that takes nothing for long is waited for."""
        if not data:
            return
        self._waiting.append((self._session.stdin.write(data), len(data)))
        while self._waiting and self._waiting[0][0]._done():
            self._waiting.popleft()
        while sum(size for _, size in self._waiting) > _WAITING_MAX:
            self._waiting.popleft()[0].result()


def _next_keys(keys: int, ended: int) -> bytes | None:
    """What is typed next: nothing at the end of the input, None when ``ended`` is closed at its other end."""
    ready: list[Any] = select.select([keys, ended], [], [])[0]
    if ended in ready:
        return None
    try:
        return os.read(keys, _KEYS)
    except OSError:
        return b""  # the terminal is gone
