"""``cwsandbox volumes``: volumes that are registered with the service."""

from __future__ import annotations

from typing import Any

import click

from cwsandbox import PvcVolumeSource, Volume, VolumeState, format_bytes
from cwsandbox._types.resources import parse_quantity
from cwsandbox.cli.table import Column, Table
from cwsandbox.cli.values import (
    SECONDS,
    json_value,
    output_option,
    quiet_option,
    shown,
    timeout_option,
)

STATES = [one.value for one in VolumeState if one is not VolumeState.UNSPECIFIED]
LIMIT = "Limit of one request, in seconds."


@click.group("volumes")
def volumes() -> None:
    """Register volumes that outlive sandboxes, and look after them."""


@volumes.command("create")
@click.argument("volume_id")
@click.option("--runner-id", required=True, help="The runner whose cluster has the claim.")
@click.option("--namespace", required=True, help="The claim's namespace there.")
@click.option("--claim", "claim_name", required=True, help="The claim's name.")
@click.option("--sub-path", help="The folder of the claim that is the volume. Default: all of it.")
@click.option("--read-only", is_flag=True, help="Nobody can write to it.")
@click.option("--description", default="", help="A text for people.")
@click.option(
    "--wait/--no-wait", default=True, help="Whether to wait until it is ready. Default: --wait."
)
@click.option(
    "--wait-timeout",
    type=SECONDS,
    default=60.0,
    show_default=True,
    help="For how many seconds to wait.",
)
@timeout_option(LIMIT)
@output_option
def create(
    volume_id: str,
    runner_id: str,
    namespace: str,
    claim_name: str,
    sub_path: str | None,
    read_only: bool,
    description: str,
    wait: bool,
    wait_timeout: float,
    timeout: float | None,
    output_format: str,
) -> None:
    """Register a persistent volume claim that exists on a runner."""
    pvc = PvcVolumeSource(
        runner_id=runner_id, namespace=namespace, claim_name=claim_name, sub_path=sub_path
    )
    volume = Volume.create(
        volume_id,
        pvc=pvc,
        read_only=read_only,
        description=description,
        timeout_seconds=timeout,
    ).result()
    if wait:
        volume.wait_until_ready(wait_timeout, timeout_seconds=timeout).result()
    _VOLUMES.print_one(volume, output_format)


@volumes.command("get")
@click.argument("volume_id")
@timeout_option(LIMIT)
@output_option
def get(volume_id: str, timeout: float | None, output_format: str) -> None:
    """Show one volume."""
    _VOLUMES.print_one(Volume.get(volume_id, timeout_seconds=timeout).result(), output_format)


@volumes.command("list")
@click.option(
    "-s",
    "--state",
    "states",
    type=click.Choice(STATES, case_sensitive=False),
    multiple=True,
    help="Only those in this state; repeatable.",
)
@click.option(
    "-T", "--runner-id", "runner_ids", multiple=True, help="Only those on this runner; repeatable."
)
@timeout_option("Limit of the requests for all pages, in seconds.")
@output_option
def list_all(
    states: tuple[str, ...],
    runner_ids: tuple[str, ...],
    timeout: float | None,
    output_format: str,
) -> None:
    """List volumes."""
    found = Volume.list(
        states=states or None, runner_ids=runner_ids or None, timeout_seconds=timeout
    ).result()
    _VOLUMES.print_all(found, output_format)


@volumes.command("update")
@click.argument("volume_id")
@click.option("--description", required=True, help="The new text for people.")
@timeout_option(LIMIT)
@output_option
def update(volume_id: str, description: str, timeout: float | None, output_format: str) -> None:
    """Change the description of a volume."""
    volume = Volume(volume_id=volume_id, timeout_seconds=timeout)
    _VOLUMES.print_one(volume.update(description=description).result(), output_format)


@volumes.command("validate")
@click.argument("volume_id")
@timeout_option(LIMIT)
@output_option
def validate(volume_id: str, timeout: float | None, output_format: str) -> None:
    """Have the service look at a volume's claim again."""
    volume = Volume(volume_id=volume_id, timeout_seconds=timeout)
    _VOLUMES.print_one(volume.validate().result(), output_format)


@volumes.command("delete")
@click.argument("volume_id")
@click.option("--missing-ok", is_flag=True, help="It is no failure that there is none.")
@click.option("--force", is_flag=True, help="Also while sandboxes have it.")
@timeout_option(LIMIT)
@quiet_option
def delete(
    volume_id: str, missing_ok: bool, force: bool, timeout: float | None, quiet: bool
) -> None:
    """Take the registration of a volume back. The claim, and what is in it, stay."""
    volume = Volume(volume_id=volume_id, timeout_seconds=timeout)
    volume.delete(allow_missing=missing_ok, force=force).result()
    if not quiet:
        click.echo(f"Deleted {volume_id}.")


def _keys(one: Volume) -> dict[str, Any]:
    """The public attributes, as JSON has them."""
    told = {name: value for name, value in vars(one).items() if not name.startswith("_")}
    pvc = None if one.pvc is None else dict(vars(one.pvc))
    return {name: json_value(value) for name, value in told.items()} | {"pvc": pvc}


def _capacity(one: Volume) -> str:
    """In the units of all other tables, where it can be read."""
    if not one.capacity:
        return shown(None)
    try:
        return format_bytes(int(parse_quantity(one.capacity)))
    except ValueError:
        return one.capacity


def _cells(one: Volume) -> list[str]:
    pvc = one.pvc
    return [
        one.volume_id,
        one.state.value,
        "-" if pvc is None else pvc.runner_id,
        "-" if pvc is None else f"{pvc.namespace}/{pvc.claim_name}",
        _capacity(one),
        str(one.attached_sandbox_count),
        shown(one.created_at),
    ]


_VOLUMES = Table(
    kind="volumes",
    columns=(
        Column("VOLUME ID", 32),
        Column("STATE", 11),
        Column("RUNNER", 24),
        Column("CLAIM", 32),
        Column("CAPACITY", 10, is_number=True),
        Column("SANDBOXES", 9, is_number=True),
        Column("CREATED AT", 24),
    ),
    cells=_cells,
    keys=_keys,
)
