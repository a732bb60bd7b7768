"""Sandboxes of the daemon by grpcio's client, once they run."""

from __future__ import annotations

from typing import Any

from conformance import protos
from integration.env import eventually


def running(stub: Any, sandbox_id: str, **options: Any) -> Any:
    """The sandbox, once it runs: a slow machine may still be at it when the answer to the create comes.

    ``options`` go with each call.
    """
    pb = protos.messages()
    request = pb.GetSandboxRequest(sandbox_id=sandbox_id)
    underway = (pb.STATE_CREATING, pb.STATE_PENDING, pb.STATE_PREPARING)
    found: list[Any] = []

    def has_started() -> bool:
        found[:] = [stub.GetSandbox(request, **options)]
        return found[0].status.state not in underway

    eventually(has_started, "the sandbox runs")
    assert found[0].status.state == pb.STATE_RUNNING, found[0]
    return found[0]
