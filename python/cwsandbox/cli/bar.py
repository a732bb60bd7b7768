"""A progress bar, for people at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

# The rest of the line is for the bar.
_NAME = 20
Mover = Callable[[int, int | None], object]


@contextmanager
def copying(what: str, *, is_shown: bool) -> Iterator[Mover | None]:
    """A bar on stderr inside of the block, and what moves it; None if nobody would see it, or there is no rich."""
    bar = _bar(what) if is_shown and sys.stderr.isatty() else None
    if bar is None:
        yield None
        return
    with bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
        bar.update(task, total=bar.tasks[task].completed)  # all of it, which only now is known


def _bar(what: str) -> Progress | None:
    # Only here: it takes longer to load than all the rest.
    try:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
    except ImportError:
        return None
    name = what if len(what) <= _NAME else what[: _NAME - 1] + "…"
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(escape(name), *columns, console=Console(file=sys.stderr))
