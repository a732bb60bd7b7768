"""``cwsandbox snapshots``."""

from __future__ import annotations

import json
from typing import Any

import click

from cwsandbox import FileSystemSnapshot, FileSystemSnapshotStatus, Sandbox
from cwsandbox.cli.table import Column, Table
from cwsandbox.cli.values import json_value, output_option, quiet_option, shown, timeout_option

STATES = [one.value for one in FileSystemSnapshotStatus if one.value != "unspecified"]


@click.group("snapshots")
def snapshots() -> None:
    """Save scratch volumes of sandboxes, and look after what was saved."""


@snapshots.command("create")
@click.argument("sandbox_id")
@click.option(
    "--wait/--no-wait",
    "wait_for_ready",
    default=True,
    help="Whether to end only when the snapshot is ready. Default: --wait.",
)
@click.option("--request-id", help="A key: the same one gives the same snapshot.")
@timeout_option("Limit of looking the sandbox up, in seconds.")
@output_option
def create(
    sandbox_id: str,
    wait_for_ready: bool,
    request_id: str | None,
    timeout: float | None,
    output_format: str,
) -> None:
    """Save the scratch volume of a running sandbox, and print the snapshot's id."""
    sandbox = Sandbox.from_id(sandbox_id, timeout_seconds=timeout).result()
    made = sandbox.snapshot(wait_for_ready=wait_for_ready, request_id=request_id).result()
    if output_format == "json":
        click.echo(json.dumps({"file_system_snapshot_id": made}, indent=2))
    else:
        click.echo(made)


@snapshots.command("get")
@click.argument("file_system_snapshot_id")
@timeout_option("Limit of one request, in seconds.")
@output_option
def get(file_system_snapshot_id: str, timeout: float | None, output_format: str) -> None:
    """Show one snapshot."""
    found = Sandbox.get_snapshot(file_system_snapshot_id, timeout_seconds=timeout).result()
    _SNAPSHOTS.print_one(found, output_format)


@snapshots.command("list")
@click.option("--source-sandbox-id", help="Only those of this sandbox.")
@click.option(
    "-s",
    "--status",
    type=click.Choice(STATES, case_sensitive=False),
    help="Only those in this state.",
)
@timeout_option("Limit of the requests for all pages, in seconds.")
@output_option
def list_all(
    source_sandbox_id: str | None, status: str | None, timeout: float | None, output_format: str
) -> None:
    """List snapshots."""
    found = Sandbox.list_snapshots(
        source_sandbox_id=source_sandbox_id, status=status, timeout_seconds=timeout
    ).result()
    _SNAPSHOTS.print_all(found, output_format)


@snapshots.command("delete")
@click.argument("file_system_snapshot_id")
@click.option("--missing-ok", is_flag=True, help="It is no failure that there is none.")
@timeout_option("Limit of one request, in seconds.")
@quiet_option
def delete(
    file_system_snapshot_id: str, missing_ok: bool, timeout: float | None, quiet: bool
) -> None:
    """Delete a snapshot. Sandboxes that were filled from it keep what they have."""
    Sandbox.delete_snapshot(
        file_system_snapshot_id, timeout_seconds=timeout, missing_ok=missing_ok
    ).result()
    if not quiet:
        click.echo(f"Deleted {file_system_snapshot_id}.")


def _keys(one: FileSystemSnapshot) -> dict[str, Any]:
    """The fields, as JSON has them."""
    return {name: json_value(value) for name, value in vars(one).items()}


def _cells(one: FileSystemSnapshot) -> list[str]:
    return [
        one.file_system_snapshot_id or "-",
        one.status.value,
        one.source_sandbox_id or "-",
        one.trigger.value,
        str(one.size_bytes),
        shown(one.created_at),
    ]


_SNAPSHOTS = Table(
    kind="snapshots",
    columns=(
        Column("SNAPSHOT ID", 40),
        Column("STATUS", 10),
        Column("SOURCE SANDBOX", 40),
        Column("TRIGGER", 10),
        Column("SIZE", 12, is_number=True),
        Column("CREATED AT", 24),
    ),
    cells=_cells,
    keys=_keys,
)
