"""Credentials from code of the user: whatever it does, only its own caller has to do with it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conformance.grpc_peer import GrpcPeer
from cwsandbox import (
    AuthHeaders,
    CWSandboxAuthenticationError,
    Sandbox,
    SandboxDefaults,
    SandboxError,
    SandboxRequestTimeoutError,
)
from cwsandbox._runtime.threads import THREAD_NAME
from integration.env import eventually

HEADERS = AuthHeaders({"x-key": "1"}, "mine")


class Provider:
    """Gives credentials after doing what it is told."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def resolve_auth(self, *, base_url: str) -> AuthHeaders:
        self._act()
        return HEADERS


def raising(failure: BaseException) -> Provider:
    def act() -> None:
        raise failure

    return Provider(act)


FAILURES = [
    SystemExit(3),
    KeyboardInterrupt("mine"),
    GeneratorExit("mine"),
    BaseException("mine"),
    TimeoutError("mine"),
    OSError("mine"),
]


def outcome(call: Callable[[], Any]) -> BaseException | None:
    try:
        call()
    except BaseException as failure:
        return failure
    return None


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
def test_the_error_reaches_its_caller_and_nobody_else(
    grpc_peer: GrpcPeer, failure: BaseException
) -> None:
    with Sandbox.run() as other:
        provider: Any = raising(failure)
        assert outcome(lambda: Sandbox.run(auth=provider)) is failure
        assert outcome(lambda: Sandbox.list(auth=provider).result(20)) is failure
        assert outcome(lambda: Sandbox(auth=provider).wait()) is failure
        assert type(outcome(Sandbox(auth=provider).exec(["x"]).result)) is type(failure)
        assert Sandbox.list().result(20) is not None
        assert other.get_status() == "running"


def test_sys_exit_while_a_wait_of_others_is_under_way(grpc_peer: GrpcPeer) -> None:
    provider: Any = Provider(lambda: sys.exit(1))
    with Sandbox.run() as sandbox:
        ending = sandbox.wait_until_complete(20, raise_on_termination=False)
        for _ in range(3):
            assert isinstance(outcome(lambda: Sandbox.run(auth=provider)), SystemExit)
        sandbox.stop().result(20)
        assert ending.result(20) is sandbox


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_providers_are_asked_all_at_once(grpc_peer: GrpcPeer) -> None:
    together = threading.Barrier(30)
    provider: Any = Provider(lambda: together.wait(20))
    sandboxes = [Sandbox(auth=provider) for _ in range(30)]
    for start in [sandbox.start() for sandbox in sandboxes]:
        start.result(30)
    for stop in [sandbox.stop(graceful_shutdown_seconds=0) for sandbox in sandboxes]:
        stop.result(30)


def test_the_request_timeout_covers_the_provider(
    grpc_peer: GrpcPeer, release: threading.Event
) -> None:
    slow: Any = Provider(lambda: release.wait(20))
    began = time.monotonic()
    with pytest.raises(SandboxRequestTimeoutError, match=r"auth provider Provider .* within 0\.2s"):
        Sandbox.run(auth=slow, request_timeout_seconds=0.2)
    with pytest.raises(SandboxRequestTimeoutError):
        Sandbox.list(auth=slow, timeout_seconds=0.2).result(15)
    assert time.monotonic() - began < 10


def test_a_sandbox_asks_one_provider_once(grpc_peer: GrpcPeer, release: threading.Event) -> None:
    calls: list[int] = []

    def act() -> None:
        calls.append(1)
        release.wait(20)

    provider: Any = Provider(act)
    # Twice too short for the provider, and then long enough for the service.
    sandbox = Sandbox(auth=provider, request_timeout_seconds=2)
    for _ in range(2):
        with pytest.raises(SandboxError):
            sandbox.start().result(20)
    release.set()
    with sandbox:
        assert calls == [1]


def test_a_failure_that_comes_too_late_is_not_kept(
    grpc_peer: GrpcPeer, release: threading.Event
) -> None:
    calls: list[int] = []

    def act() -> None:
        calls.append(1)
        if len(calls) == 1:
            release.wait(20)
            raise OSError("late")

    provider: Any = Provider(act)
    sandbox = Sandbox(auth=provider, request_timeout_seconds=3)
    with pytest.raises(SandboxRequestTimeoutError):
        sandbox.start().result(20)
    release.set()
    eventually(
        lambda: all(thread.name != THREAD_NAME for thread in threading.enumerate()),
        "the provider's thread has ended",
    )
    with sandbox:
        assert calls == [1, 1]


def test_a_provider_that_uses_the_package(grpc_peer: GrpcPeer) -> None:
    provider: Any = Provider(lambda: Sandbox.list().result(20))
    with Sandbox.run(
        auth=provider, defaults=SandboxDefaults(request_timeout_seconds=20)
    ) as sandbox:
        assert sandbox.sandbox_id


@pytest.mark.parametrize("key", ["key ", "key\n", "key\t"])
def test_a_key_that_cannot_be_sent(
    grpc_peer: GrpcPeer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CWSANDBOX_API_KEY", key)
    with pytest.raises(CWSandboxAuthenticationError, match="'Authorization'") as raised:
        Sandbox.list().result(20)
    assert ("blank" in str(raised.value)) == (" " in key)


@pytest.mark.parametrize("name", ["content-type", "grpc-timeout", "a(b)", ":path"])
def test_header_names_that_cannot_be_sent(grpc_peer: GrpcPeer, name: str) -> None:
    with pytest.raises(CWSandboxAuthenticationError, match="cannot be sent"):
        Sandbox.list(auth=AuthHeaders({name: "v"}, "mine")).result(20)


def test_a_bad_url_is_not_blamed_on_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="port"):
        Sandbox.list(base_url="http://h:99999", auth=HEADERS).result(20)
