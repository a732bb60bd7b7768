"""What commands print of a sandbox, and the options that several of them have."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from cwsandbox import Sandbox
from cwsandbox._service import endpoint

_COMPLETION_SECONDS = 2.0
_F = TypeVar("_F", bound=Callable[..., Any])


# The service counts in int32.
COUNT_MAX = (1 << 31) - 1
# Where there is no code that could be passed on.
NO_CODE = 255


class Seconds(click.FloatRange):
    """A range that ``nan`` is not in. Without ``max``, ``inf`` is no limit."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


SECONDS = Seconds(min=0, min_open=True)


def _running(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """The ids that begin like this, for a shell to complete. None is better than a long wait or a message."""
    if endpoint.base_url(None) == endpoint.LOCAL:
        return []  # a daemon of its own would have none
    try:
        found = Sandbox.list(timeout_seconds=_COMPLETION_SECONDS).result()
    except Exception:
        return []
    return [str(one.sandbox_id) for one in found if str(one.sandbox_id).startswith(incomplete)]


sandbox_argument = click.argument("sandbox_id", shell_complete=_running)
container_option = click.option(
    "--container", help="The container's name. Default: the only or primary one."
)
data_plane_mode_option = click.option(
    "--data-plane-mode",
    type=click.Choice(["auto", "gateway", "direct"], case_sensitive=False),
    default="auto",
    show_default=True,
    help="How to reach the sandbox.",
)
output_option = click.option(
    "-o",
    "--output",
    "output_format",
    type=click.Choice(["table", "json"], case_sensitive=False),
    default="table",
    show_default=True,
    help="Print it for people, or for programs.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Say nothing on success.")


def timeout_option(text: str) -> Callable[[_F], _F]:
    """``-t``, a number of seconds, explained like this."""
    return click.option("-t", "--timeout", type=SECONDS, help=text)


def json_value(value: object) -> object:
    """A value as JSON has it."""
    return value.isoformat() if isinstance(value, datetime) else value


def row(sandbox: Sandbox) -> dict[str, Any]:
    """The keys that a sandbox has in JSON wherever it is printed."""
    started = sandbox.started_at
    return {
        "sandbox_id": sandbox.sandbox_id,
        "status": None if sandbox.status is None else sandbox.status.value,
        "runner_id": sandbox.runner_id,
        "runner_group_id": sandbox.runner_group_id,
        "started_at": None if started is None else started.isoformat(),
    }


def exit_code(code: int) -> int:
    """What this program ends with for a command's code. One that the system cannot pass on must not become success."""
    return code if 0 <= code <= 255 else NO_CODE


def shown(value: object) -> str:
    """A value in a table."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S UTC")
    return "-" if value is None else str(value)
