"""``cwsandbox daemon``."""

from __future__ import annotations

import os
import signal

import click

from cwsandbox._service import local


@click.command(
    "daemon",
    add_help_option=False,  # the daemon has its own
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run_daemon(arguments: tuple[str, ...]) -> None:
    """Run cwsandboxd, the sandbox service for this host, in the foreground, with its options."""
    program = local.program()
    signal.signal(
        signal.SIGPIPE, signal.SIG_DFL
    )  # Python ignores it, which the daemon would inherit
    os.execv(program, [program, *arguments])
