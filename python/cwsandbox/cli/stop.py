"""``cwsandbox stop``."""

from __future__ import annotations

import click

from cwsandbox import Sandbox, SandboxNotFoundError
from cwsandbox.cli.values import COUNT_MAX, Seconds, quiet_option, sandbox_argument


@click.command("stop")
@sandbox_argument
@click.option("--missing-ok", is_flag=True, help="It is no failure that there is none.")
@click.option(
    "--graceful-shutdown-seconds",
    "grace",
    type=Seconds(min=0, max=COUNT_MAX),
    default=10.0,
    show_default=True,
    help="How long the main process may take to end before it is killed.",
)
@quiet_option
def stop_sandbox(sandbox_id: str, missing_ok: bool, grace: float, quiet: bool) -> None:
    """Stop a sandbox and wait for its end."""
    said = f"Stopped sandbox {sandbox_id}."
    try:
        sandbox = Sandbox.from_id(sandbox_id).result()
    except SandboxNotFoundError:
        if not missing_ok:
            raise
        said = f"Sandbox {sandbox_id} is already missing."
    else:
        sandbox.stop(graceful_shutdown_seconds=grace, missing_ok=missing_ok).result()
    if not quiet:
        click.echo(said)
