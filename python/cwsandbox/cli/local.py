"""``cwsandbox local``."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from types import FrameType

import click

from cwsandbox._service import local
from cwsandbox.cli.failure import Failure


class NotExecutable(Failure):
    """The program could not be started."""

    exit_code = 126


class NotFound(Failure):
    """There is no such program."""

    exit_code = 127


@click.command("local", context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run_local(command: tuple[str, ...]) -> None:
    """Run a program here with a daemon of its own.

    Exits with the program's code. CWSANDBOX_BASE_URL in its environment leads to the daemon, which ends
    with it: `cwsandbox local -- python job.py`.
    """
    env = {**os.environ, "CWSANDBOX_BASE_URL": local.target()}
    try:
        code = _run(command, env)
    except FileNotFoundError as error:
        raise NotFound(f"{shlex.quote(command[0])}: {error.strerror}") from error
    except OSError as error:
        raise NotExecutable(f"{shlex.quote(command[0])}: {error.strerror}") from error
    raise click.exceptions.Exit(code if code >= 0 else 128 - code)


def _run(command: tuple[str, ...], env: dict[str, str]) -> int:
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        if child is not None:
            child.send_signal(number)
        else:
            early.append(number)

    def leave_to_child(_: int, __: FrameType | None) -> None:
        """The terminal sends it to both."""

    for number, handler in (
        (signal.SIGTERM, forward),
        (signal.SIGHUP, forward),
        (signal.SIGINT, leave_to_child),
        (signal.SIGQUIT, leave_to_child),
    ):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
    child = subprocess.Popen(command, env=env)
    for came in early:  # while the program was started
        child.send_signal(came)
    return child.wait()
