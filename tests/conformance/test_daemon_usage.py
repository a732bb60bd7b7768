"""What the daemon tells of the commands in its sandboxes, seen by grpcio."""

from __future__ import annotations

import queue
from typing import Any

from conformance import protos
from integration.env import eventually

pb = protos.messages()


def got(stub: Any, sandbox_id: str) -> Any:
    return stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=sandbox_id)).status


def execs(status: Any) -> tuple[int, int] | None:
    if not status.HasField("running_execs"):
        assert not status.HasField("started_execs")
        return None
    return status.running_execs, status.started_execs


class Running:
    """A command that runs until it is told to end."""

    def __init__(self, stub: Any, sandbox_id: str, *argv: str) -> None:
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        init = pb.ExecStreamInit(sandbox_id=sandbox_id, command=argv)
        self._requests.put(pb.ExecStreamRequest(init=init))
        self.call = stub.StreamExec(iter(self._requests.get, None), timeout=60)
        assert next(self.call).WhichOneof("message") == "ready"

    def end(self) -> int:
        self._requests.put(pb.ExecStreamRequest(close=pb.ExecStreamClose()))
        self._requests.put(None)
        [code] = [r.exit.exit_code for r in self.call if r.WhichOneof("message") == "exit"]
        return int(code)


def test_commands_are_counted(stub: Any, sandbox_id: str) -> None:
    assert execs(got(stub, sandbox_id)) == (0, 0)
    first, second = (Running(stub, sandbox_id, "cat") for _ in range(2))
    assert execs(got(stub, sandbox_id)) == (2, 2)
    listed = stub.ListSandboxes(pb.ListSandboxesRequest()).sandboxes
    assert [execs(one.status) for one in listed if one.sandbox_id == sandbox_id] == [(2, 2)]
    assert first.end() == 0
    assert execs(got(stub, sandbox_id)) == (1, 2)
    # A cancelled command runs until the init has reported its end.
    second.call.cancel()
    eventually(lambda: execs(got(stub, sandbox_id)) == (0, 2), "the cancelled command has ended")
    stub.Exec(pb.ExecRequest(sandbox_id=sandbox_id, command=["/no/such/program"]))
    assert execs(got(stub, sandbox_id)) == (0, 3)


def test_files_are_no_commands(stub: Any, sandbox_id: str) -> None:
    stub.WriteFile(pb.WriteFileRequest(sandbox_id=sandbox_id, path="/tmp/a", content=b"x"))
    assert execs(got(stub, sandbox_id)) == (0, 0)


def test_nothing_is_told_of_a_sandbox_that_has_ended(stub: Any, sandbox_id: str) -> None:
    running = Running(stub, sandbox_id, "cat")
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=sandbox_id))
    assert execs(got(stub, sandbox_id)) is None
    running.call.cancel()
