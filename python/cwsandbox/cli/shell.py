"""``cwsandbox sh``."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import signal
import sys

import click

from cwsandbox import Sandbox
from cwsandbox.cli import attached
from cwsandbox.cli.failure import Failure
from cwsandbox.cli.signals import INTERRUPTED
from cwsandbox.cli.values import container_option, data_plane_mode_option, sandbox_argument

# The modules are part of the published face of this one.
__all__ = ["os", "platform", "shell", "shutil", "signal", "sys"]


def _validate_cmd(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """The text of a command, if it has words."""
    try:
        words = shlex.split(value or "")
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}.") from error
    if not words:
        raise click.BadParameter("must not be empty.")
    return value


@click.command("sh")
@sandbox_argument
@click.option(
    "--cmd",
    default="/bin/bash",
    show_default=True,
    callback=_validate_cmd,
    help="What to run, split into words as a shell does.",
)
@container_option
@data_plane_mode_option
def shell(sandbox_id: str, cmd: str, container: str | None, data_plane_mode: str) -> None:
    """Open a shell in an existing sandbox; exit with its code.

    Keys go to the shell as they are, Ctrl-C, too. `~.` at the beginning of a line leaves a session that hangs; `~?`
    tells more.
    """
    if platform.system() == "Windows":
        raise Failure("`cwsandbox sh` is not supported on Windows")
    attached.require_terminal("`cwsandbox sh`")
    try:
        sandbox = Sandbox.from_id(sandbox_id, data_plane_mode=data_plane_mode).result()
        size = shutil.get_terminal_size()
        session = sandbox.shell(
            shlex.split(cmd), width=size.columns, height=size.lines, container=container
        )
        code = attached.attach(session)
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise click.exceptions.Exit(code)
