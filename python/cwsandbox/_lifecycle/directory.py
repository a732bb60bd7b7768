"""Sandboxes by filter or id: list, look up, delete. On the policy loop only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox._lifecycle import delete as _delete
from cwsandbox._lifecycle.poll import NOT_FOUND_REASON
from cwsandbox._lifecycle.poll import OPERATION as GET_OPERATION
from cwsandbox._service.errors import to_exception
from cwsandbox._service.rpc import RpcFailure
from cwsandbox.exceptions import CWSandboxError

if TYPE_CHECKING:
    from cwsandbox._runtime.environment import Call, Environment

    Message = dict[str, Any]

LIST_OPERATION = "List sandboxes"
PAGES_MAX = 100


async def find(call: Call, env: Environment, filters: Message, timeout: float) -> list[Message]:
    """All Sandbox messages that pass the filters; ``timeout`` in seconds is for all pages together."""
    ends = env.clock() + timeout
    found: list[Message] = []
    token = ""
    seen: set[str] = set()
    for _ in range(PAGES_MAX):
        left = ends - env.clock()
        if left <= 0:
            raise CWSandboxError(f"{LIST_OPERATION} timed out after {timeout:g}s")
        request = {**filters, "page_token": token} if token else filters
        try:
            page = await call("ListSandboxes", request, left)
        except RpcFailure as failure:
            raise to_exception(failure, operation=LIST_OPERATION) from failure
        found.extend(page["sandboxes"])
        token = page["next_page_token"]
        if not token:
            return found
        if token in seen:
            raise CWSandboxError(
                f"{LIST_OPERATION}: pagination loop, the server repeated the token {token!r}"
            )
        seen.add(token)
    raise CWSandboxError(f"{LIST_OPERATION} exceeded {PAGES_MAX} pages")


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
