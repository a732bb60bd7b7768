"""Failures in one line: what went wrong, and what to do about it."""

from __future__ import annotations

import difflib
import os
import sys
from typing import IO, Any

import click

from cwsandbox import Sandbox
from cwsandbox._service import endpoint
from cwsandbox.cli.style import styled
from cwsandbox.exceptions import (
    CWSandboxAuthenticationError,
    CWSandboxError,
    SandboxNotFoundError,
    SandboxUnavailableError,
)

# A hint must not keep anyone waiting.
_LOOK_UP_SECONDS = 2.0
# The error is of the same class as for a sandbox.
_NO_TEMPLATE = "CWSANDBOX_TEMPLATE_NOT_FOUND"


class Failure(click.ClickException):
    """Ends the program with exit code 1 and ``Error: …``, on one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))

    def show(self, file: IO[Any] | None = None) -> None:
        stream = sys.stderr if file is None else file
        click.echo(f"{styled('Error:', 'red', stream)} {self.format_message()}", file=stream)


def failure_of(error: Exception) -> Failure:
    """What a command says of an exception that ended it."""
    if isinstance(error, (CWSandboxError, ValueError)):
        text = str(error)
    elif isinstance(error, OSError):
        text = error.strerror or str(error)
        if error.filename is not None:
            text = f"{text}: {os.fsdecode(error.filename)}"
    else:
        text = f"{type(error).__name__}: {error}"
    line = " ".join(text.split())
    hint = _hint(error, line)
    return Failure(f"{line}. {hint}" if hint else line)


def _hint(error: Exception, said: str) -> str:
    if isinstance(error, SandboxNotFoundError):
        if endpoint.base_url(None) == endpoint.LOCAL:
            why = "CWSANDBOX_BASE_URL is 'local': this command had a daemon of its own"
            return f"{why}; `cwsandbox local -- COMMAND` has one for several"
        if error.reason == _NO_TEMPLATE:
            return "`cwsandbox templates list` shows those there are"
        return _nearest(error.sandbox_id)
    if isinstance(error, CWSandboxAuthenticationError):
        if "CWSANDBOX_API_KEY" in said or "WANDB" in said:
            return ""
        is_set = bool(os.environ.get("CWSANDBOX_API_KEY"))
        return f"{'Check' if is_set else 'Set'} CWSANDBOX_API_KEY"
    # A service that answers gives its reason.
    if isinstance(error, SandboxUnavailableError) and error.reason is None:
        return _where_to_look(endpoint.base_url(None))
    return ""


def _where_to_look(url: str) -> str:
    if url == endpoint.LOCAL:
        return "`cwsandbox daemon` shows what the daemon says"
    what = f"Is {url} the right address? CWSANDBOX_BASE_URL says where the service is"
    return f"{what}; `cwsandbox daemon` runs one here"


def _nearest(sandbox_id: str | None) -> str:
    """The id that is most like an unknown one."""
    there: list[str] = []
    if sandbox_id:
        try:
            found = Sandbox.list(show_terminated=True, timeout_seconds=_LOOK_UP_SECONDS).result()
            there = [sandbox.sandbox_id for sandbox in found if sandbox.sandbox_id]
        except Exception:
            return ""  # the first error is the one that counts
        if sandbox_id in there:
            return ""  # it has ended, as the error says
        begin = [known for known in there if known.startswith(sandbox_id)]
        if near := begin or difflib.get_close_matches(sandbox_id, there, 1):
            return f"Did you mean {near[0]}?"
    return "`cwsandbox ls` shows those that run"
