"""The delete call, which also is what stops a sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox._lifecycle.poll import NOT_FOUND_REASON
from cwsandbox._service.retry import server_delay
from cwsandbox._service.rpc import RpcFailure

if TYPE_CHECKING:
    from cwsandbox._runtime.environment import Call, Environment

    Message = dict[str, Any]

OPERATION = "Delete sandbox"


async def delete(
    call: Call,
    env: Environment,
    sandbox_id: str,
    *,
    grace: int = 0,
    allow_missing: bool = False,
    timeout: float,
) -> Message | None:
    """Send DeleteSandbox; ``grace`` and ``timeout`` in seconds. Raises ``RpcFailure``.

    Repeated when the server asks for it. None when the sandbox turned out to be gone: the repeated call found nothing,
    since an earlier one had its effect.
    """
    request: Message = {"sandbox_id": sandbox_id}
    if grace:
        request["grace_period_seconds"] = grace
    if allow_missing:
        request["allow_missing"] = True
    ends = env.clock() + timeout
    attempt = 1
    while True:
        try:
            return await call("DeleteSandbox", request, ends - env.clock())
        except RpcFailure as failure:
            if attempt > 1 and failure.is_not_found(NOT_FOUND_REASON):
                return None
            delay = server_delay(failure, attempt, ends - env.clock(), env.uniform)
            if delay is None:
                raise
        await env.sleep(delay)
        attempt += 1
