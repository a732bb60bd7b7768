"""``cwsandbox daemon``."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import click
from click.shell_completion import CompletionItem

from cwsandbox._service import local


class _DaemonCommand(click.Command):
    """Completes the options of the program that it becomes."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if not incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        told = subprocess.run(
            [local.program(), "--help"], capture_output=True, text=True, check=False
        )
        options = sorted({*re.findall(r"(?<![\w-])--[a-z][a-z-]*", told.stdout)})
        return [CompletionItem(option) for option in options if option.startswith(incomplete)]


@click.command(
    "daemon",
    cls=_DaemonCommand,
    add_help_option=False,  # the daemon has its own
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run_daemon(arguments: tuple[str, ...]) -> None:
    """Run the service for this host in the foreground.

    The options are those of cwsandboxd.
    """
    program = local.program()
    signal.signal(
        signal.SIGPIPE, signal.SIG_DFL
    )  # Python ignores it, which the daemon would inherit
    os.execv(program, [program, *arguments])
