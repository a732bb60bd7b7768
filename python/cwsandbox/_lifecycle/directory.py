"""Sandboxes by filter or id: list, look up, delete. On the policy loop only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox._lifecycle import delete as _delete
from cwsandbox._lifecycle import pages
from cwsandbox._lifecycle.poll import NOT_FOUND_REASON
from cwsandbox._lifecycle.poll import OPERATION as GET_OPERATION
from cwsandbox._service.errors import to_exception
from cwsandbox._service.rpc import RpcFailure

if TYPE_CHECKING:
    from cwsandbox._runtime.environment import Call, Environment

    Message = dict[str, Any]

LIST_OPERATION = "List sandboxes"


async def find(call: Call, env: Environment, filters: Message, timeout: float) -> list[Message]:
    """All Sandbox messages that pass the filters; ``timeout`` in seconds is for all pages together."""
    try:
        return await pages.every(
            call,
            env,
            "ListSandboxes",
            filters,
            "sandboxes",
            operation=LIST_OPERATION,
            timeout=timeout,
        )
    except RpcFailure as failure:
        raise to_exception(failure, operation=LIST_OPERATION) from failure


async def get(call: Call, sandbox_id: str, timeout: float) -> Message:
    """The Sandbox message of one sandbox."""
    try:
        return await call("GetSandbox", {"sandbox_id": sandbox_id}, timeout)
    except RpcFailure as failure:
        raise to_exception(failure, operation=GET_OPERATION, sandbox_id=sandbox_id) from failure


async def delete(
    call: Call, env: Environment, sandbox_id: str, *, missing_ok: bool, timeout: float
) -> None:
    """Kill a sandbox at once. Does not wait for its end."""
    try:
        await _delete.delete(call, env, sandbox_id, timeout=timeout)
    except RpcFailure as failure:
        if not (missing_ok and failure.is_not_found(NOT_FOUND_REASON)):
            raise to_exception(
                failure, operation=_delete.OPERATION, sandbox_id=sandbox_id
            ) from failure
