"""Sandboxes from a template and from a file: our client against a grpcio server."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.grpc_peer import GrpcPeer
from cwsandbox import Sandbox


@pytest.fixture
def requests(grpc_peer: GrpcPeer) -> list[Any]:
    """What was asked for. Every sandbox is made."""
    found: list[Any] = []

    async def create(request: Any, context: Any) -> Any:
        found.append(request)
        return await grpc_peer._create(grpc_peer.pb.CreateSandboxRequest(), context)

    grpc_peer.overrides["CreateSandboxFromTemplate"] = create
    grpc_peer.overrides["CreateSandboxFromFile"] = create
    return found


def test_from_a_template(requests: list[Any]) -> None:
    with Sandbox.run_from_template("t-1", tags=["a"]) as sandbox:
        assert sandbox.wait().sandbox_id is not None
    with Sandbox(template_id="t-2") as other:
        assert other.sandbox_id is not None
    first, second = requests
    assert (first.template_id, [*first.overrides.tags]) == ("t-1", ["a"])
    assert second.template_id == "t-2"
    # Empty, but there.
    assert second.HasField("overrides")
    assert first.request_id != second.request_id


def test_from_a_file(requests: list[Any]) -> None:
    text = b"services: {}\n"
    with Sandbox.run_from_file(text, primary_service="web", tags=["a"]) as sandbox:
        assert sandbox.wait().sandbox_id is not None
        assert sandbox.tags == ("a",)
    (request,) = requests
    assert (request.contents, request.type) == (text, 1)
    assert (request.primary_service, [*request.tags]) == ("web", ["a"])
    assert len(request.request_id) == 36
