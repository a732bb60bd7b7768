"""Operations that an endpoint has refused in mode "direct", brought to whoever can make another connection.

They wait in the core, which is the only one to know of them: no operation begins that would tell.
"""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING

from cwsandbox import _cwsandbox
from cwsandbox._runtime import life, loop

if TYPE_CHECKING:
    import asyncio

_task: asyncio.Task[None] | None = None
_is_served = _has_hook = False


def serve() -> None:
    """From now on, have ``on_refused`` of the cores called on the policy loop. Cheap where it is done already."""
    global _is_served, _has_hook
    if _is_served:
        return
    with life.lock():
        if _is_served:
            return
        if not _has_hook:
            life.when_forked(_forget)
            _has_hook = True
        # In a context of its own: what it begins belongs to others.
        contextvars.Context().run(loop.policy().call, _begin)
        _is_served = True


def _begin() -> None:
    global _task
    import asyncio

    _task = asyncio.get_running_loop().create_task(_serve())


async def _serve() -> None:
    async for core in _cwsandbox.Refusals():
        assert core.on_refused is not None
        core.on_refused()


def _forget() -> None:
    global _is_served
    _is_served = False
