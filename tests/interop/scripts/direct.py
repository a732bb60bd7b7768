"""The direct data plane with the published SDK. It is imported here, so nothing of ours may be."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from cwsandbox._proto import sandbox_pb2_grpc

from cwsandbox import Sandbox, SandboxNotRunningError

MIB = 1 << 20
DATA_METHODS = ("StreamExec", "StreamLogs", "ReadFile", "WriteFile")


def close_the_gateway() -> None:
    """From now on nothing but the direct data plane runs commands and moves data."""
    original = sandbox_pb2_grpc.SandboxServiceStub.__init__

    def without_data_methods(stub: Any, channel: Any) -> None:
        original(stub, channel)
        for name in DATA_METHODS:
            delattr(stub, name)

    sandbox_pb2_grpc.SandboxServiceStub.__init__ = without_data_methods


def use(sandbox: Sandbox) -> None:
    """Every kind of data operation."""
    content = os.urandom(MIB)
    sandbox.write_file("/tmp/f", content).result()
    assert sandbox.read_file("/tmp/f").result() == content
    result = sandbox.exec(["sh", "-c", "cat /tmp/f | wc -c; exit 3"]).result()
    assert (result.stdout.strip(), result.returncode) == (str(MIB), 3)
    process = sandbox.exec(["cat"], stdin=True)
    process.stdin.write(b"typed").result()
    process.stdin.close().result()
    assert process.result().stdout == "typed"
    assert b"".join(sandbox.read_file_streaming("/tmp/f")) == content
    assert [line.strip() for line in sandbox.stream_logs(tail_lines=1)] == ["ready"]


def running(mode: str) -> Any:
    command = ("sh", "-c", "echo ready; while [ ! -e /tmp/end ]; do sleep 0.05; done")
    return Sandbox.run(*command, container_image="python:3.11", data_plane_mode=mode)


def direct() -> None:
    close_the_gateway()
    with running("direct") as sandbox:
        use(sandbox)


def auto() -> None:
    close_the_gateway()
    with running("auto") as sandbox:
        use(sandbox)


def ended() -> None:
    """The log of a sandbox that has ended comes by the gateway, and nobody notices."""
    with running("auto") as sandbox:
        use(sandbox)
        with contextlib.suppress(SandboxNotRunningError):  # it may end with the sandbox
            sandbox.exec(["touch", "/tmp/end"]).result()
        sandbox.wait_until_complete().result()
        assert [line.strip() for line in sandbox.stream_logs()] == ["ready"]


if __name__ == "__main__":
    globals()[sys.argv[1]]()
