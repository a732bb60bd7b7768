"""``cwsandbox run``."""

from __future__ import annotations

import math
from contextlib import ExitStack

import click

from cwsandbox._service import endpoint
from cwsandbox.cli import command as _command
from cwsandbox.cli.failure import Failure, failure_of
from cwsandbox.cli.signals import Ended, ended_by_signals
from cwsandbox.cli.streamed import Sandbox


@click.command("run", context_settings={"allow_interspersed_args": False})
@_command.interactive_option
@_command.run_tty_option
@_command.env_option
@_command.cwd_option
@_command.run_timeout_option
@click.option("--image", help="The container image. Default: the library's, or the template's.")
@click.option(
    "--template", help="A template of the service to make the sandbox from: its id or name."
)
@click.option("--keep", is_flag=True, help="Leave the sandbox running; its id goes to stderr.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run_command(
    command: tuple[str, ...],
    interactive: bool,
    tty: bool,
    variables: dict[str, str] | None,
    cwd: str | None,
    timeout: float | None,
    image: str | None,
    template: str | None,
    keep: bool,
) -> None:
    """Run a command in a sandbox of its own; exit with its code.

    Its output goes to stdout and stderr unchanged, as it comes. The sandbox is stopped when the command has ended, and
    also after Ctrl-C, Ctrl-\\, SIGTERM and SIGHUP; a second signal does not wait for that. Options stand in front of
    the command: `cwsandbox run --env A=1 -- ls -l`.
    """
    if keep and endpoint.base_url(None) == endpoint.LOCAL:
        raise click.UsageError(
            "--keep needs a service that outlives this command, and CWSANDBOX_BASE_URL is 'local'. "
            "`cwsandbox daemon` runs one."
        )
    _command.require_terminal(tty=tty, interactive=interactive)
    # A template's container has the variables that it has, unless --image replaces it. The command can have more.
    own, more = (None, variables) if template is not None and image is None else (variables, None)
    sandbox = Sandbox(container_image=image, environment_variables=own, template_id=template)
    try:
        with ended_by_signals(), ExitStack() as stopping:
            stopping.enter_context(sandbox)
            if keep:
                stopping.pop_all()
                click.echo(f"Sandbox {sandbox.sandbox_id} is kept.", err=True)
            limit = math.inf if timeout is None else timeout
            code = _command.run_in(
                sandbox,
                [*command],
                tty=tty,
                interactive=interactive,
                cwd=cwd,
                env=more,
                timeout_seconds=limit,
            )
    except Ended as end:
        if sandbox.failure_to_stop is not None:
            click.echo(f"{_left_behind(sandbox)}: {sandbox.failure_to_stop}", err=True)
        code = end.exit_code
    except Exception as error:
        if sandbox.failure_to_stop is None:
            raise
        # The reason is mostly the same: the service is gone.
        raise Failure(f"{failure_of(error).message}. {_left_behind(sandbox)}") from error
    raise click.exceptions.Exit(code)


def _left_behind(sandbox: Sandbox) -> str:
    return f"Sandbox {sandbox.sandbox_id} could not be stopped"
