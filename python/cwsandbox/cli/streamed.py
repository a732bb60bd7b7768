"""Commands whose output goes on to this program's own as it comes, byte by byte."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import click

from cwsandbox import CWSandboxError, Process, StreamReader, StreamWriter
from cwsandbox import Sandbox as KeepingSandbox
from cwsandbox.cli.values import exit_code

_INPUT_BYTES = 64 * 1024


class Sandbox(KeepingSandbox):
    """A sandbox whose commands keep only the output that was not read yet, since all of it is passed on."""

    # What kept it from being stopped when its block was left by an exception: for whoever tells of that.
    failure_to_stop: Exception | None = None

    def _log_failed_stop(self, error: Exception) -> None:
        self.failure_to_stop = error

    def exec(self, command: Sequence[str], **options: Any) -> Process:
        return super().exec(command, **{"capture_output": False, **options})


def pass_on(process: Process) -> int:
    """Copy a command's output to stdout and stderr until it has ended; its exit code.

    Raises what the command fails with. If this thread is interrupted, or nobody reads stdout or stderr any more, the
    command is cancelled.
    """
    # Held from here on: what comes for a stream without a reader is dropped while the other one is waited for.
    out, err = process.stdout, process.stderr
    failures: list[Exception] = []

    def copy_errors() -> None:
        try:
            _copy(err, is_stderr=True)
        except Exception as failure:  # told by the thread that waits for this one
            failures.append(failure)
            process.cancel()  # which ends the other stream, too

    errors = threading.Thread(target=copy_errors, daemon=True)
    errors.start()
    with _cancelled_if_left(process):
        try:
            _copy(out, is_stderr=False)
        except CWSandboxError as failure:
            failures.append(failure)
            out.close()  # so that the other one need not wait for it
        errors.join()
        if failures:
            raise failures[0]
        return exit_code(process.result().returncode)


def feed(writer: StreamWriter) -> None:
    """Copy stdin to a command until one of the two ends. Does not block."""
    threading.Thread(target=_copy_input, args=(writer,), daemon=True).start()


@contextmanager
def _cancelled_if_left(process: Process) -> Iterator[None]:
    try:
        yield
    except BaseException:
        process.stdout.close()
        process.stderr.close()
        process.cancel()
        raise


def _copy(stream: StreamReader[str], *, is_stderr: bool) -> None:
    for piece in _pieces(stream):
        click.echo(piece, nl=False, err=is_stderr)


def _pieces(stream: StreamReader[str]) -> Iterable[bytes | str]:
    # A stand-in of a test gives what it likes.
    return stream._bytes() if isinstance(stream, StreamReader) else stream


def _copy_input(writer: StreamWriter) -> None:
    # Whatever ends it (the command does not read any more, has ended, was cancelled): its result says how it went.
    with suppress(Exception):
        while data := _read_input():
            writer.write(data).result()
        writer.close().result()


def _read_input() -> bytes:
    try:
        return os.read(0, _INPUT_BYTES)
    except OSError:
        return b""  # there is no stdin
