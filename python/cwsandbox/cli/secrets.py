"""``cwsandbox secrets``: the secret stores of this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cwsandbox._service.secret_files import Secrets, Stores, directory
from cwsandbox.cli.failure import Failure
from cwsandbox.cli.table import Column, Table
from cwsandbox.cli.values import output_option, quiet_option


@click.group("secrets")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The stores' directory. Default: CWSANDBOX_SECRETS_DIR, else ~/.config/cwsandbox/secrets.",
)
@click.pass_context
def secrets(ctx: click.Context, folder: Path | None) -> None:
    """Secrets for the sandboxes of this machine's daemon.

    Private daemons (the base URL `local`) read them by themselves, others with `--secrets-dir`.
    """
    ctx.obj = Stores(folder or directory())


@secrets.command("set")
@click.argument("store")
@click.argument("name")
@click.option("--field", help="Set this field of the secret, which has several.")
@quiet_option
@click.pass_obj
def set_secret(stores: Stores, store: str, name: str, field: str | None, quiet: bool) -> None:
    """Set a secret. Its value is read from stdin without the last line end, or asked for in a terminal."""
    stores.set(store, name, _value(), field)
    if not quiet:
        click.echo(f"Set {name} in {store}.")


def _value() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Value", hide_input=True))
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise Failure("The value on stdin is not UTF-8 text.") from None


@secrets.command("list")
@click.argument("store", required=False)
@output_option
@click.pass_obj
def list_secrets(stores: Stores, store: str | None, output_format: str) -> None:
    """List the stores, or one of them, with their secrets' names. Values are never shown."""
    found = {name: stores.read(name) for name in ([store] if store else stores.names())}
    rows = [row for name, content in found.items() for row in _rows(name, content)]
    _SECRETS.print_all(rows, output_format)


def _rows(store: str, content: Secrets) -> list[dict[str, Any]]:
    return [
        {"store": store, "name": name, "fields": sorted(value) if isinstance(value, dict) else []}
        for name, value in sorted(content.items())
    ]


def _cells(row: dict[str, Any]) -> list[str]:
    return [row["store"], row["name"], ", ".join(row["fields"]) or "-"]


_SECRETS = Table(
    kind="secrets",
    columns=(Column("STORE", 24), Column("SECRET", 32), Column("FIELDS", 24)),
    cells=_cells,
    keys=dict,
)


@secrets.command("delete")
@click.argument("store")
@click.argument("name")
@quiet_option
@click.pass_obj
def delete_secret(stores: Stores, store: str, name: str, quiet: bool) -> None:
    """Delete a secret, and the store with its last one."""
    stores.delete(store, name)
    if not quiet:
        click.echo(f"Deleted {name} from {store}.")
