"""``cwsandbox exec``."""

from __future__ import annotations

from typing import Any

import click

from cwsandbox.cli import command as _command
from cwsandbox.cli.streamed import Sandbox, feed, pass_on

INTERRUPTED = 130

# The published program takes its options wherever they stand, also behind the command's name. Those that it does not
# have are taken only in front of SANDBOX_ID: behind it they belong to the command, as in `exec ID sed -i …`.
_OURS_IN_FRONT = ("--interactive", "--env")
_LETTERS_IN_FRONT = frozenset("ie")
_WITH_VALUE = ("--cwd", "--timeout", "--env", "--container", "--data-plane-mode")
_LETTERS_WITH_VALUE = frozenset("wte")


class ExecCommand(click.Command):
    """Leaves the command the options that are only its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _guarded(args))


def _guarded(args: list[str]) -> list[str]:
    """The arguments with ``--`` in front of what would wrongly be taken from the command."""
    at = _id_at(args)
    for n in range(at, len(args)):
        if args[n] == "--":
            break
        if _is_in_front_only(args[n]):
            rest = args[n:]
            if "--" in rest:  # the one that would have done it
                rest.remove("--")
            return [*args[:n], "--", *rest]
    return args


def _id_at(args: list[str]) -> int:
    """Where SANDBOX_ID stands; behind the last one if there is none."""
    n = 0
    while n < len(args) and args[n] != "--" and args[n].startswith("-"):
        n += 2 if _takes_next(args[n]) else 1
    return n


def _takes_next(word: str) -> bool:
    if word.startswith("--"):
        return word in _WITH_VALUE
    letters = word[1:]
    return (
        bool(letters)
        and not _LETTERS_WITH_VALUE & {*letters[:-1]}
        and (letters[-1] in _LETTERS_WITH_VALUE)
    )


def _is_in_front_only(word: str) -> bool:
    if word.startswith("--"):
        return word.partition("=")[0] in _OURS_IN_FRONT
    if not word.startswith("-"):
        return False
    for letter in word[1:]:
        if letter in "wt":  # what follows is the value
            return False
        if letter in _LETTERS_IN_FRONT:
            return True
    return False


@click.command(
    "exec",
    cls=ExecCommand,
    context_settings={"ignore_unknown_options": True},
)
@_command.interactive_option
@_command.env_option
@_command.cwd_option
@_command.exec_timeout_option
@_command.container_option
@_command.data_plane_mode_option
@click.argument("sandbox_id")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_command(
    sandbox_id: str,
    command: tuple[str, ...],
    interactive: bool,
    variables: dict[str, str] | None,
    cwd: str | None,
    timeout: float | None,
    container: str | None,
    data_plane_mode: str,
) -> None:
    """Run a command in a sandbox that is there; exit with its code.

    Its output goes to stdout and stderr unchanged, as it comes. Options of the command itself are safe behind `--`:
    `cwsandbox exec ID -- ls -t`. --interactive and --env are recognized in front of SANDBOX_ID only.
    """
    more: dict[str, Any] = {}
    if interactive:
        more["stdin"] = True
    if variables is not None:
        more["env"] = variables
    try:
        sandbox = Sandbox.from_id(sandbox_id, data_plane_mode=data_plane_mode).result()
        process = sandbox.exec(
            [*command], cwd=cwd, timeout_seconds=timeout, container=container, **more
        )
        if interactive and process.stdin is not None:
            feed(process.stdin)
        code = pass_on(process)
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise click.exceptions.Exit(code)
