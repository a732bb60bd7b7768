"""``cwsandbox ls``."""

from __future__ import annotations

import json

import click

from cwsandbox import Sandbox, SandboxStatus
from cwsandbox.cli.style import status_cell
from cwsandbox.cli.values import output_option, row, shown

STATES = [state.value for state in SandboxStatus if state is not SandboxStatus.UNSPECIFIED]


@click.command("ls")
@click.option(
    "-s",
    "--status",
    type=click.Choice(STATES, case_sensitive=False),
    help="Only those in this state. Those that have ended are listed only if asked for like this.",
)
@click.option("-t", "--tag", "tags", multiple=True, help="Only those with this tag; repeatable.")
@click.option(
    "-T", "--runner-id", "runner_ids", multiple=True, help="Only those on this runner; repeatable."
)
@output_option
def list_sandboxes(
    status: str | None, tags: tuple[str, ...], runner_ids: tuple[str, ...], output_format: str
) -> None:
    """List sandboxes."""
    found = Sandbox.list(
        tags=[*tags] or None, status=status, runner_ids=[*runner_ids] or None
    ).result()
    if output_format == "json":
        click.echo(json.dumps([row(sandbox) for sandbox in found], indent=2))
    elif not found:
        click.echo("No sandboxes found.")
    else:
        _print_table(found)


def _print_table(found: list[Sandbox]) -> None:
    click.echo(f"{'SANDBOX ID':<40} {'STATUS':<14} {'RUNNER':<20} STARTED AT")
    click.echo(" ".join("-" * width for width in (40, 14, 20, 24)))
    for sandbox in found:
        keys = row(sandbox)
        click.echo(
            f"{shown(keys['sandbox_id']):<40} {status_cell(shown(keys['status']), 14)} "
            f"{shown(keys['runner_id']):<20} {shown(sandbox.started_at)}"
        )
