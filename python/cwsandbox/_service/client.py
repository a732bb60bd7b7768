"""Calls to the service with the credentials of one sandbox or one request. On the policy loop only."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cwsandbox import _cwsandbox
from cwsandbox._runtime.threads import Call
from cwsandbox._service import auth, endpoint, errors
from cwsandbox._service.rpc import Code, RpcFailure
from cwsandbox.exceptions import CWSandboxAuthenticationError, SandboxProtocolError

if TYPE_CHECKING:
    from cwsandbox._service.auth import Metadata
    from cwsandbox._service.connection import Connection

    Message = dict[str, Any]


class Client:
    """Finds address and credentials at the first call and keeps them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: _cwsandbox.Channel | None = None
        self._finding: Call[tuple[str, Metadata]] | None = None

    async def channel(self, timeout: float) -> _cwsandbox.Channel:
        """The native channel. Raises what a provider of credentials raises, ``RpcFailure`` when it takes too long,
        ``CWSandboxAuthenticationError`` for what it gives, and ``ValueError`` for a bad base URL.
        """
        if self._channel is None:
            local = self._connection.base_url == endpoint.LOCAL
            if local or auth.runs_foreign_code(self._connection.auth):
                found = await self._find_beside(timeout)
            else:
                found = self._find()
            if self._channel is None:
                self._channel = _channel(*found)
        return self._channel

    @property
    def opened(self) -> _cwsandbox.Channel:
        """The channel, after a call was made."""
        assert self._channel is not None
        return self._channel

    async def knows(self, extension: str, timeout: float) -> bool:
        """Whether the service has named the extension in its last answer. Asks nothing, but raises as ``channel()``."""
        return (await self.channel(timeout)).knows(extension)

    async def call(self, method: str, request: Message, timeout: float) -> Message:
        """One unary call: ``method`` of ``SandboxService``, or a ``Service/Method``. Raises ``RpcFailure``.

        ``timeout`` in seconds is also for finding the credentials, at the first call.
        """
        clock = asyncio.get_running_loop().time
        ends = clock() + timeout
        channel = await self.channel(timeout)
        left = ends - clock()
        path = method if "/" in method else f"SandboxService/{method}"
        operation = channel.unary(path, request, max(left, 0.0))
        try:
            return await operation
        except _cwsandbox.RpcError as error:
            raise errors.failure_of(error, _cwsandbox._message_unpack) from None
        except ValueError as error:
            subject = request.get("sandbox_id") or "the request"
            raise SandboxProtocolError(
                f"{method}: the reply for {subject!r} could not be decoded: {error}"
            ) from error

    def _find(self) -> tuple[str, Metadata]:
        """The address to connect to, and the credentials."""
        url = self._connection.base_url
        if url == endpoint.LOCAL:
            from cwsandbox._service import local

            target = local.target()
        else:
            target = endpoint.target(url)
        return target, auth.metadata(self._connection.auth, url)

    async def _find_beside(self, timeout: float) -> tuple[str, Metadata]:
        """As ``_find()``, on another thread. Calls that come meanwhile wait for the same one."""
        call = self._finding
        # A failure that came when nobody waited any more is nobody's; an answer is as good as a new one.
        if call is None or call.is_withdrawn or call.has_failed:
            call = self._finding = Call(self._find)
        try:
            return await call.result(timeout)
        except TimeoutError as error:
            if call.is_done:
                raise  # the provider's own
            raise RpcFailure(
                Code.DEADLINE_EXCEEDED,
                Code.DEADLINE_EXCEEDED.name,
                f"{self._whom()} did not answer within {timeout:g}s",
            ) from error
        finally:
            if call.is_done and self._finding is call:
                self._finding = None

    def _whom(self) -> str:
        """Whom a call waits for before it is sent."""
        if auth.runs_foreign_code(self._connection.auth):
            return auth.describe(self._connection.auth)
        return "the local sandbox daemon"


def _channel(target: str, metadata: Metadata) -> _cwsandbox.Channel:
    try:
        return _cwsandbox.Channel(target, metadata=metadata)
    except ValueError as error:
        _cwsandbox.Channel(target)  # which raises it again if it is about the target
        raise CWSandboxAuthenticationError(f"the credentials cannot be sent: {error}") from error
