"""``cwsandbox files``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from cwsandbox import Sandbox
from cwsandbox._messages.files import FILE_MAX
from cwsandbox.cli import target
from cwsandbox.cli.failure import Failure
from cwsandbox.cli.values import (
    SECONDS,
    container_option,
    data_plane_mode_option,
    quiet_option,
    sandbox_argument,
)

_timeout_option = click.option(
    "-t", "--timeout", type=SECONDS, help="Limit of the transfer, in seconds."
)


@click.group("files")
def files() -> None:
    """Read and write one file. `cwsandbox cp` copies files of any size, and whole trees."""


@files.command("read")
@sandbox_argument
@click.argument("remote_path")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    callback=target.check_folder,
    help="A file here to write it to, when all of it is there. Default: stdout.",
)
@_timeout_option
@container_option
@data_plane_mode_option
def read(
    sandbox_id: str,
    remote_path: str,
    output: str | None,
    timeout: float | None,
    container: str | None,
    data_plane_mode: str,
) -> None:
    """Print a file of a sandbox, byte by byte."""
    sandbox = Sandbox.from_id(sandbox_id, data_plane_mode=data_plane_mode).result()
    content = sandbox.read_file(remote_path, timeout_seconds=timeout, container=container).result()
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        target.write(Path(output), content)


@files.command("write")
@sandbox_argument
@click.argument("remote_path")
@click.argument("local_path", type=click.Path(exists=True, dir_okay=False))
@_timeout_option
@container_option
@data_plane_mode_option
@quiet_option
def write(
    sandbox_id: str,
    remote_path: str,
    local_path: str,
    timeout: float | None,
    container: str | None,
    data_plane_mode: str,
    quiet: bool,
) -> None:
    """Write a file of a sandbox from one here, and the folders above it."""
    content = _content(local_path)
    sandbox = Sandbox.from_id(sandbox_id, data_plane_mode=data_plane_mode).result()
    sandbox.write_file(remote_path, content, timeout_seconds=timeout, container=container).result()
    if not quiet:
        click.echo(f"Wrote {len(content)} bytes to {remote_path}.")


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        content = file.read(FILE_MAX + 1)  # it may never end
    if len(content) > FILE_MAX:
        raise Failure(
            f"{os.fsdecode(path)} has more than {FILE_MAX >> 20} MiB. "
            "`cwsandbox cp` copies files of any size"
        )
    return content
