"""``cwsandbox ls``."""

from __future__ import annotations

import click

from cwsandbox import Sandbox, SandboxStatus
from cwsandbox.cli.style import status_cell
from cwsandbox.cli.table import Column, Table
from cwsandbox.cli.values import output_option, row, shown

STATES = [state.value for state in SandboxStatus if state is not SandboxStatus.UNSPECIFIED]
_STATUS_WIDTH = 14


def _cells(sandbox: Sandbox) -> list[str]:
    keys = row(sandbox)
    return [
        shown(keys["sandbox_id"]),
        status_cell(shown(keys["status"]), _STATUS_WIDTH),
        shown(keys["runner_id"]),
        shown(sandbox.started_at),
    ]


_SANDBOXES = Table(
    kind="sandboxes",
    columns=(
        Column("SANDBOX ID", 40),
        Column("STATUS", _STATUS_WIDTH),
        Column("RUNNER", 20),
        Column("STARTED AT", 24),
    ),
    cells=_cells,
    keys=row,
)


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
    _SANDBOXES.print_all(found, output_format)
