"""``cwsandbox logs``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime

import click

from cwsandbox import Sandbox
from cwsandbox.cli.values import (
    COUNT_MAX,
    container_option,
    data_plane_mode_option,
    sandbox_argument,
)


@click.command("logs")
@sandbox_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the main command ends.")
@click.option(
    "--tail",
    type=click.IntRange(min=0, max=COUNT_MAX),
    metavar="N",
    help="Only the last N of the lines that are there. 0: all.",
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]),
    help="Only what was printed from then on, in UTC.",
)
@click.option("-t", "--timestamps", is_flag=True, help="Begin each line with its time.")
@container_option
@data_plane_mode_option
def logs(
    sandbox_id: str,
    follow: bool,
    tail: int | None,
    since: datetime | None,
    timestamps: bool,
    container: str | None,
    data_plane_mode: str,
) -> None:
    """Print what a sandbox's main command has printed.

    That of a sandbox that has ended is there, too. What `exec` runs is not in it.
    Ctrl-C ends a log that is followed, with code 0.
    """
    try:
        sandbox = Sandbox.from_id(sandbox_id, data_plane_mode=data_plane_mode).result()
        reader = sandbox.stream_logs(
            follow=follow,
            tail_lines=tail,
            since_time=None if since is None else since.replace(tzinfo=UTC),
            timestamps=timestamps,
            container=container,
        )
        with closing(reader):
            _print(reader, at_once=follow)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(0) from None


def _print(lines: Iterable[str], *, at_once: bool) -> None:
    stdout = sys.stdout.buffer
    try:
        for line in lines:
            stdout.write(line.encode())
            if at_once:
                stdout.flush()
    finally:
        stdout.flush()  # what came before a failure
