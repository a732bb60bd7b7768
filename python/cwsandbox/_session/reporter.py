"""Where a session's metrics go: the run of Weights & Biases that the program has begun."""

from __future__ import annotations

import sys

from cwsandbox._types import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

WANDB = "wandb"


def is_wanted(report_to: Sequence[str] | None) -> bool:
    """Whether metrics are kept at all; destinations that there are not are logged."""
    if report_to is None:
        return True
    names = (report_to,) if isinstance(report_to, str) else check.strings(report_to, "report_to")
    unknown = [name for name in names if name != WANDB]
    if unknown:
        _warn("report_to knows only %r: %s is ignored", WANDB, ", ".join(map(repr, unknown)))
    return WANDB in names


def active_run() -> Any | None:
    """The program's run. None is begun here, and the package is not loaded: who has a run has loaded it."""
    return getattr(sys.modules.get(WANDB), "run", None)


def send(run: Any, values: dict[str, Any], step: int | None) -> bool:
    """Log values to a run. A failure is logged as a warning: metrics never break a program."""
    try:
        run.log(values) if step is None else run.log(values, step=step)
    except Exception as failure:
        _warn("metrics could not be logged to %s: %r", WANDB, failure)
        return False
    return True


def _warn(text: str, *values: object) -> None:
    from logging import getLogger

    getLogger("cwsandbox").warning(text, *values)
