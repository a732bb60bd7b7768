"""Runners: our client against a grpcio server."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from conformance import protos
from conformance.grpc_peer import GrpcPeer
from cwsandbox import (
    AuthHeaders,
    CWSandboxAuthenticationError,
    DiscoveryError,
    RunnerNotFoundError,
    get_runner,
    list_runners,
)

pb = protos.messages("discovery")


class Runners:
    """Answers by page, with those that it was given."""

    def __init__(self, peer: GrpcPeer, *runners: Any) -> None:
        self.runners = runners
        self.requests: list[Any] = []
        peer.overrides["ListAvailableRunners"] = self.list
        peer.overrides["GetAvailableRunner"] = self.get

    async def list(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        at = int(request.page_token or 0)
        more = str(at + 1) if at + 1 < len(self.runners) else ""
        return pb.ListAvailableRunnersResponse(
            runners=self.runners[at : at + 1], next_page_token=more
        )

    async def get(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        wanted = (request.runner_id, request.organization_id)
        found = [one for one in self.runners if (one.runner_id, one.organization_id) == wanted]
        if not found:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such runner")
        return found[0]


def runner(runner_id: str, cpu: int | None = None, memory: int = 0) -> Any:
    made = pb.AvailableRunner(runner_id=runner_id, organization_id="org", healthy=True)
    if cpu is not None:
        made.resources.available_cpu_millicores = cpu
        made.resources.available_memory_bytes = memory
    return made


def test_all_pages_with_the_credentials(grpc_peer: GrpcPeer) -> None:
    service = Runners(grpc_peer, *map(runner, ("a", "b", "c")))
    found = list_runners(auth=AuthHeaders({"x-key": "1"}, "mine"), architecture="arm64")
    assert [one.runner_id for one in found] == ["a", "b", "c"]
    assert {one.architecture for one in service.requests} == {"arm64"}
    assert {(one.view, one.page_size) for one in service.requests} == {(pb.RUNNER_VIEW_BASIC, 100)}
    for metadata in grpc_peer.metadata["ListAvailableRunners"]:
        assert ("x-key", "1") in metadata
    limits = [left for left in grpc_peer.deadlines["ListAvailableRunners"] if left is not None]
    assert len(limits) == 3
    assert max(limits) <= 30


def test_what_must_be_free(grpc_peer: GrpcPeer) -> None:
    service = Runners(grpc_peer, runner("a", 500, 10), runner("b", 2000, 5), runner("silent"))
    assert [one.runner_id for one in list_runners(min_available_cpu_millicores=1000)] == ["b"]
    assert [one.runner_id for one in list_runners(min_available_memory_bytes=10)] == ["a"]
    assert [one.runner_id for one in list_runners(min_available_gpu_count=0)] == ["a", "b"]
    assert list_runners(min_available_gpu_count=1) == []
    assert {one.view for one in service.requests} == {pb.RUNNER_VIEW_FULL}


def test_one_runner(grpc_peer: GrpcPeer) -> None:
    service = Runners(grpc_peer, runner("a", 500))
    found = get_runner("a", organization_id="org")
    assert found.resources is not None
    assert found.resources.available_cpu_millicores == 500
    assert service.requests[-1].view == pb.RUNNER_VIEW_FULL
    with pytest.raises(RunnerNotFoundError) as raised:
        get_runner("b", organization_id="org")
    assert raised.value.runner_id == "b"


def test_failures(grpc_peer: GrpcPeer) -> None:
    async def refuse(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you")

    with pytest.raises(DiscoveryError, match="UNIMPLEMENTED"):
        list_runners()
    grpc_peer.overrides["ListAvailableRunners"] = refuse
    with pytest.raises(CWSandboxAuthenticationError, match="who are you"):
        list_runners()


def test_in_an_event_loop_and_from_a_provider_of_credentials(grpc_peer: GrpcPeer) -> None:
    Runners(grpc_peer, runner("a"))

    class Asks:
        def resolve_auth(self, *, base_url: str) -> AuthHeaders:
            return AuthHeaders({"x-first": list_runners()[0].runner_id}, "asks")

    async def main() -> list[Any]:
        return list_runners(auth=Asks())

    assert len(asyncio.run(main())) == 1
    assert ("x-first", "a") in grpc_peer.metadata["ListAvailableRunners"][-1]
