"""``cwsandbox delete``."""

from __future__ import annotations

import click

from cwsandbox import Sandbox
from cwsandbox.cli.values import SECONDS, quiet_option, sandbox_argument


@click.command("delete")
@sandbox_argument
@click.option("--missing-ok", is_flag=True, help="It is no failure that there is none.")
@click.option("-t", "--timeout", type=SECONDS, help="Limit of the request, in seconds.")
@quiet_option
def delete_sandbox(sandbox_id: str, missing_ok: bool, timeout: float | None, quiet: bool) -> None:
    """Kill a sandbox at once, without waiting for its end."""
    Sandbox.delete(sandbox_id, missing_ok=missing_ok, timeout_seconds=timeout).result()
    if not quiet:
        click.echo(f"Deleted sandbox {sandbox_id}.")
