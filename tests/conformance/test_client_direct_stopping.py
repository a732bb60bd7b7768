"""Mode "direct": operations that begin while the sandbox is being stopped by its own handle. The service ends it before
it answers the stop, and its endpoint before the handle knows of that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from conformance.direct_peer import (
    RETIRING,
    Authority,
    DirectPeer,
    asked,
    end_and_see,
    refusing,
    where,
)
from conformance.grpc_peer import GrpcPeer
from cwsandbox import OperationRef, Sandbox, SandboxNotRunningError
from integration.env import eventually

pytestmark = pytest.mark.usefixtures("direct_settings")


class Stop:
    """Of a sandbox whose service ends it at once, and answers later."""

    def __init__(self, gateway: GrpcPeer, state: int) -> None:
        self._gateway = gateway
        self._state = state
        self._answered = gateway.event()
        self._done: OperationRef[None] | None = None
        gateway.overrides |= {"DeleteSandbox": self._delete, "GetSandbox": self._get}

    async def _delete(self, request: Any, context: Any) -> Any:
        self._gateway.deleted.append(request.sandbox_id)
        self._gateway.overrides["ConnectSandbox"] = self._refuse
        await self._answered.wait()
        self._state = self._gateway.pb.STATE_TERMINATED
        return self._gateway.pb.DeleteSandboxResponse(sandbox=self._shown(request.sandbox_id))

    async def _get(self, request: Any, context: Any) -> Any:
        return self._shown(request.sandbox_id)

    def _shown(self, sandbox_id: str) -> Any:
        pb = self._gateway.pb
        state = self._state if self._gateway.deleted else pb.STATE_RUNNING
        return pb.Sandbox(sandbox_id=sandbox_id, status=pb.SandboxStatus(state=state))

    async def _refuse(self, request: Any, context: Any) -> None:
        code = grpc.StatusCode.FAILED_PRECONDITION
        await self._gateway.fail(context, code, "CWSANDBOX_SANDBOX_NOT_RUNNING")

    def begin(self, sandbox: Sandbox) -> None:
        self._done = sandbox.stop()
        eventually(lambda: self._gateway.deleted, "the service ends it")

    def finish(self) -> None:
        self._gateway.set(self._answered)
        if self._done is not None:
            self._done.result()


@pytest.fixture(params=["STATE_TERMINATING", "STATE_TERMINATED"])
def stop(request: pytest.FixtureRequest, gateway: GrpcPeer) -> Iterator[Stop]:
    stop = Stop(gateway, getattr(gateway.pb, request.param))
    yield stop
    stop.finish()


@pytest.fixture
def strict(stop: Stop) -> Iterator[Sandbox]:
    sandbox = Sandbox.run(data_plane_mode="direct")
    yield sandbox
    stop.finish()


def attempts(sandbox: Sandbox, folder: Path) -> dict[str, Callable[[], object]]:
    source = folder / "source"
    source.write_bytes(b"content")
    return {
        "exec": lambda: sandbox.exec(["where"]).result(),
        "exec with input": lambda: sandbox.exec(["where"], stdin=True).result(),
        "output": lambda: list(sandbox.exec(["where"]).stdout),
        "shell": lambda: sandbox.shell(["where"]).result(),
        "read": lambda: sandbox.read_file("/where").result(),
        "write": lambda: sandbox.write_file("/new", b"content").result(),
        "read streaming": lambda: list(sandbox.read_file_streaming("/where")),
        "write streaming": lambda: sandbox.write_file_streaming("/new", [b"content"]).result(),
        "upload": lambda: sandbox.upload(source, "/new").result(),
        "download": lambda: sandbox.download("/where", folder / "target").result(),
    }


def assert_stopped(sandbox: Sandbox, folder: Path) -> None:
    raised = {}
    for name, attempt in attempts(sandbox, folder).items():
        with pytest.raises(Exception) as caught:
            attempt()
        raised[name] = type(caught.value)
    assert raised == dict.fromkeys(raised, SandboxNotRunningError)


def test_its_endpoint_has_refused_it(
    strict: Sandbox, stop: Stop, direct: DirectPeer, tmp_path: Path
) -> None:
    assert where(strict) == "direct"
    refusing(direct, grpc.StatusCode.UNAVAILABLE, RETIRING)
    refuse = direct.scripts["where"]
    direct.scripts = defaultdict(lambda: refuse)
    stop.begin(strict)
    assert_stopped(strict, tmp_path)


def test_all_that_its_endpoint_refuses_together(
    strict: Sandbox, stop: Stop, direct: DirectPeer
) -> None:
    assert where(strict) == "direct"
    refusing(direct, grpc.StatusCode.UNAVAILABLE, RETIRING)
    stop.begin(strict)
    operations = [strict.exec(["where"]) for _ in range(20)]
    operations += [strict.read_file("/where") for _ in range(20)]
    raised = []
    for operation in operations:
        with pytest.raises(Exception) as caught:
            operation.result()
        raised.append(type(caught.value))
    assert raised == [SandboxNotRunningError] * 40


def test_its_connection_is_lost(
    strict: Sandbox, stop: Stop, direct: DirectPeer, tmp_path: Path
) -> None:
    assert where(strict) == "direct"
    end_and_see(direct)
    stop.begin(strict)
    assert_stopped(strict, tmp_path)


def test_it_has_no_certificate(strict: Sandbox, stop: Stop, tmp_path: Path) -> None:
    strict.wait()
    stop.begin(strict)
    assert_stopped(strict, tmp_path)


def test_its_endpoint_is_gone_when_it_has_a_certificate(
    strict: Sandbox,
    stop: Stop,
    gateway: GrpcPeer,
    direct: DirectPeer,
    authority: Authority,
) -> None:
    given = gateway.event()
    answer = authority.answer(direct.base_url)

    async def give(request: Any, context: Any) -> Any:
        await given.wait()
        return await answer(request, context)

    gateway.overrides["ConnectSandbox"] = give
    strict.wait()
    operations = [strict.exec(["where"]), strict.read_file("/where")]
    eventually(lambda: asked(gateway) == 1, "it is asked for")
    direct.end()
    stop.begin(strict)
    gateway.set(given)
    for operation in operations:
        with pytest.raises(SandboxNotRunningError) as caught:
            operation.result()
        assert type(caught.value) is SandboxNotRunningError
