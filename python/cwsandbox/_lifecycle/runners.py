"""Runners by filter or id. On the policy loop only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox._lifecycle import pages
from cwsandbox._messages import runners as messages
from cwsandbox._service.errors import to_discovery_exception
from cwsandbox._service.rpc import RpcFailure
from cwsandbox.exceptions import DiscoveryError

if TYPE_CHECKING:
    from cwsandbox._runtime.environment import Call, Environment
    from cwsandbox._types.runner import Runner

    Message = dict[str, Any]

# Seconds, for all pages together.
TIMEOUT = 30.0


async def find(call: Call, env: Environment, request: Message) -> list[Runner]:
    """All runners that pass the filters of the request. Raises ``DiscoveryError`` and what is below it."""
    operation = "List runners"
    try:
        found = await pages.every(
            call,
            env,
            "DiscoveryService/ListAvailableRunners",
            request,
            "runners",
            operation=operation,
            timeout=TIMEOUT,
            fault=DiscoveryError,
        )
    except RpcFailure as failure:
        raise to_discovery_exception(failure, operation=operation) from failure
    return [messages.runner(message) for message in found]


async def get(call: Call, request: Message) -> Runner:
    """One runner."""
    try:
        found = await call("DiscoveryService/GetAvailableRunner", request, TIMEOUT)
    except RpcFailure as failure:
        raise to_discovery_exception(
            failure, operation="Get runner", runner_id=request["runner_id"]
        ) from failure
    return messages.runner(found)
