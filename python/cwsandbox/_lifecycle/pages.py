"""Lists that the service gives page by page. On the policy loop only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox.exceptions import CWSandboxError

if TYPE_CHECKING:
    from cwsandbox._runtime.environment import Call, Environment

    Message = dict[str, Any]

PAGES_MAX = 100


async def every(
    call: Call,
    env: Environment,
    method: str,
    request: Message,
    field: str,
    *,
    operation: str,
    timeout: float,
    fault: type[CWSandboxError] = CWSandboxError,
) -> list[Message]:
    """What ``field`` has on all pages; ``timeout`` in seconds is for all of them together.

    Raises ``RpcFailure`` for a call that fails, and ``fault`` with a text that begins with ``operation`` for a list
    that takes too long or has no end.
    """
    ends = env.clock() + timeout
    found: list[Message] = []
    token = ""
    seen: set[str] = set()
    for _ in range(PAGES_MAX):
        left = ends - env.clock()
        if left <= 0:
            raise fault(f"{operation} timed out after {timeout:g}s")
        page = await call(method, {**request, "page_token": token} if token else request, left)
        found.extend(page[field])
        token = page["next_page_token"]
        if not token:
            return found
        if token in seen:
            raise fault(f"{operation}: pagination loop, the server repeated the token {token!r}")
        seen.add(token)
    raise fault(f"{operation} exceeded {PAGES_MAX} pages")
