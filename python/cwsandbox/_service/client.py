"""Calls to the service with the credentials of one sandbox or one request. On the policy loop only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox import _cwsandbox
from cwsandbox._service import auth as _auth
from cwsandbox._service import endpoint, errors
from cwsandbox.exceptions import SandboxProtocolError

if TYPE_CHECKING:
    from cwsandbox._service.auth import Metadata
    from cwsandbox._service.connection import Connection

    Message = dict[str, Any]


class Client:
    """Finds address and credentials at the first call and keeps them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: _cwsandbox.Channel | None = None

    async def channel(self) -> _cwsandbox.Channel:
        """The native channel. ``ValueError`` for a bad base URL; ``CWSandboxAuthenticationError``."""
        if self._channel is None:
            url = self._connection.base_url
            target = await _local_target() if url == endpoint.LOCAL else endpoint.target(url)
            self._channel = _cwsandbox.Channel(target, metadata=await self._metadata())
        return self._channel

    @property
    def opened(self) -> _cwsandbox.Channel:
        """The channel, after a call was made."""
        assert self._channel is not None
        return self._channel

    async def call(self, method: str, request: Message, timeout: float) -> Message:
        """One unary call of ``SandboxService``; ``timeout`` in seconds. Raises ``RpcFailure``."""
        channel = await self.channel()
        operation = channel.unary(f"SandboxService/{method}", request, timeout)
        try:
            return await operation
        except _cwsandbox.RpcError as error:
            raise errors.failure_of(error, _cwsandbox._message_unpack) from None
        except ValueError as error:
            subject = request.get("sandbox_id") or "the request"
            raise SandboxProtocolError(
                f"{method}: the reply for {subject!r} could not be decoded: {error}"
            ) from error

    async def _metadata(self) -> Metadata:
        auth, url = self._connection.auth, self._connection.base_url
        if not _auth.runs_foreign_code(auth):
            return _auth.metadata(auth, url)
        import asyncio

        return await asyncio.to_thread(_auth.metadata, auth, url)


async def _local_target() -> str:
    import asyncio

    from cwsandbox._service import local

    return await asyncio.to_thread(local.target)
