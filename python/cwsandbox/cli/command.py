"""The command to run, for those that run one: the options about it, and running it."""

from __future__ import annotations

import os
from typing import Any

import click

from cwsandbox import Sandbox
from cwsandbox.cli import attached
from cwsandbox.cli.streamed import feed, pass_on
from cwsandbox.cli.values import SECONDS


def _absolute(_: click.Context, __: click.Parameter, path: str | None) -> str | None:
    if path is not None and not path.startswith("/"):
        raise click.BadParameter(f"{path!r} must be an absolute path.")
    return path


def _variables(
    _: click.Context, __: click.Parameter, given: tuple[str, ...]
) -> dict[str, str] | None:
    """NAME=VALUE, or NAME for the value that it has here."""
    found = {}
    for one in given:
        name, is_set, value = one.partition("=")
        if not name:
            raise click.BadParameter(f"{one!r} must be NAME=VALUE, or NAME.")
        if not is_set and name not in os.environ:
            raise click.BadParameter(f"{name!r} is not set here: give NAME=VALUE.")
        found[name] = value if is_set else os.environ[name]
    return found or None


cwd_option = click.option(
    "-w", "--cwd", metavar="PATH", callback=_absolute, help="Absolute directory to start in."
)
timeout_help = "Limit for the command, in seconds."
exec_timeout_option = click.option("-t", "--timeout", type=SECONDS, help=timeout_help)
run_timeout_option = click.option("--timeout", type=SECONDS, help=timeout_help)
interactive_option = click.option(
    "-i", "--interactive", is_flag=True, help="Pass stdin on to the command."
)
_tty_help = "Give the command a terminal. With -i it is the one that this program runs in."
# -t is the time limit of `exec`; see there.
exec_tty_option = click.option(
    "--tty", is_flag=True, help=f"{_tty_help} Also -t, unless a number follows."
)
run_tty_option = click.option("-t", "--tty", is_flag=True, help=_tty_help)
env_option = click.option(
    "-e",
    "--env",
    "variables",
    metavar="NAME[=VALUE]",
    multiple=True,
    callback=_variables,
    help="A variable for the command; with its value here if none is given. Repeatable.",
)


def require_terminal(*, tty: bool, interactive: bool) -> None:
    """Fail if the command is to have the terminal that this program runs in, and there is none."""
    if tty and interactive:
        attached.require_terminal("--tty with --interactive")


def run_in(
    sandbox: Sandbox, words: list[str], *, tty: bool, interactive: bool, **options: Any
) -> int:
    """Run the command, with what it reads and prints passed on; its exit code. ``options`` are those of ``exec()``."""
    if tty:
        return attached.run(sandbox.shell(words, **options), interactive)
    if interactive:
        options["stdin"] = True
    process = sandbox.exec(words, **options)
    if interactive and process.stdin is not None:
        feed(process.stdin)
    return pass_on(process)
