"""``cwsandbox top``."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from cwsandbox import CWSandboxError, Sandbox
from cwsandbox._messages.parts import part
from cwsandbox.cli import style, table, values
from cwsandbox.cli.failure import Failure, failure_of
from cwsandbox.cli.signals import INTERRUPTED, Ended, ended_by_signals

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLUMNS = {"SANDBOX ID": 40, "STATUS": 14, "AGE": 8, "EXECS": 8, "CPU": 8, "MEMORY": 10}


@click.command("top")
@click.option("-t", "--tag", "tags", multiple=True, help="Only those with this tag; repeatable.")
@click.option(
    "-n",
    "--interval",
    type=values.Seconds(min=0.1, max=86400.0),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@values.output_option
def show_top(tags: tuple[str, ...], interval: float, output_format: str) -> None:
    """Watch the sandboxes that run, until Ctrl-C.

    EXECS is the number of commands that run, and of those started so far. That, CPU and memory are shown if the
    service tells them. If stdout is no terminal, or a dumb one, and for JSON, there is
    one look.
    """
    try:
        with ended_by_signals():
            _show(tags, interval, output_format)
    except Ended as end:
        # Ctrl-C is how one leaves.
        raise click.exceptions.Exit(0 if end.exit_code == INTERRUPTED else end.exit_code) from end


def _show(tags: tuple[str, ...], interval: float, output_format: str) -> None:
    found = _look(tags)
    if output_format != "json" and _can_be_redrawn():
        _watch(found, tags, interval)
    else:
        _SANDBOXES.print_all(found, output_format)


def _can_be_redrawn() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def _look(tags: tuple[str, ...]) -> list[Sandbox]:
    return Sandbox.list(tags=[*tags] or None).result()


def _keys(sandbox: Sandbox) -> dict[str, Any]:
    status = sandbox._handle.echo.status
    usage = part(status, "resource_usage")
    started = sandbox.started_at
    since = sandbox.created_at if started is None else started.replace(tzinfo=UTC)
    return {
        **values.row(sandbox),
        "age_seconds": None
        if since is None
        else max(0, int((datetime.now(UTC) - since).total_seconds())),
        "running_execs": status.get("running_execs"),
        "started_execs": status.get("started_execs"),
        "cpu_millicores": usage.get("cpu_millicores"),
        "memory_mb": usage.get("memory_mb"),
    }


def _cells(sandbox: Sandbox) -> list[str]:
    keys = _keys(sandbox)
    cpu, memory = keys["cpu_millicores"], keys["memory_mb"]
    running, started = keys["running_execs"], keys["started_execs"]
    return [
        values.shown(keys["sandbox_id"]),
        values.shown(keys["status"]),
        "-" if keys["age_seconds"] is None else age(keys["age_seconds"]),
        "-" if running is None or started is None else f"{running}/{started}",
        "-" if cpu is None else f"{cpu / 10:.0f}%",
        "-" if memory is None else f"{memory} MB",
    ]


def age(seconds: int) -> str:
    """In the two largest units that it has."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m{seconds % 60:02}s" if minutes else f"{seconds}s"


_SANDBOXES = table.Table(
    kind="sandboxes",
    columns=[table.Column(title, width) for title, width in _COLUMNS.items()],
    cells=_cells,
    keys=_keys,
)


def _watch(found: list[Sandbox], tags: tuple[str, ...], interval: float) -> None:
    """Show it, and look again and again. A look that fails is told above what was seen last."""
    try:
        from rich.live import Live
    except ImportError as error:
        raise Failure(
            "Watching needs rich, which is not installed. Install it with: pip install cwsandbox[cli]"
        ) from error
    fault = ""
    with Live(screen=True, auto_refresh=False) as live:
        while True:
            live.update(_table(found, fault), refresh=True)
            time.sleep(interval)
            try:
                found, fault = _look(tags), ""
            except CWSandboxError as error:
                fault = failure_of(error).format_message()


def _table(found: list[Sandbox], fault: str) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    redrawn = Table(box=None, pad_edge=False, header_style="bold")
    for heading in _COLUMNS:
        is_number = heading in ("AGE", "EXECS", "CPU", "MEMORY")
        redrawn.add_column(heading, justify="right" if is_number else "left", no_wrap=True)
    for sandbox in found:
        cells = [Text(cell) for cell in _cells(sandbox)]
        cells[1].stylize(style.colour_of(cells[1].plain) or "")
        redrawn.add_row(*cells)
    number = "1 sandbox" if len(found) == 1 else f"{len(found)} sandboxes"
    head = f"{number}, {datetime.now():%H:%M:%S}. Ctrl-C ends this."
    return Group(Text(head), Text(fault, style="red"), redrawn)
