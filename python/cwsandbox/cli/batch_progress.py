"""How far a batch is, for people at a terminal."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cwsandbox import Batch, Outcome, Verdict

if TYPE_CHECKING:
    from rich.progress import Progress

_COLOURS = {Verdict.OK: "green", Verdict.FAILED: "red"}


@contextmanager
def showing(running: Batch, total: int, *, is_shown: bool) -> Iterator[Callable[[Outcome], object]]:
    """A bar on stderr inside of the block, if somebody sees it; what is given is called with each outcome."""
    bar = _bar() if is_shown and sys.stderr.isatty() else None
    if bar is None:
        yield lambda _: None
        return
    verdicts: Counter[Verdict] = Counter()
    with bar:
        task = bar.add_task("", total=total, verdicts="", running=0)

        def seen(outcome: Outcome) -> None:
            verdicts[outcome.verdict] += 1
            bar.update(task, advance=1, verdicts=marked(verdicts), running=running.running)

        yield seen


def marked(verdicts: Counter[Verdict]) -> str:
    """The counts, in rich's mark-up."""
    return " ".join(
        f"[{_COLOURS.get(one, 'yellow')}]{verdicts[one]} {one}[/]"
        for one in Verdict
        if verdicts[one]
    )


def _bar() -> Progress | None:
    # Only here: it takes longer to load than all the rest.
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            Task,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text
    except ImportError:
        return None

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.1f}/s")

    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[running]} running"),
        TextColumn("{task.fields[verdicts]}"),
        console=Console(file=sys.stderr),
    )
