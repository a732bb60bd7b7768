"""The coroutines behind ``Sandbox.list()``, ``from_id()`` and ``delete()``. On the policy loop only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox._lifecycle import directory
from cwsandbox._runtime import environment
from cwsandbox._service.client import Client

if TYPE_CHECKING:
    from cwsandbox._service.connection import Connection

    Message = dict[str, Any]


async def find(connection: Connection, filters: Message) -> tuple[Client, list[Message]]:
    """The Sandbox messages that pass the filters, and the client that got them."""
    client = Client(connection)
    timeout = connection.request_timeout
    return client, await directory.find(client.call, environment.real(), filters, timeout)


async def get(connection: Connection, sandbox_id: str) -> tuple[Client, Message]:
    """The Sandbox message of one sandbox, and the client that got it."""
    client = Client(connection)
    return client, await directory.get(client.call, sandbox_id, connection.request_timeout)


async def delete(connection: Connection, sandbox_id: str, missing_ok: bool) -> None:
    """Kill a sandbox at once. Does not wait for its end."""
    await directory.delete(
        Client(connection).call,
        environment.real(),
        sandbox_id,
        missing_ok=missing_ok,
        timeout=connection.request_timeout,
    )
