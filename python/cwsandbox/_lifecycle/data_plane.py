"""One sandbox's direct data plane: its certificate, its connection, and which operations go there.

In mode "auto" nobody waits for it. The gateway serves from the start; the first operation has a connection made beside
it, and later operations take that as long as it stands. In mode "direct" operations wait until there is one. On the
policy loop only.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from weakref import ref

from cwsandbox._lifecycle.shared import Shared
from cwsandbox._messages import direct as messages
from cwsandbox._runtime import life
from cwsandbox._service import direct as service
from cwsandbox._service.errors import to_exception
from cwsandbox._service.rpc import Code, RpcFailure
from cwsandbox._types.enums import DataPlaneMode
from cwsandbox._types.record import Record
from cwsandbox.exceptions import CWSandboxError, SandboxProtocolError, SandboxUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from cwsandbox._cwsandbox import Channel, SandboxCore
    from cwsandbox._runtime.environment import Call, Environment
    from cwsandbox._service.connection import Connection

    Dial = Callable[[str, bytes | None, bytes, bytes, float], Awaitable[Channel]]

_log = logging.getLogger("cwsandbox")

CALL_LIMIT = 5.0
CONNECT_LIMIT = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 1.0
# After a renewal that failed, while the old certificate is still good.
_RENEWAL_PAUSE = 5.0
MOST_CONNECTED = 64
# The statuses that say only that this way is closed.
_CLOSED = (
    Code.DEADLINE_EXCEEDED,
    Code.FAILED_PRECONDITION,
    Code.RESOURCE_EXHAUSTED,
    Code.UNAVAILABLE,
    Code.UNIMPLEMENTED,
)


class Link(Record):
    """A connection, and until when (on the loop's clock) its certificate permits what."""

    channel: Channel
    permissions: int
    ends: float


class Shares:
    """What the data planes of a process know together: which gateways have none, which endpoints cannot be reached,
    and who is connected."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.gateways = service.BackOff(clock, service.LONGEST)
        self.endpoints = service.BackOff(clock, service.COOL_DOWN)
        self.connected: OrderedDict[ref[DataPlane], None] = OrderedDict()

    def admit(self, plane: DataPlane) -> None:
        """The newest may stay; beyond so many the oldest lets go."""
        self.connected[ref(plane, self._forget)] = None
        while len(self.connected) > MOST_CONNECTED:
            oldest, _ = self.connected.popitem(last=False)
            if (before := oldest()) is not None:
                before.let_go()

    def remove(self, plane: DataPlane) -> None:
        self._forget(ref(plane))

    def _forget(self, gone: ref[DataPlane]) -> None:
        self.connected.pop(gone, None)


class DataPlane:
    """``cores`` are those whose operations it is for. ``call`` asks the gateway; ``dial`` connects to an endpoint."""

    def __init__(
        self,
        cores: Callable[[], Iterable[SandboxCore]],
        connection: Connection,
        call: Call,
        env: Environment,
        shares: Shares,
        dial: Dial = service.dial,
    ) -> None:
        self.is_strict = connection.data_plane_mode is DataPlaneMode.DIRECT
        self._all_cores = cores
        # Known once the sandbox is.
        self.sandbox_id = ""
        self._gateway = connection.base_url
        self._limit = connection.request_timeout
        self._call = call
        self._env = env
        self._shares = shares
        self._dial = dial
        self._link: Link | None = None
        self._not_before = 0.0
        self._is_used = False
        self._is_closed = False
        self._alarm: asyncio.TimerHandle | None = None
        self._connecting = Shared(self._connect_beside)
        self._requiring = Shared(self._require)

    # ---- what others ask for ----

    @property
    def is_up(self) -> bool:
        """Whether operations that begin now have a way."""
        link = self._valid_link()
        return not self.is_strict or (
            link is not None and link.ends - self._env.clock() > messages.SKEW / 2
        )

    def adopt(self, core: SandboxCore, sandbox_id: str) -> None:
        """Tell a core that is about to be opened how its operations may go."""
        self.sandbox_id = sandbox_id
        link = self._valid_link()
        if link is not None:
            self._give(core, link)
        elif self.is_strict:
            core.set_direct(None, 0, 0.0, True)
        else:
            core.wants_serving = not self._is_closed

    def note_use(self) -> None:
        """An operation has begun that cannot go directly yet."""
        self._is_used = True

    def begin(self, core: SandboxCore) -> None:
        """Some operation of ``core`` could go directly, and does not, or will not for long: make a connection, unless
        it is too early to try again. Nobody waits for it."""
        if self._is_closed:
            return
        if not self._is_used:
            # For one operation alone it is not worth it.
            self._is_used = True
            return
        link = self._valid_link()
        if link is None or not self._is_due(link):
            if link is not None and core.is_served:
                # The operation began before there was this connection, and its thread was slow to say so.
                return
            # What is there has been lost. Until there is another one, nobody needs to be told of that.
            self._drop()
        wait = self._wait()
        if wait > 0 and not self._connecting.runs:
            self._wake_in(wait)
            return
        self._wake_in(None)
        self._connecting.begin()

    async def require(self, sandbox_id: str) -> None:
        """Make a connection, and fail if there cannot be one; for mode "direct". Those who come meanwhile share it.

        ``SandboxUnavailableError``: there is no direct way now. Other ``CWSandboxError``: the gateway refuses.
        """
        self.sandbox_id = sandbox_id
        if not self.is_up:
            await self._requiring.join()

    def let_go(self) -> None:
        """Use no connection any more, until there is a need for it again. What runs goes on."""
        self._shares.remove(self)
        self._link = None
        if self.is_strict:
            for core in self._cores():
                core.set_direct(None, 0, 0.0, True)
        else:
            self._not_before = self._env.clock() + service.COOL_DOWN
            self._drop()
            self._wake_in(service.COOL_DOWN)

    def close(self) -> None:
        """The sandbox has ended."""
        self._is_closed = True
        self._wake_in(None)
        self._link = None
        self._shares.remove(self)
        self._connecting.cancel()
        self._requiring.cancel()

    # ---- telling the cores ----

    def _cores(self) -> list[SandboxCore]:
        return [core for core in self._all_cores() if not core.is_closed]

    def _give(self, core: SandboxCore, link: Link) -> None:
        left = link.ends - self._env.clock()
        core.set_direct(link.channel, link.permissions, max(left, 0.0), self.is_strict)
        core.wants_serving = False

    def _drop(self) -> None:
        if self.is_strict:
            return
        self._link = None
        for core in self._cores():
            core.set_direct(None, 0, 0.0, False)

    def _wake_in(self, seconds: float | None) -> None:
        """Hear of operations after so many seconds, and not before. None: not at all."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if seconds is not None:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(seconds, _wake, ref(self))
        for core in self._cores():
            core.wants_serving = False

    def _valid_link(self) -> Link | None:
        link = self._link
        if link is None or link.channel.is_refused or link.ends <= self._env.clock():
            return None
        return link

    def _is_due(self, link: Link) -> bool:
        return link.ends - self._env.clock() <= messages.SKEW

    def _wait(self) -> float:
        own = self._not_before - self._env.clock()
        return max(own, self._shares.gateways.wait(self._gateway))

    # ---- connecting ----

    async def _connect_beside(self) -> None:
        self._not_before = self._env.clock() + service.COOL_DOWN
        try:
            link = await self._link_once(CALL_LIMIT)
        except (RpcFailure, ValueError, CWSandboxError) as failure:
            _log.debug("sandbox %s: no direct data plane: %s", self.sandbox_id, failure)
            if self._valid_link() is not None:
                self._not_before = self._env.clock() + _RENEWAL_PAUSE
            self._wake_in(max(self._wait(), 0.0))
            return
        self._use(link)

    def _use(self, link: Link) -> None:
        if self._is_closed and not self.is_strict:
            return
        self._link = link
        for core in self._cores():
            self._give(core, link)
        self._wake_in(max(link.ends - self._env.clock() - messages.SKEW, 0.0))
        self._shares.admit(self)

    async def _require(self) -> None:
        try:
            link = await self._link_retried()
        except ValueError as failure:
            raise self._unavailable(failure) from failure
        except RpcFailure as failure:
            if failure.code in _CLOSED:
                raise self._unavailable(failure) from failure
            raise to_exception(
                failure,
                operation="Connect to sandbox data plane",
                sandbox_id=self.sandbox_id,
            ) from failure
        self._use(link)

    def _unavailable(self, failure: Exception) -> SandboxUnavailableError:
        return SandboxUnavailableError(
            f"Sandbox {self.sandbox_id!r} cannot be reached directly, as data_plane_mode "
            f"'direct' demands: {failure}"
        )

    async def _link_retried(self) -> Link:
        """Asks again as long as the gateway says that it cannot answer now. The last time it may take as long as the
        first, so that what it says is told, and not that it was cut short."""
        ends = self._env.clock() + min(self._limit, CONNECT_LIMIT)
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._link_once(min(self._limit, CALL_LIMIT))
            except RpcFailure as failure:
                left = ends - self._env.clock()
                if failure.code != Code.UNAVAILABLE or left <= 0:
                    raise
            await self._env.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _link_once(self, limit: float) -> Link:
        """``RpcFailure`` of the gateway; ``ValueError``: what it gives cannot be used."""
        key, csr = service.new_request()
        asked = messages.request(self.sandbox_id, csr)
        reply = await self._asked(asked, limit)
        grant = messages.grant(reply, self._env.now())
        if not grant.permissions:
            raise ValueError("it permits nothing")
        ends = self._env.clock() + grant.seconds
        endpoints = self._shares.endpoints
        if not self.is_strict and endpoints.wait(grant.endpoint) > 0:
            raise ValueError(f"{grant.endpoint} could not be reached a moment ago")
        try:
            channel = await self._dial(
                grant.endpoint,
                grant.roots_pem,
                grant.chain_pem,
                key,
                min(self._limit, CONNECT_LIMIT),
            )
        except ValueError:
            endpoints.note_failure(grant.endpoint)
            raise
        endpoints.note_success(grant.endpoint)
        return Link(channel, grant.permissions, ends)

    async def _asked(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        gateways = self._shares.gateways
        try:
            reply = await self._call("ConnectSandbox", request, limit)
        except RpcFailure as failure:
            if failure.code == Code.UNIMPLEMENTED:
                gateways.note_failure(self._gateway)
            raise
        except SandboxProtocolError as error:
            raise ValueError(str(error)) from error
        gateways.note_success(self._gateway)
        return reply


def _wake(plane: ref[DataPlane]) -> None:
    # A sandbox that nobody has any more needs no waking.
    if (living := plane()) is not None:
        for core in living._cores():
            core.wants_serving = True


_shared: dict[int, Shares] = {}


def shares(env: Environment) -> Shares:
    """Those of this process: a forked child has others than its parent."""
    return _shared.setdefault(life.generation(), Shares(env.clock))
