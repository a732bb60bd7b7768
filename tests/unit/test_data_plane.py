"""The policy of the direct data plane, against a scripted gateway and scripted endpoints in virtual time."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from cwsandbox import exceptions
from cwsandbox._lifecycle.data_plane import MOST_CONNECTED, DataPlane, Shares
from cwsandbox._messages.direct import PERMISSIONS
from cwsandbox._service.connection import Connection
from cwsandbox._service.rpc import Code
from cwsandbox._types.enums import DataPlaneMode
from unit.service import EPOCH, Reply, Service, environment, failure, now, received, run

ENDPOINT = "https://runner.example.com:4711"
MASK = sum(1 << number for number in PERMISSIONS)
HOUR = 3600.0


class Core:
    """Stands for the native side, and notes what it is told with the time."""

    def __init__(self) -> None:
        self.is_closed = False
        self.wants_serving = False
        self.has_missed = False
        self.direct: tuple[Any, int, float, bool] = (None, 0, 0.0, False)
        self.told: list[tuple[float, Any]] = []

    @property
    def is_served(self) -> bool:
        return not self.wants_serving and not self.has_missed

    def set_direct(self, channel: Any, permissions: int, seconds: float, strict: bool) -> None:
        self.has_missed = False
        self.direct = (channel, permissions, round(seconds, 3), strict)
        self.told.append((round(now(), 3), channel))


class Channel:
    """Equal to its number's name."""

    def __init__(self, number: int) -> None:
        self.name = f"channel {number}"
        self.is_refused = False

    def __eq__(self, other: object) -> bool:
        return other == self.name

    __hash__ = None  # type: ignore[assignment]


class World:
    """One gateway, its endpoints, and sandboxes' data planes."""

    def __init__(self, *replies: Reply) -> None:
        self.service = Service(ConnectSandbox=list(replies) or [connection()])
        self.env = environment()
        self.shares = Shares(now)
        self.dialled: list[tuple[float, str]] = []
        self.unreachable: set[str] = set()

    async def dial(
        self, endpoint: str, roots: bytes | None, chain: bytes, key: bytes, timeout: float
    ) -> Any:
        self.dialled.append((round(now(), 3), endpoint))
        assert key.startswith(b"-----BEGIN PRIVATE KEY-----")
        if endpoint in self.unreachable:
            await asyncio.sleep(timeout)
            raise ValueError(f"{endpoint} cannot be reached: no answer")
        return Channel(len(self.dialled))

    def plane(self, mode: str = "auto", gateway: str = "https://gw", timeout: float = 300.0) -> Any:
        core = Core()
        settings = Connection(
            base_url=gateway,
            auth=None,
            request_timeout=timeout,
            poll_retry_budget=30.0,
            poll_rpc_timeout=15.0,
            data_plane_mode=DataPlaneMode(mode),
        )
        cores: Any = lambda: [core]  # noqa: E731
        dial: Any = self.dial
        plane = DataPlane(cores, settings, self.service.call, self.env, self.shares, dial)
        plane.note_use()
        return plane, core

    @property
    def asked(self) -> list[float]:
        return self.service.times("ConnectSandbox")


def connection(seconds: float = HOUR, **changes: Any) -> Reply:
    """A reply whose certificate is valid for so long from when it is made."""

    async def reply(request: dict[str, Any]) -> dict[str, Any]:
        end = EPOCH + timedelta(seconds=now() + seconds)
        message = {
            "endpoint_uri": ENDPOINT,
            "client_certificate_chain_pem": b"chain",
            "server_ca_bundle_pem": b"roots",
            "expires_at": {"seconds": int(end.timestamp())},
            "transport": 1,
            "protocol": 1,
            "granted_permissions": request["requested_permissions"],
        }
        return received("SandboxConnection", {**message, **changes})

    return reply


Steps = Callable[[World], Coroutine[Any, Any, None]]


def play(steps: Steps, *replies: Reply) -> World:
    async def main() -> World:
        world = World(*replies)
        await steps(world)
        return world

    return run(main())


async def operations(plane: Any, core: Core, seconds: float) -> None:
    """An operation each second, each of which has policy code hear of it where it wants to."""
    for _ in range(int(seconds)):
        if core.wants_serving:
            plane.begin(core)
        await asyncio.sleep(1)


# ---- auto ----


def test_auto_one_certificate_until_it_is_renewed() -> None:
    async def steps(world: World) -> None:
        plane, core = world.plane()
        plane.adopt(core, "sb-1")
        assert core.wants_serving
        await operations(plane, core, 1.5 * HOUR)
        assert core.direct[:2] == ("channel 2", MASK)
        (sent, *_) = world.service.of("ConnectSandbox")
        assert sent.request["sandbox_id"] == "sb-1"
        assert sent.request["requested_permissions"] == list(PERMISSIONS)
        assert sent.timeout == 5.0
        # The old connection serves until there is the new one.
        assert [channel for _, channel in core.told if channel] == ["channel 1", "channel 2"]
        assert [channel for _, channel in core.told[1:]] == ["channel 1", "channel 2"]

    world = play(steps)
    assert world.asked == [0.0, HOUR - 30]


def test_auto_nothing_is_renewed_that_nobody_uses() -> None:
    async def steps(world: World) -> None:
        plane, core = world.plane()
        plane.adopt(core, "sb-1")
        plane.begin(core)
        await asyncio.sleep(10 * HOUR)
        assert core.wants_serving

    assert play(steps).asked == [0.0]


@pytest.mark.parametrize("code", [code for code in Code if code != Code.UNIMPLEMENTED])
def test_auto_a_failure_is_left_alone_for_a_while(code: Code) -> None:
    async def steps(world: World) -> None:
        plane, core = world.plane()
        plane.adopt(core, "sb-1")
        await operations(plane, core, 100)
        assert core.direct[0] is None

    world = play(steps, failure(code))
    assert world.asked == [0.0, 30.0, 60.0, 90.0]


def test_auto_a_gateway_without_one_is_asked_ever_more_rarely_by_all_together() -> None:
    async def steps(world: World) -> None:
        planes = [world.plane() for _ in range(3)]
        other = world.plane(gateway="https://other")
        for plane, core in (*planes, other):
            plane.adopt(core, "sb-1")
        for _ in range(4000):
            for plane, core in planes:
                if core.wants_serving:
                    plane.begin(core)
                    await asyncio.sleep(0)
            await asyncio.sleep(1)
        before = len(world.asked)
        other[0].begin(other[1])
        await asyncio.sleep(0.1)
        assert len(world.asked) == before + 1

    world = play(steps, failure(Code.UNIMPLEMENTED))
    later = sorted(set(world.asked[:-1]))
    pauses = [b - a for a, b in pairwise(later)]
    assert pauses == sorted(pauses)
    assert 600 <= max(pauses) < 605
    assert len(world.asked) < 20


def test_auto_an_endpoint_that_cannot_be_reached_is_tried_by_one_alone() -> None:
    async def steps(world: World) -> None:
        world.unreachable.add(ENDPOINT)
        first, second = world.plane(), world.plane()
        for plane, core in (first, second):
            plane.adopt(core, "sb-1")
        first[0].begin(first[1])
        await asyncio.sleep(11)
        second[0].begin(second[1])
        await asyncio.sleep(1)
        assert [endpoint for _, endpoint in world.dialled] == [ENDPOINT]
        world.unreachable.clear()
        await asyncio.sleep(30)
        assert second[1].wants_serving
        second[0].begin(second[1])
        await asyncio.sleep(1)
        assert second[1].direct[0] is not None

    play(steps)


def test_auto_a_lost_connection_is_made_again_but_not_at_once() -> None:
    async def steps(world: World) -> None:
        plane, core = world.plane()
        plane.adopt(core, "sb-1")
        plane.begin(core)
        await asyncio.sleep(1)
        core.has_missed = True
        plane.begin(core)
        assert core.direct[0] is None
        await operations(plane, core, 60)
        assert core.direct[0] == "channel 2"

    assert play(steps).asked == [0.0, 30.0]


def test_auto_the_word_of_an_operation_may_come_late() -> None:
    """Many begin together and miss a connection; the threads of some are slow to say so."""

    async def steps(world: World) -> None:
        plane, core = world.plane()
        plane.adopt(core, "sb-1")
        plane.begin(core)
        await asyncio.sleep(1)
        told = len(core.told)
        plane.begin(core)
        await asyncio.sleep(1)
        assert core.direct[0] == "channel 1"
        # Nor does it hurry or hinder the renewal.
        assert len(core.told) == told
        await operations(plane, core, HOUR)
        assert core.direct[0] == "channel 2"

    assert play(steps).asked == [0.0, HOUR - 30]


def test_strict_the_last_time_the_gateway_is_asked_it_may_take_as_long() -> None:
    async def slow(request: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(4)
        raise failure(Code.UNAVAILABLE)

    async def steps(world: World) -> None:
        plane, _ = world.plane("direct")
        with pytest.raises(exceptions.SandboxUnavailableError, match="scripted"):
            await plane.require("sb-1")

    world = play(steps, slow)
    assert {call.timeout for call in world.service.of("ConnectSandbox")} == {5.0}


def test_auto_what_is_closed_does_not_begin_again() -> None:
    async def steps(world: World) -> None:
        plane, core = world.plane()
        plane.adopt(core, "sb-1")
        plane.begin(core)
        plane.close()
        core.is_closed = True
        late = Core()
        plane.adopt(late, "sb-1")
        plane.begin(late)
        await asyncio.sleep(HOUR)
        assert not late.wants_serving
        assert late.direct[0] is None

    assert play(steps).dialled == []


def test_the_oldest_lets_go_for_the_newest() -> None:
    async def steps(world: World) -> None:
        planes = [world.plane() for _ in range(MOST_CONNECTED + 2)]
        for plane, core in planes:
            plane.adopt(core, "sb-1")
            plane.begin(core)
            await asyncio.sleep(0.1)
        connected = [core.direct[0] is not None for _, core in planes]
        assert connected == [False, False, *[True] * MOST_CONNECTED]
        assert len(world.shares.connected) == MOST_CONNECTED
        del planes, plane, core
        gc.collect()
        assert len(world.shares.connected) == 0

    play(steps)


# ---- direct ----


def test_strict_those_who_wait_share_the_outcome() -> None:
    async def steps(world: World) -> None:
        plane, core = world.plane("direct")
        assert not plane.is_up
        await asyncio.gather(*(plane.require("sb-1") for _ in range(5)))
        assert plane.is_up
        assert core.direct == ("channel 1", MASK, HOUR, True)

    assert play(steps).asked == [0.0]


def test_strict_unavailable_is_asked_again_for_ten_seconds() -> None:
    async def steps(world: World) -> None:
        plane, _ = world.plane("direct")
        with pytest.raises(exceptions.SandboxUnavailableError, match="directly"):
            await plane.require("sb-1")

    world = play(steps, failure(Code.UNAVAILABLE))
    assert world.asked[:6] == [0.0, 0.2, 0.6, 1.4, 2.4, 3.4]
    assert world.asked[-1] == 10.0
    assert world.service.of("ConnectSandbox")[0].timeout == 5.0


def test_strict_a_shorter_request_timeout_counts() -> None:
    async def steps(world: World) -> None:
        plane, _ = world.plane("direct", timeout=2.0)
        with pytest.raises(exceptions.SandboxUnavailableError):
            await plane.require("sb-1")
        assert round(now(), 3) == 2.0

    assert play(steps, failure(Code.UNAVAILABLE)).service.of("ConnectSandbox")[0].timeout == 2.0


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (Code.FAILED_PRECONDITION, "SandboxUnavailableError"),
        (Code.UNIMPLEMENTED, "SandboxUnavailableError"),
        (Code.UNAUTHENTICATED, "CWSandboxAuthenticationError"),
        (Code.NOT_FOUND, "SandboxNotFoundError"),
        (Code.INTERNAL, "SandboxError"),
    ],
)
def test_strict_other_failures_are_told_at_once(code: Code, name: str) -> None:
    async def steps(world: World) -> None:
        plane, _ = world.plane("direct")
        with pytest.raises(exceptions.CWSandboxError) as caught:
            await plane.require("sb-1")
        assert type(caught.value).__name__ == name

    assert play(steps, failure(code)).asked == [0.0]


def test_strict_ignores_what_others_have_met() -> None:
    async def steps(world: World) -> None:
        world.unreachable.add(ENDPOINT)
        for plane, _ in (world.plane("direct"), world.plane("direct")):
            with pytest.raises(exceptions.SandboxUnavailableError, match="no answer"):
                await plane.require("sb-1")

    assert [at for at, _ in play(steps).dialled] == [0.0, 10.0]


def test_strict_a_certificate_that_has_expired_is_none() -> None:
    async def steps(world: World) -> None:
        plane, core = world.plane("direct")
        await plane.require("sb-1")
        await asyncio.sleep(HOUR - 10)
        assert not plane.is_up
        await plane.require("sb-1")
        assert core.direct[0] == "channel 2"

    play(steps)


def test_strict_a_renewal_that_fails_is_tried_again_soon() -> None:
    async def steps(world: World) -> None:
        plane, core = world.plane("direct")
        await plane.require("sb-1")
        await operations(plane, core, HOUR - 1)
        assert core.direct[0] == "channel 2"

    replies = (connection(), failure(Code.UNAVAILABLE), connection())
    assert play(steps, *replies).asked == [0.0, HOUR - 30, HOUR - 25]


def test_strict_a_channel_that_refused_is_none() -> None:
    async def steps(world: World) -> None:
        plane, core = world.plane("direct")
        await plane.require("sb-1")
        core.direct[0].is_refused = True
        assert not plane.is_up
        await plane.require("sb-1")
        assert core.direct[0] == "channel 2"

    play(steps)


def test_strict_who_lets_go_holds_operations_back() -> None:
    async def steps(world: World) -> None:
        plane, core = world.plane("direct")
        await plane.require("sb-1")
        plane.let_go()
        assert core.direct == (None, 0, 0.0, True)
        assert not plane.is_up

    play(steps)
