"""The examples of docs/testing.md, as they stand there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from code_blocks import blocks
from conformance.grpc_peer import GrpcPeer
from conformance.h2_peer import H2Peer
from cwsandbox import Sandbox, SandboxError

ON_GRPCIO, BY_FRAMES = blocks("docs/testing.md", count=2)


def test_a_command_on_grpcio(sandbox: Sandbox, grpc_peer: GrpcPeer) -> None:
    exec(compile(ON_GRPCIO, "testing.md", "exec"), {"sandbox": sandbox, "grpc_peer": grpc_peer})


def test_a_stream_frame_by_frame(hostile: Callable[..., tuple[H2Peer, Sandbox]]) -> None:
    names: dict[str, Any] = {}
    exec(compile(BY_FRAMES, "testing.md", "exec"), names)
    _, sandbox = hostile(names["script"])
    process = sandbox.exec(["anything"])
    with pytest.raises(SandboxError) as caught:
        process.result()
    assert caught.value.exec_result is not None
    assert caught.value.exec_result.stdout == "half"
