"""Sandboxes of several containers, made and used by grpcio's generated client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from conformance import protos
from conformance.running import running
from integration.env import eventually

pb = protos.messages()
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def row(name: str = "", primary: bool | None = None, **fields: Any) -> Any:
    return pb.Container(name=name, image="any", primary=primary, **fields)


def create(stub: Any, *rows: Any) -> Any:
    request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec(containers=rows)))
    return stub.CreateSandbox(request, timeout=30)


@pytest.fixture
def two(stub: Any) -> Iterator[str]:
    """A primary container "web" and another one, "db", which logs a line and counts its arguments."""
    script = "echo hello from db; sleep infinity"
    made = create(
        stub,
        row("db", command="sh", args=["-c", script], environment_variables={"WHO": "db"}),
        row("web", primary=True),
    )
    running(stub, made.sandbox_id)
    yield made.sandbox_id
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=made.sandbox_id, allow_missing=True))


def refused(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str, str]:
    """Code, reason, and the field at fault."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    status = rpc_status.from_call(caught.value)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status
    assert status.details[0].Unpack(info)
    field = ""
    if len(status.details) > 1 and status.details[1].Unpack(bad):
        field = bad.field_violations[0].field
    return caught.value.code(), info.reason, field


def test_it_runs_with_all_of_them(stub: Any, two: str) -> None:
    made = stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=two))
    assert [one.name for one in made.spec.containers] == ["db", "web"]
    assert made.status.state == pb.STATE_RUNNING
    states = [(one.name, one.state) for one in made.status.container_statuses]
    assert states == [("db", pb.STATE_RUNNING), ("web", pb.STATE_RUNNING)]


def test_an_only_container_gets_a_name(stub: Any) -> None:
    made = create(stub, row())
    [only] = made.spec.containers
    assert (only.name, only.primary) == ("main", True)
    assert [one.name for one in made.status.container_statuses] == ["main"]
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=made.sandbox_id))


def test_exec_in_each(stub: Any, two: str) -> None:
    def who(container: str) -> bytes:
        request = pb.ExecRequest(
            sandbox_id=two, container=container, command=["sh", "-c", "echo $WHO"]
        )
        return bytes(stub.Exec(request).stdout)

    assert (who("db"), who("web"), who("")) == (b"db\n", b"\n", b"\n")


def test_stream_exec_in_one(stub: Any, two: str) -> None:
    init = pb.ExecStreamInit(sandbox_id=two, container="db", command=["sh", "-c", "echo $WHO"])
    replies = list(stub.StreamExec(iter([pb.ExecStreamRequest(init=init)]), timeout=30))
    assert b"".join(one.output.data for one in replies) == b"db\n"


def test_files_of_each(stub: Any, two: str) -> None:
    def read(container: str) -> bytes:
        request = pb.ReadFileRequest(sandbox_id=two, path="/tmp/a", container=container)
        return bytes(stub.ReadFile(request).content)

    for container in ("db", "web"):
        content = container.encode()
        stub.WriteFile(
            pb.WriteFileRequest(sandbox_id=two, path="/tmp/a", container=container, content=content)
        )
    assert (read("db"), read("web"), read("")) == (b"db", b"web", b"web")


def test_logs_of_each(stub: Any, two: str) -> None:
    def log(container: str) -> bytes:
        request = pb.StreamLogsRequest(sandbox_id=two, container=container)
        return b"".join(entry.data for entry in stub.StreamLogs(request, timeout=30))

    eventually(lambda: log("db") == b"hello from db\n", "it has written its line")
    assert (log("web"), log("")) == (b"", b"")


def test_an_unknown_name(stub: Any, two: str) -> None:
    init = pb.ExecStreamInit(sandbox_id=two, container="cache", command=["true"])
    given = {"sandbox_id": two, "container": "cache"}
    calls: list[Callable[[], Any]] = [
        lambda: stub.Exec(pb.ExecRequest(command=["true"], **given)),
        lambda: list(stub.StreamExec(iter([pb.ExecStreamRequest(init=init)]), timeout=30)),
        lambda: stub.ReadFile(pb.ReadFileRequest(path="/etc/hostname", **given)),
        lambda: stub.WriteFile(pb.WriteFileRequest(path="/tmp/x", **given)),
        lambda: list(stub.StreamLogs(pb.StreamLogsRequest(**given), timeout=30)),
    ]
    for call in calls:
        assert refused(call) == (INVALID, "CWSANDBOX_INVALID_REQUEST", "container")


def test_what_cannot_be_made(stub: Any) -> None:
    cases = {
        "spec.containers": [
            [],
            [row("a"), row("b")],
            [row("a", primary=True), row("b", primary=True)],
            [row(f"c{n}", primary=n == 0) for n in range(17)],
        ],
        "spec.containers[1].name": [
            [row("a", primary=True), row()],
            [row("a", primary=True), row("a")],
            [row("a", primary=True), row("B")],
            [row("a", primary=True), row("dns-egress")],
        ],
        "spec.containers[0].name": [[row("cws-engine")]],
        "spec.containers[1].working_dir": [[row("a", primary=True), row("b", working_dir="x")]],
        "spec.containers[1].args": [[row("a", primary=True), row("b", args=["x"])]],
    }
    for field, lists in cases.items():
        for rows in lists:
            wrong = refused(lambda rows=rows: create(stub, *rows))  # type: ignore[misc]
            assert wrong == (INVALID, "CWSANDBOX_INVALID_REQUEST", field)


def test_a_volume_in_several_containers(stub: Any) -> None:
    """Each sees it where, and as, its mounts say; what one writes the others read."""
    rows = [
        row("a", volume_mounts=[pb.VolumeMount(volume="data", mount_path="/data")]),
        row(
            "b",
            primary=True,
            volume_mounts=[
                pb.VolumeMount(volume="data", mount_path="/in/whole", read_only=True),
                pb.VolumeMount(volume="data", mount_path="/in", sub_path="x/y"),
            ],
        ),
        row("c", volume_mounts=[pb.VolumeMount(volume="more", mount_path="/more")]),
    ]
    volumes = [pb.SandboxVolume(name="data"), pb.SandboxVolume(name="more")]
    spec = pb.SandboxSpec(containers=rows, volumes=volumes)
    made = stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec)))
    running(stub, made.sandbox_id)

    def sh(name: str, script: str) -> str:
        request = pb.ExecRequest(
            sandbox_id=made.sandbox_id, container=name, command=["sh", "-c", script]
        )
        answer = stub.Exec(request)
        assert answer.exit_code == 0, answer.stderr
        return str(answer.stdout.decode())

    sh("a", "echo from-a > /data/file; chmod 600 /data/file; ln -s /etc /data/x/link")
    assert sh("b", "cat /in/whole/file; echo from-b > /in/new; id -u; stat -c %u /in/whole/file")
    assert sh("b", "cat /in/whole/file; (: > /in/whole/no) 2>/dev/null || echo ro") == (
        "from-a\nro\n"
    )
    assert sh("a", "cat /data/x/y/new; stat -c %u /data/x/y/new") == "from-b\n0\n"
    assert sh("a", "ls -d /more 2>/dev/null || echo none") == "none\n"
    sh("c", "echo 1 > /more/mine; ! grep -q /data /proc/self/mounts")
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=made.sandbox_id))


def test_a_mount_that_cannot_be_made_in_one(stub: Any) -> None:
    bad = pb.VolumeMount(volume="data", mount_path="/etc/passwd")
    rows = [row("a", primary=True), row("b", volume_mounts=[bad])]
    spec = pb.SandboxSpec(containers=rows, volumes=[pb.SandboxVolume(name="data")])
    made = stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec)))
    assert made.status.state == pb.STATE_FAILED
    assert made.status.state_reason == (
        "container b: cwsandbox-init, mounting a volume at /etc/passwd: Not a directory"
    )


def test_a_volume_of_one_container(stub: Any) -> None:
    mount = pb.VolumeMount(volume="data", mount_path="/data")
    rows = [row("a", primary=True), row("b", volume_mounts=[mount])]
    spec = pb.SandboxSpec(containers=rows, volumes=[pb.SandboxVolume(name="data")])
    made = stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec)))
    command = ["sh", "-c", "grep -c ' /data ' /proc/self/mounts"]
    for name, count in (("a", b"0\n"), ("b", b"1\n")):
        request = pb.ExecRequest(sandbox_id=made.sandbox_id, container=name, command=command)
        assert stub.Exec(request).stdout == count
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=made.sandbox_id))


def test_the_same_request_twice(stub: Any) -> None:
    rows = [row("a", primary=True), row("b")]
    spec = pb.SandboxSpec(containers=rows)
    request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec), request_id="two-containers")
    first, second = (stub.CreateSandbox(request).sandbox_id for _ in range(2))
    assert first == second
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=first))
