from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import pytest
import uvloop

from conformance.grpc_peer import GrpcPeer
from native.instance import load_configured

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="session")
def core() -> ModuleType:
    return load_configured()


@pytest.fixture(autouse=True)
def nothing_left_behind(core: ModuleType) -> Iterator[None]:
    gc.collect()
    before = core.stats()
    yield
    gc.collect()
    after = core.stats()
    assert after["operations"] <= before["operations"]
    assert after["mailboxes"] <= before["mailboxes"]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """``run(coroutine)`` in a new event loop of each kind."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run_in_new_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(coroutine)

    return run_in_new_loop


@pytest.fixture(scope="module")
def peer() -> Iterator[GrpcPeer]:
    """A grpcio server whose commands are the tests' coroutines."""
    with ExitStack() as stack:
        made = GrpcPeer()
        stack.callback(made.close)
        yield made


@pytest.fixture
def channel(core: ModuleType, peer: GrpcPeer) -> Any:
    return core.Channel(peer.base_url)


@pytest.fixture
def sandbox(core: ModuleType, channel: Any) -> Any:
    """A SandboxCore that is open."""
    made = core.SandboxCore()
    made.open(channel, "sb-1")
    return made
