"""``cwsandbox exec``."""

from __future__ import annotations

from typing import Any

import click

from cwsandbox.cli import command as _command
from cwsandbox.cli.signals import INTERRUPTED
from cwsandbox.cli.streamed import Sandbox
from cwsandbox.cli.values import container_option, data_plane_mode_option, sandbox_argument

# The published program takes its options wherever they stand, also behind the command's name. Those that it does not
# have are taken only in front of SANDBOX_ID: behind it they belong to the command, as in `exec ID sed -i …`.
_OURS_IN_FRONT = ("--interactive", "--env", "--tty")
_LETTERS_IN_FRONT = frozenset("ie")
_WITH_VALUE = ("--cwd", "--timeout", "--env", "--container", "--data-plane-mode")
_LETTERS_WITH_VALUE = frozenset("wte")


class ExecCommand(click.Command):
    """Leaves the command the options that are only its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _guarded(_with_tty(args)))


def _with_tty(args: list[str]) -> list[str]:
    """The arguments with ``--tty`` for each ``-t`` in front of SANDBOX_ID that is not the time limit.

    The published program's ``-t`` is: a number follows it. ``exec -it ID sh`` is what people know from elsewhere.
    """
    told: list[str] = []
    n = 0
    while n < len(args) and args[n] != "--" and args[n].startswith("-"):
        follows = args[n + 1 : n + 2]
        words = _split_tty(args[n], *follows)
        told += words
        n += 1
        if words and _takes_next(words[-1]):
            told += follows
            n += 1
    return told + args[n:]


def _split_tty(word: str, follows: str = "") -> list[str]:
    if word.startswith("--"):
        return [word]
    letters, at = word[1:], 0
    while at < len(letters) and letters[at] not in "we":  # what follows these is their value
        if letters[at] == "t":
            if _is_number(letters[at + 1 :] or follows):
                break
            letters = letters[:at] + letters[at + 1 :]
            return ["--tty", *(_split_tty(f"-{letters}", follows) if letters else ())]
        at += 1
    return [word]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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
@_command.exec_tty_option
@_command.env_option
@_command.cwd_option
@_command.exec_timeout_option
@container_option
@data_plane_mode_option
@sandbox_argument
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_command(
    sandbox_id: str,
    command: tuple[str, ...],
    interactive: bool,
    tty: bool,
    variables: dict[str, str] | None,
    cwd: str | None,
    timeout: float | None,
    container: str | None,
    data_plane_mode: str,
) -> None:
    """Run a command in an existing sandbox; exit with its code.

    Its output goes to stdout and stderr unchanged, as it comes. Options of the command itself are safe behind `--`:
    `cwsandbox exec ID -- ls -t`. --interactive, --env and --tty are recognized in front of SANDBOX_ID only.
    """
    _command.require_terminal(tty=tty, interactive=interactive)
    more: dict[str, Any] = {"cwd": cwd, "timeout_seconds": timeout, "container": container}
    if variables is not None:
        more["env"] = variables
    try:
        sandbox = Sandbox.from_id(sandbox_id, data_plane_mode=data_plane_mode).result()
        code = _command.run_in(sandbox, [*command], tty=tty, interactive=interactive, **more)
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise click.exceptions.Exit(code)
