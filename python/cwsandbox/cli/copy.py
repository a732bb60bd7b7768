"""``cwsandbox cp``."""

from __future__ import annotations

import json
import math
import os
import threading
from typing import TYPE_CHECKING, Any

import click

from cwsandbox import Sandbox
from cwsandbox.cli import values
from cwsandbox.cli.bar import copying
from cwsandbox.cli.signals import Ended, ended_by_signals

if TYPE_CHECKING:
    from cwsandbox import OperationRef, TransferResult

_END_SECONDS = 5.0


def _split(place: str) -> tuple[str | None, str]:
    """A sandbox's id and the path in it; no id for a path here, such as ``./a:b``."""
    sandbox_id, colon, path = place.partition(":")
    if not colon or "/" in sandbox_id:
        return None, place
    if not sandbox_id or not path:
        raise click.UsageError(f"{place!r} must be ID:PATH, or ./{place} for a file here.")
    return sandbox_id, path


@click.command("cp")
@click.argument("source", type=click.Path())
@click.argument("target", type=click.Path())
@click.option(
    "-x",
    "--exclude",
    metavar="PATTERN",
    multiple=True,
    help="Leave out what matches, as in a .gitignore. Repeatable.",
)
@click.option(
    "-t", "--timeout", type=values.SECONDS, help="Limit of the transfer, in seconds. Default: none."
)
@values.container_option
@values.data_plane_mode_option
@values.output_option
@values.quiet_option
def copy(
    source: str,
    target: str,
    exclude: tuple[str, ...],
    timeout: float | None,
    container: str | None,
    data_plane_mode: str,
    output_format: str,
    quiet: bool,
) -> None:
    """Copy a file or a whole directory into a sandbox or out of it.

    \b
    cwsandbox cp LOCAL ID:PATH
    cwsandbox cp ID:PATH LOCAL

    The copy goes where `cp -r` would put it. What has a colon in its name here needs ./ in front.
    """
    (source_id, source_path), (target_id, target_path) = _split(source), _split(target)
    if source_id and target_id:
        raise click.UsageError("Copy to a directory here first: both places are in sandboxes.")
    sandbox_id = source_id or target_id
    if not sandbox_id:
        raise click.UsageError("One of the two places must be in a sandbox: ID:PATH.")
    options: dict[str, Any] = {
        "exclude": [*exclude] or None,
        "timeout_seconds": math.inf if timeout is None else timeout,
        "container": container,
    }
    try:
        with ended_by_signals():
            sandbox = Sandbox.from_id(sandbox_id, data_plane_mode=data_plane_mode).result()
            transfer = sandbox.download if source_id else sandbox.upload
            with copying(
                os.path.basename(source_path.rstrip("/.")), is_shown=not quiet
            ) as progress:
                done = _wait(transfer(source_path, target_path, progress=progress, **options))
    except Ended as end:
        raise click.exceptions.Exit(end.exit_code) from end
    _tell(done, output_format, quiet)


def _wait(operation: OperationRef[TransferResult]) -> TransferResult:
    try:
        return operation.result()
    except Ended:
        from cwsandbox._runtime.threads import TRANSFER_NAME

        operation._cancel()
        for thread in threading.enumerate():
            if thread.name == TRANSFER_NAME:  # it removes what is unfinished
                thread.join(_END_SECONDS)
        raise


def _tell(done: TransferResult, output_format: str, quiet: bool) -> None:
    if output_format == "json":
        keys = ("files", "directories", "symlinks", "bytes")
        click.echo(json.dumps({key: getattr(done, key) for key in keys}, indent=2))
    elif not quiet:
        files = "1 file" if done.files == 1 else f"{done.files} files"
        click.echo(f"Copied {files}, {done.bytes} bytes.")
