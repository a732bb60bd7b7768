"""What holds for every command: how failures end it, and whose credentials are used."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from cwsandbox import set_auth_mode
from cwsandbox.cli.failure import Failure, failure_of


class Program(click.Group):
    """A group in which no exception of a command becomes a traceback."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _failures_told():  # --help and --version print here
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _failures_told():
            if isinstance(sys.stdout, TextIOWrapper):
                # What the terminal's encoding does not have is no reason to say nothing.
                sys.stdout.reconfigure(errors="backslashreplace")
            value = super().invoke(ctx)
            sys.stdout.flush()
            return value


@contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except (click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except BrokenPipeError:
        leave_quietly()
    except Exception as error:
        raise failure_of(error) from error


def leave_quietly() -> NoReturn:
    """Exit with 0: whoever read the output has seen enough of it."""
    # What is still buffered would be flushed at the end of the process, and fail again.
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    raise click.exceptions.Exit(0)


def use_auth(strategy: str | None) -> None:
    """Take credentials from where ``--auth`` says."""
    if strategy is None:
        return
    from cwsandbox import AuthStrategy
    from cwsandbox._service.auth import headers_of
    from cwsandbox.exceptions import CWSandboxAuthenticationError

    chosen = AuthStrategy(strategy)
    try:
        headers_of(chosen)  # before anything is sent
    except CWSandboxAuthenticationError as error:
        raise Failure(str(error)) from error
    set_auth_mode(strategy, lambda: headers_of(chosen))
