"""Requests about what is no sandbox: each with a client of its own."""

from __future__ import annotations

from cwsandbox._runtime import loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    from cwsandbox._cwsandbox import OperationRef
    from cwsandbox._runtime.environment import Call, Environment
    from cwsandbox._service.connection import Connection

    T = TypeVar("T")
    Making = Callable[[Call, Environment, float], Coroutine[Any, Any, T]]


def submit(connection: Connection, make: Making[T]) -> OperationRef[T]:
    """Run a coroutine on the policy loop; it gets the way to call the service, and the request timeout."""

    async def operation() -> T:
        from cwsandbox._runtime import environment
        from cwsandbox._service.client import Client

        call = Client(connection).call
        return await make(call, environment.real(), connection.request_timeout)

    return loop.submit(operation)
