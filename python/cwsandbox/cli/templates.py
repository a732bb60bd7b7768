"""``cwsandbox templates``: descriptions of sandboxes that the service keeps."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cwsandbox._lifecycle import request, templates
from cwsandbox._messages.echo import utc
from cwsandbox._service.connection import connection_for_call
from cwsandbox.cli.command import env_option
from cwsandbox.cli.table import Column, Table
from cwsandbox.cli.values import json_value, output_option, quiet_option, shown, timeout_option

if TYPE_CHECKING:
    from cwsandbox._runtime.environment import Call, Environment

_T = TypeVar("_T")
LIMIT = "Limit of one request, in seconds."


@click.group("templates")
def all_templates() -> None:
    """Keep descriptions of sandboxes with the service, for `Sandbox.run_from_template()`."""


@all_templates.command("create", context_settings={"allow_interspersed_args": False})
@click.option("--image", required=True, help="The container image.")
@env_option
@click.option("--cpu", help='Processors, such as "500m". Needs --memory.')
@click.option("--memory", help='Memory, such as "1Gi". Needs --cpu.')
@click.option("--tag", "tags", multiple=True, help="A tag of the sandboxes; repeatable.")
@click.option(
    "--max-lifetime-seconds", type=click.IntRange(min=1), help="When the service ends them."
)
@timeout_option(LIMIT)
@output_option
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def create(
    name: str,
    command: tuple[str, ...],
    image: str,
    variables: dict[str, str] | None,
    cpu: str | None,
    memory: str | None,
    tags: tuple[str, ...],
    max_lifetime_seconds: int | None,
    timeout: float | None,
    output_format: str,
) -> None:
    """Make a template of this name, whose main process is the command. Options stand in front of the name."""
    if (cpu is None) != (memory is None):
        raise click.UsageError("--cpu and --memory need each other.")
    given = {
        "container_image": image,
        "command": command[0] if command else None,
        "args": [*command[1:]] or None,
        "environment_variables": variables,
        "resources": None if cpu is None else {"cpu": cpu, "memory": memory},
        "tags": [*tags] or None,
        "max_lifetime_seconds": max_lifetime_seconds,
    }
    asked = templates.create_request(name, given)
    made = _ask(timeout, lambda call, env, limit: templates.create(call, asked, limit))
    _TEMPLATES.print_one(made, output_format)


@all_templates.command("get")
@click.argument("template")
@timeout_option(LIMIT)
@output_option
def get(template: str, timeout: float | None, output_format: str) -> None:
    """Show one template, by its id or name: its main process, and the names of its variables."""
    found = _ask(timeout, lambda call, env, limit: templates.get(call, template, limit))
    if output_format == "json":
        click.echo(json.dumps(_keys(found), indent=2))
    else:
        _print_all_of(found)


@all_templates.command("list")
@timeout_option("Limit of the requests for all pages, in seconds.")
@output_option
def list_all(timeout: float | None, output_format: str) -> None:
    """List templates."""
    _TEMPLATES.print_all(_ask(timeout, templates.find), output_format)


@all_templates.command("delete")
@click.argument("template")
@click.option("--missing-ok", is_flag=True, help="It is no failure that there is none.")
@timeout_option(LIMIT)
@quiet_option
def delete(template: str, missing_ok: bool, timeout: float | None, quiet: bool) -> None:
    """Delete a template, by its id or name. Sandboxes that were made from it stay."""
    _ask(
        timeout,
        lambda call, env, limit: templates.delete(
            call, template, missing_ok=missing_ok, timeout=limit
        ),
    )
    if not quiet:
        click.echo(f"Deleted {template}.")


def _ask(
    timeout: float | None,
    make: Callable[[Call, Environment, float], Coroutine[Any, Any, _T]],
) -> _T:
    return request.submit(connection_for_call(timeout_seconds=timeout), make).result()


def _image(message: dict[str, Any]) -> str | None:
    containers = message.get("spec", {}).get("containers", ())
    return containers[0]["image"] if containers else None


def _keys(message: dict[str, Any]) -> dict[str, Any]:
    """What JSON has of a template. Values of variables may be secrets, so only their names are shown."""
    spec = message.get("spec", {})
    rows = spec.get("containers", ())
    return {
        "sandbox_template_id": message["sandbox_template_id"],
        "display_name": message["display_name"],
        "revision": message["revision"],
        "created_at": json_value(utc(message.get("create_time"))),
        "updated_at": json_value(utc(message.get("update_time"))),
        "tags": [*spec.get("tags", ())],
        "max_lifetime_seconds": spec.get("max_lifetime_seconds") or None,
        "containers": [
            {
                "name": row["name"],
                "image": row["image"],
                "command": row["command"],
                "args": [*row["args"]],
                "environment_variables": sorted(row["environment_variables"]),
                "resources": _resources(row),
            }
            for row in rows
        ],
    }


def _resources(row: dict[str, Any]) -> dict[str, str]:
    """CPU and memory that a container is given; empty where the service decides."""
    asked = row.get("resource_requirements", {})
    return {**asked.get("limits", {}), **asked.get("requests", {})}


def _print_all_of(message: dict[str, Any]) -> None:
    keys = _keys(message)
    lifetime = keys["max_lifetime_seconds"]
    lines = {
        "TEMPLATE ID": keys["sandbox_template_id"],
        "NAME": keys["display_name"] or None,
        "REVISION": keys["revision"],
        "CREATED AT": utc(message.get("create_time")),
        "UPDATED AT": utc(message.get("update_time")),
        "TAGS": ", ".join(keys["tags"]) or None,
        "MAX LIFETIME": None if lifetime is None else f"{lifetime} s",
    }
    for label, value in lines.items():
        click.echo(f"{label:<12}  {shown(value)}")
    for one in keys["containers"]:
        resources = (f"{name} {amount}" for name, amount in one["resources"].items())
        lines = {
            "IMAGE": one["image"] or None,
            "COMMAND": shlex.join(filter(None, (one["command"], *one["args"]))) or None,
            "RESOURCES": ", ".join(resources) or None,
            "VARIABLES": ", ".join(one["environment_variables"]) or None,
        }
        click.echo(f"\nCONTAINER {one['name'] or '-'}")
        for label, value in lines.items():
            click.echo(f"  {label:<10}  {shown(value)}")


def _cells(message: dict[str, Any]) -> list[str]:
    return [
        message["sandbox_template_id"],
        message["display_name"] or "-",
        str(message["revision"]),
        shown(_image(message)),
        shown(utc(message.get("create_time"))),
    ]


_TEMPLATES = Table(
    kind="templates",
    columns=(
        Column("TEMPLATE ID", 40),
        Column("NAME", 24),
        Column("REVISION", 8, is_number=True),
        Column("IMAGE", 32),
        Column("CREATED AT", 24),
    ),
    cells=_cells,
    keys=_keys,
)
