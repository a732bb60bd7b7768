"""``cwsandbox get``."""

from __future__ import annotations

import json
from typing import Any

import click

from cwsandbox import Sandbox
from cwsandbox.cli.style import status_cell
from cwsandbox.cli.values import output_option, row, sandbox_argument, shown


@click.command("get")
@sandbox_argument
@output_option
def get_sandbox(sandbox_id: str, output_format: str) -> None:
    """Show one sandbox, also one that has ended."""
    sandbox = Sandbox.from_id(sandbox_id).result()
    keys = _keys(sandbox)
    if output_format == "json":
        click.echo(json.dumps(keys, indent=2))
    else:
        _print(sandbox, keys)


def _keys(sandbox: Sandbox) -> dict[str, Any]:
    containers = [
        {"name": one.name, "image": one.image, "primary": one.primary} for one in sandbox.containers
    ]
    statuses = [
        {
            "name": one.name,
            "state": one.state.value,
            "exit_code": one.exit_code,
            "restart_count": one.restart_count,
        }
        for one in sandbox.container_statuses
    ]
    return {
        **row(sandbox),
        "returncode": sandbox.returncode,
        **({"containers": containers} if containers else {}),
        **({"container_statuses": statuses} if statuses else {}),
    }


def _print(sandbox: Sandbox, keys: dict[str, Any]) -> None:
    lines = {
        "SANDBOX ID": shown(keys["sandbox_id"]),
        "STATUS": status_cell(shown(keys["status"])),
        "RUNNER ID": shown(keys["runner_id"]),
        "RUNNER GROUP ID": shown(keys["runner_group_id"]),
        "STARTED AT": shown(sandbox.started_at),
        "RETURNCODE": shown(keys["returncode"]),
    }
    for label, text in lines.items():
        click.echo(f"{label:<15}  {text}")
    if "containers" in keys:
        click.echo("\nCONTAINERS")
    for one in keys.get("containers", ()):
        role = "primary" if one["primary"] else "helper"
        click.echo(f"  {shown(one['name'])} ({role})  {shown(one['image'])}")
    if "container_statuses" in keys:
        click.echo("\nCONTAINER STATUS")
    for one in keys.get("container_statuses", ()):
        code = "" if one["exit_code"] is None else f"  exit={one['exit_code']}"
        click.echo(f"  {shown(one['name'])}  {one['state']}{code}  restarts={one['restart_count']}")
