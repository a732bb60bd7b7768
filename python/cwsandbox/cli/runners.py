"""``cwsandbox runners``."""

from __future__ import annotations

import json
from typing import Any

import click

from cwsandbox import Runner, ServiceVisibility, format_bytes, format_cpu, get_runner, list_runners
from cwsandbox.cli.table import Column, Table
from cwsandbox.cli.values import output_option, shown

VISIBILITIES = [one.value for one in ServiceVisibility if one is not ServiceVisibility.UNSPECIFIED]


@click.group("runners")
def runners() -> None:
    """Show the machines that sandboxes can run on."""


@runners.command("list")
@click.option("-g", "--group", "runner_group_id", help="Only those of this group.")
@click.option("--gpu-type", help="Only those with such GPUs.")
@click.option("--architecture", help="Only those with such processors, for example amd64.")
@click.option("--healthy", "healthy_only", is_flag=True, help="Only those that take sandboxes now.")
@click.option(
    "--visibility",
    "service_visibility",
    type=click.Choice(VISIBILITIES, case_sensitive=False),
    help="Only those that can let these callers in to a sandbox's services.",
)
@output_option
def list_all(output_format: str, **filters: Any) -> None:
    """List runners, with what each has free."""
    found = list_runners(include_resources=True, **filters)
    _RUNNERS.print_all(found, output_format)


@runners.command("get")
@click.argument("runner_id")
@click.option(
    "--organization",
    "organization_id",
    help="Whose runner it is. Default: that of the only runner with this id.",
)
@output_option
def get_one(runner_id: str, organization_id: str | None, output_format: str) -> None:
    """Show one runner."""
    if organization_id is None:
        organization_id = _organization(runner_id)
    one = get_runner(runner_id, organization_id=organization_id)
    keys = _keys(one)
    if output_format == "json":
        click.echo(json.dumps(keys, indent=2))
        return
    for name, value in keys.items():
        if name != "resources":
            click.echo(_line(name, value))
    for name, value in (keys["resources"] or {}).items():
        click.echo(_line(name, value))


def _organization(runner_id: str) -> str:
    owners = sorted({one.organization_id for one in list_runners() if one.runner_id == runner_id})
    if not owners:
        raise click.ClickException(
            f"There is no runner {runner_id!r}. `cwsandbox runners list` shows those there are"
        )
    if len(owners) > 1:
        names = ", ".join(owners)
        raise click.UsageError(
            f"Several organizations have a runner {runner_id!r} ({names}): say --organization."
        )
    return owners[0]


def _keys(one: Runner) -> dict[str, Any]:
    """The fields, as JSON has them."""
    free = one.resources
    return {
        **vars(one),
        "connected_at": one.connected_at.isoformat(),
        "resources": None if free is None else dict(vars(free)),
    }


def _line(name: str, value: Any) -> str:
    if name.endswith("_bytes"):
        text = format_bytes(value)
    elif name.endswith("_millicores"):
        text = format_cpu(value)
    elif isinstance(value, tuple):
        text = ", ".join(value) or "-"
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = shown(value)
    label = name.replace("_bytes", "").replace("_millicores", "").replace("_", " ").upper()
    return f"{label:<31} {text}"


def _cells(one: Runner) -> list[str]:
    free = one.resources
    cpu, memory, count = "-", "-", "-"
    if free is not None:
        cpu = format_cpu(free.available_cpu_millicores)
        memory = format_bytes(free.available_memory_bytes)
        count = str(free.running_sandboxes)
    return [
        one.runner_id,
        one.organization_id,
        "yes" if one.healthy else "no",
        f"{cpu} of {format_cpu(one.max_cpu_millicores)}",
        f"{memory} of {format_bytes(one.max_memory_bytes)}",
        count,
    ]


_RUNNERS = Table(
    kind="runners",
    columns=(
        Column("RUNNER ID", 32),
        Column("ORGANIZATION", 16),
        Column("HEALTHY", 8),
        Column("CPU FREE", 20),
        Column("MEMORY FREE", 22),
        Column("SANDBOXES", 9),
    ),
    cells=_cells,
    keys=_keys,
)
