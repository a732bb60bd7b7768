"""A create that the service has accepted, and whose answer does not arrive: no sandbox is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from conformance.grpc_peer import GrpcPeer
from conformance.relay import Relay
from cwsandbox import (
    Sandbox,
    SandboxDefaults,
    SandboxRequestTimeoutError,
    SandboxStatus,
    SandboxUnavailableError,
    Session,
)
from integration.env import eventually

FILE = b"services: {web: {image: nginx}}"


class Service:
    """Knows the sandboxes that it has made by their request ids. The first create of each is not answered."""

    def __init__(self, peer: GrpcPeer) -> None:
        self.made: dict[str, str] = {}
        self.alive: set[str] = set()
        self.base_url = peer.base_url
        self.unanswered: Callable[[Any], Any] = self._say_nothing
        self._peer = peer
        for method in ("CreateSandbox", "CreateSandboxFromTemplate", "CreateSandboxFromFile"):
            peer.overrides[method] = self._create
        peer.overrides["DeleteSandbox"] = self._delete

    async def _create(self, request: Any, context: Any) -> Any:
        is_new = request.request_id not in self.made
        sandbox_id = self.made.setdefault(request.request_id, f"sb-{len(self.made)}")
        if is_new:
            self.alive.add(sandbox_id)
            await self.unanswered(context)
        return self._peer._sandbox(sandbox_id, self._peer.pb.STATE_CREATING)

    async def _say_nothing(self, context: Any) -> None:
        await asyncio.Event().wait()

    async def _delete(self, request: Any, context: Any) -> Any:
        self.alive.discard(request.sandbox_id)
        return await self._peer._delete(request, context)

    def has_none(self) -> bool:
        return bool(self.made) and not self.alive


def times_out(service: Service) -> type[Exception]:
    return SandboxRequestTimeoutError


def is_late_itself(service: Service) -> type[Exception]:
    async def say_so(context: Any) -> None:
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "a backend was late")

    service.unanswered = say_so
    return SandboxRequestTimeoutError


def loses_the_connection(service: Service) -> type[Exception]:
    relay = Relay(service.base_url.replace("localhost", "127.0.0.1"))

    async def cut(context: Any) -> None:
        await asyncio.to_thread(relay.cut)
        await asyncio.Event().wait()

    service.base_url = relay.url
    service.unanswered = cut
    return SandboxUnavailableError


FAILURES = [times_out, is_late_itself, loses_the_connection]


@pytest.fixture
def service(grpc_peer: GrpcPeer) -> Service:
    return Service(grpc_peer)


@pytest.fixture
def failure(
    service: Service, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[type[Exception], SandboxDefaults]:
    """What is raised, and the settings for that."""
    kind = request.param(service)
    monkeypatch.setenv("CWSANDBOX_BASE_URL", service.base_url)
    seconds = 0.5 if kind is SandboxRequestTimeoutError else 60.0
    return kind, SandboxDefaults(request_timeout_seconds=seconds)


Failure = tuple[type[Exception], SandboxDefaults]


def enter(defaults: SandboxDefaults) -> None:
    with Sandbox(defaults=defaults):
        raise AssertionError


def start_and_stop(defaults: SandboxDefaults) -> None:
    sandbox = Sandbox(defaults=defaults)
    try:
        sandbox.start().result()
    finally:
        sandbox.stop().result()
    assert sandbox.status is SandboxStatus.TERMINATED


def in_a_session(defaults: SandboxDefaults) -> None:
    with Session(defaults) as session:
        session.sandbox().start().result()


WAYS: list[Callable[[SandboxDefaults], object]] = [
    lambda defaults: Sandbox.run(defaults=defaults),
    lambda defaults: Sandbox.run_from_template("t", defaults=defaults),
    lambda defaults: Sandbox.run_from_file(FILE, primary_service="web", defaults=defaults),
    enter,
    start_and_stop,
    in_a_session,
]
NAMES = ["run", "run_from_template", "run_from_file", "with", "start and stop", "session"]


@pytest.mark.parametrize("failure", FAILURES, indirect=True)
@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_nothing_is_left(
    service: Service, failure: Failure, way: Callable[[SandboxDefaults], object]
) -> None:
    kind, defaults = failure
    with pytest.raises(kind):
        way(defaults)
    eventually(service.has_none, "the service has no sandbox")


@pytest.mark.parametrize("failure", FAILURES, indirect=True)
async def test_nothing_is_left_by_an_async_block(service: Service, failure: Failure) -> None:
    kind, defaults = failure
    with pytest.raises(kind):
        async with Sandbox(defaults=defaults):
            raise AssertionError
    await asyncio.to_thread(eventually, service.has_none, "the service has no sandbox")


@pytest.mark.parametrize("failure", FAILURES, indirect=True)
def test_a_second_start_finds_it(service: Service, failure: Failure) -> None:
    kind, defaults = failure
    sandbox = Sandbox(defaults=defaults)
    with pytest.raises(kind):
        sandbox.start().result()
    sandbox.start().result()
    assert service.alive == {sandbox.sandbox_id}
    sandbox.stop().result()
    assert service.has_none()


def test_what_the_service_refuses_is_not_asked_for_again(
    grpc_peer: GrpcPeer, caplog: pytest.LogCaptureFixture
) -> None:
    asked = 0

    async def refuse(request: Any, context: Any) -> None:
        nonlocal asked
        asked += 1
        await grpc_peer.fail(context, grpc.StatusCode.UNAVAILABLE)

    grpc_peer.overrides["CreateSandbox"] = refuse
    sandbox = Sandbox()
    with pytest.raises(SandboxUnavailableError):
        sandbox.start().result()
    sandbox.stop().result()
    assert (asked, caplog.records) == (1, [])


def test_a_service_that_stays_away_is_no_failure_to_stop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There is nobody who could have made it."""
    monkeypatch.setenv("CWSANDBOX_BASE_URL", "http://127.0.0.1:1")
    sandbox = Sandbox()
    with pytest.raises(SandboxUnavailableError):
        sandbox.start().result()
    sandbox.stop().result()
    assert caplog.records == []
