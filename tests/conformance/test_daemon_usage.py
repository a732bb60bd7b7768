"""What the daemon tells of the commands in its sandboxes, and what they use, seen by grpcio."""

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
    assert not got(stub, sandbox_id).HasField("resource_usage")
    running.call.cancel()


def cpu(stub: Any, sandbox_id: str) -> int:
    return int(got(stub, sandbox_id).resource_usage.cpu_millicores)


def memory(stub: Any, sandbox_id: str) -> int:
    return int(got(stub, sandbox_id).resource_usage.memory_mb)


def is_told(status: Any) -> bool:
    return bool(status.HasField("resource_usage"))


def test_an_idle_sandbox(stub: Any, sandbox_id: str) -> None:
    # An answer does not wait for ever, so one may come without it.
    eventually(lambda: is_told(got(stub, sandbox_id)), "Get tells it")
    usage = got(stub, sandbox_id).resource_usage
    assert (usage.memory_mb < 10, usage.gpu_count) == (True, 0)

    def listed() -> list[bool]:
        return [is_told(s.status) for s in stub.ListSandboxes(pb.ListSandboxesRequest()).sandboxes]

    eventually(lambda: all(listed()), "List tells it")


def test_a_busy_loop_shows(stub: Any, sandbox_id: str) -> None:
    running = Running(stub, sandbox_id, "sh", "-c", "while :; do :; done")
    eventually(lambda: cpu(stub, sandbox_id) > 100, "the loop shows")
    running.call.cancel()
    eventually(lambda: execs(got(stub, sandbox_id)) == (0, 1), "it has ended")
    eventually(lambda: cpu(stub, sandbox_id) < 10, "nothing runs any more")


def test_processes_that_have_ended_show(stub: Any, sandbox_id: str) -> None:
    script = "for i in $(seq 30); do sh -c 'i=0; while [ $i -lt 10000 ]; do i=$((i+1)); done'; done"
    assert cpu(stub, sandbox_id) < 100
    stub.Exec(pb.ExecRequest(sandbox_id=sandbox_id, command=["sh", "-c", script]))
    eventually(lambda: cpu(stub, sandbox_id) > 5, "what has ended shows")


def test_an_allocation_shows(stub: Any, sandbox_id: str) -> None:
    script = "x=$(head -c 60000000 /dev/zero | tr '\\0' x); cat"
    running = Running(stub, sandbox_id, "sh", "-c", script)
    eventually(lambda: memory(stub, sandbox_id) >= 60, "the allocation shows")
    assert running.end() == 0
    eventually(lambda: memory(stub, sandbox_id) < 10, "it is gone")


def test_a_sandbox_that_hardly_answers_delays_nobody(stub: Any, sandbox_id: str) -> None:
    """Its init has hundreds of processes to look at, and orphans to reap without end."""
    script = "for i in $(seq 400); do sleep 1000 & done; while :; do (true & ) ; done"
    running = Running(stub, sandbox_id, "sh", "-c", script)
    for _ in range(30):
        assert stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=30).sandboxes
    running.call.cancel()


def test_many_clients_look_and_some_go(stub: Any, sandbox_id: str) -> None:
    looks = [stub.ListSandboxes.future(pb.ListSandboxesRequest()) for _ in range(50)]
    for look in looks[::2]:
        look.cancel()
    for look in looks[1::2]:
        assert look.result(timeout=30).sandboxes
