"""Colours, for people at a terminal."""

from __future__ import annotations

import os
import sys
from typing import IO, Any

import click

_COLOUR_OF_STATUS = {
    "running": "green",
    "creating": "yellow",
    "preparing": "yellow",
    "pending": "yellow",
    "paused": "yellow",
    "terminating": "yellow",
    "failed": "red",
}


def styled(text: str, colour: str, stream: IO[Any]) -> str:
    """The text in a colour, if the stream is a terminal and NO_COLOR is not set (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or not stream.isatty():
        return text
    return click.style(text, fg=colour)


def colour_of(status: str) -> str | None:
    """The colour of a sandbox's status."""
    return _COLOUR_OF_STATUS.get(status)


def status_cell(status: str, width: int = 0) -> str:
    """A sandbox's status for a table on stdout."""
    cell = f"{status:<{width}}"
    colour = colour_of(status)
    return styled(cell, colour, sys.stdout) if colour else cell
