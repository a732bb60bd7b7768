"""Waiting until the service has something ready: a snapshot, a volume. On the policy loop only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cwsandbox._lifecycle.transient import BUDGET, repeated
from cwsandbox.exceptions import SandboxRequestTimeoutError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cwsandbox._runtime.environment import Environment
    from cwsandbox.exceptions import SandboxTimeoutError


async def until_ready(
    look: Callable[[float], Awaitable[bool]],
    env: Environment,
    *,
    limit: float,
    look_timeout: float,
    pause: Callable[[], float],
    what: str,
    late: Callable[[str], SandboxTimeoutError],
    late_counts: bool = False,
) -> None:
    """Call ``look`` until it gives True, for ``limit`` seconds at most. ``what``, for messages, is looked at.

    - ``look``: one request. It gets its time limit in seconds and raises when there is nothing to wait for any more.
    - ``look_timeout``: the most that one look may take, in seconds.
    - ``pause``: how many seconds to wait before the next look.
    - ``late``: makes the error to raise when the time is over.
    - ``late_counts``: whether a True that comes after the time counts all the same.

    Failures that may pass are repeated as in ``repeated``. The last one is raised when that does not help, also if the
    time is over by then: a service that does not answer is another fault than one that takes too long.
    """
    ends = env.clock() + limit

    def too_late() -> SandboxTimeoutError:
        error = late(f"{what} was not ready within {limit:g}s")
        error.timeout = limit
        return error

    async def attempt(_: int) -> bool:
        left = ends - env.clock()
        if left <= 0:
            raise too_late()
        return await look(min(look_timeout, left))

    while True:
        try:
            is_ready = await repeated(attempt, env, min(BUDGET, ends - env.clock()))
        except SandboxRequestTimeoutError as error:
            if env.clock() < ends:
                raise
            raise too_late() from error
        left = ends - env.clock()
        if is_ready and (late_counts or left > 0):
            return
        if left <= 0:
            raise too_late()
        await env.sleep(min(pause(), left))
