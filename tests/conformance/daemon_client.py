"""Calls that tests make to the daemon with grpcio's generated client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from conformance import protos
from integration.env import Daemon, eventually

pb = protos.messages()
TERMINAL = {pb.STATE_COMPLETED, pb.STATE_FAILED, pb.STATE_TERMINATED}
SECONDS = 20.0  # for a call


def stub_of(daemon: Daemon) -> Any:
    return protos.stubs().SandboxServiceStub(grpc.insecure_channel(daemon.base_url))


def spec(**fields: Any) -> Any:
    container = pb.Container(name="main", image="python:3.11", **fields)
    return pb.SandboxSpec(containers=[container])


def create(stub: Any, script: str) -> str:
    """The id of a new sandbox whose main command is this shell script."""
    wanted = pb.Sandbox(spec=spec(command="/bin/sh", args=["-c", script]))
    sandbox_id: str = stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=wanted)).sandbox_id
    return sandbox_id


def get(stub: Any, sandbox_id: str) -> Any:
    return stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=sandbox_id)).status


def wait_end(stub: Any, sandbox_id: str) -> Any:
    eventually(lambda: get(stub, sandbox_id).state in TERMINAL, "the sandbox ends")
    return get(stub, sandbox_id)


def delete(stub: Any, sandbox_id: str) -> None:
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=sandbox_id, allow_missing=True))


def run(stub: Any, sandbox_id: str, script: str) -> None:
    command = ["/bin/sh", "-c", script]
    result = stub.Exec(pb.ExecRequest(sandbox_id=sandbox_id, command=command), timeout=SECONDS)
    assert result.exit_code == 0, result


def failure(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str, dict[str, Any]]:
    """Status code, reason and field violations of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    reason, extra = "", {}
    status = rpc_status.from_call(caught.value)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            assert info.domain == "cwsandbox.com"
            reason, extra = info.reason, dict(info.metadata)
    return caught.value.code(), reason, extra
