"""Our client's remote functions against a grpcio server: which calls it makes, and what becomes of failures around."""

from __future__ import annotations

import json
import logging
import pickle
import threading
from typing import Any

import grpc
import pytest

from conformance.file_peer import answer
from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import (
    Container,
    RemoteFunction,
    Sandbox,
    SandboxDefaults,
    SandboxError,
    SandboxExecutionError,
    SandboxFailedError,
    SandboxFileError,
    SandboxTimeoutError,
    Session,
)

VALUE = b'{"ok": true, "python": "3.12.1"}\n[7]'


def seven() -> Any:
    return [7]


def function(session: Session, **options: Any) -> RemoteFunction[[], Any]:
    return session.function(**options)(seven)


@pytest.fixture
def gives(grpc_peer: GrpcPeer) -> dict[str, Any]:
    """What the sandbox's python3 leaves as the result, and how it ends; ``calls`` are those that came."""
    told: dict[str, Any] = {"result": VALUE, "code": 0, "calls": []}

    @grpc_peer.command("python3")
    async def python(call: Call) -> None:
        told["calls"].append(call)
        await call.ready()
        await call.err(b"python says\n")
        if told["result"] is not None:
            grpc_peer.files[call.argv[4]] = told["result"]
        await call.exit(told["code"])

    return told


def test_the_calls_of_a_call(grpc_peer: GrpcPeer, gives: dict[str, Any]) -> None:
    defaults = SandboxDefaults(tags=("t",), containers=(Container(name="a", image="i"),))
    with Session(defaults) as session:
        remote = function(session, container_image="python:3.12", temp_dir="/a 'b\"/")
        assert remote.remote().result() == [7]
        assert session.sandbox_count == 0
        assert grpc_peer.deleted == ["sb-1"]
    (created,) = grpc_peer.created
    assert [one.image for one in created.sandbox.spec.containers] == ["python:3.12"]
    wrote, read = grpc_peer.file_requests
    (call,) = gives["calls"]
    assert call.argv[:2] == ["python3", "-c"]
    assert call.argv[3:] == [wrote.path, read.path, "json"]
    stem = wrote.path.removeprefix("/a 'b\"/sandbox_payload_").removesuffix(".json")
    assert len(stem) == 32
    assert read.path == f"/a 'b\"/sandbox_result_{stem}.json"
    assert json.loads(wrote.content)["arguments"] == [[], {}]


@pytest.mark.parametrize("code", [0, 120, 137])
def test_a_result_counts_whatever_happens_after_it(gives: dict[str, Any], code: int) -> None:
    gives["code"] = code
    with Session() as session:
        assert function(session).remote().result() == [7]


def test_no_result(grpc_peer: GrpcPeer, gives: dict[str, Any]) -> None:
    gives |= {"result": None, "code": 127}
    with Session() as session:
        with pytest.raises(
            SandboxExecutionError, match=r"exit code 127 .*: python says$"
        ) as caught:
            function(session).remote().result()
        assert caught.value.exec_result is not None
        assert caught.value.exec_result.returncode == 127
        assert grpc_peer.deleted == ["sb-1"]


def test_files_that_cannot_be_written_or_read(grpc_peer: GrpcPeer, gives: dict[str, Any]) -> None:
    with Session() as session:
        for method in ("WriteFile", "ReadFile"):
            answer(
                grpc_peer,
                method,
                grpc.StatusCode.PERMISSION_DENIED,
                "CWSANDBOX_FILE_PERMISSION_DENIED",
            )
            with pytest.raises(SandboxFileError):
                function(session).remote().result()
            del grpc_peer.overrides[method]
            assert session.sandbox_count == 0
    assert grpc_peer.deleted == ["sb-1", "sb-2"]


def test_a_create_that_is_refused(grpc_peer: GrpcPeer, gives: dict[str, Any]) -> None:
    answer(grpc_peer, "CreateSandbox", grpc.StatusCode.FAILED_PRECONDITION, message="not today")
    with Session() as session:
        with pytest.raises(SandboxError, match="not today"):
            function(session).remote().result()
        assert session.sandbox_count == 0
    assert grpc_peer.deleted == []


def test_a_sandbox_that_fails(grpc_peer: GrpcPeer, gives: dict[str, Any]) -> None:
    async def failed(request: Any, context: Any) -> Any:
        return grpc_peer._sandbox(request.sandbox_id, grpc_peer.pb.STATE_FAILED)

    grpc_peer.overrides["GetSandbox"] = failed
    with Session() as session:
        with pytest.raises(SandboxFailedError):
            function(session).remote().result()
        assert session.sandbox_count == 0
    assert grpc_peer.deleted == []


def test_a_command_that_fails_is_told_as_the_function(grpc_peer: GrpcPeer) -> None:
    """Nobody knows the command, and its text is long."""

    @grpc_peer.command("python3")
    async def python(call: Call) -> None:
        await call.error("INTERNAL", "the pipes are gone")

    with Session() as session, pytest.raises(SandboxExecutionError) as caught:
        function(session).remote().result()
    assert str(caught.value) == "Function 'seven' failed: the pipes are gone"
    assert caught.value.exec_result is not None
    assert caught.value.exec_result.command[0] == "python3"


@pytest.fixture
def times_out(grpc_peer: GrpcPeer, gives: dict[str, Any]) -> dict[str, Any]:
    """As ``gives``, of a command that is ended by its time limit."""

    @grpc_peer.command("python3")
    async def python(call: Call) -> None:
        await call.ready()
        await call.err(b"python says\n")
        if gives["result"] is not None:
            grpc_peer.files[call.argv[4]] = gives["result"]
        await call.context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the limit")

    return gives


def test_a_result_that_is_there_at_the_time_limit(times_out: dict[str, Any]) -> None:
    """The function has returned; Python was about to end."""
    assert function(Session()).remote().result() == [7]
    times_out["result"] = FAILED
    with pytest.raises(SandboxExecutionError) as caught:
        function(Session()).remote().result()
    assert (caught.value.exception_type, caught.value.exception_message) == ("E", "m")
    assert caught.value.exec_result is not None
    assert caught.value.exec_result.stderr == "python says\n"


@pytest.mark.parametrize("code", [None, grpc.StatusCode.UNAVAILABLE])
def test_a_time_limit_is_told_where_there_is_no_result(
    grpc_peer: GrpcPeer, times_out: dict[str, Any], code: grpc.StatusCode | None
) -> None:
    times_out["result"] = None
    if code is not None:
        answer(grpc_peer, "ReadFile", code)
    with pytest.raises(SandboxTimeoutError, match=r"^Function 'seven' timed out after ") as caught:
        function(Session()).remote().result()
    assert caught.value.stderr == "python says\n"


def test_a_stop_that_fails_does_not_cost_the_value(
    grpc_peer: GrpcPeer, gives: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    session = Session()
    answer(grpc_peer, "DeleteSandbox", grpc.StatusCode.PERMISSION_DENIED, message="may not")
    with caplog.at_level(logging.WARNING, "cwsandbox"):
        assert function(session).remote().result() == [7]
    assert "the sandbox of function 'seven' could not be stopped: " in caplog.text
    assert session.sandbox_count == 1
    del grpc_peer.overrides["DeleteSandbox"]
    session.close().result()
    assert grpc_peer.deleted == ["sb-1"]
    assert session.sandbox_count == 0


def test_map_begins_all_calls_at_once(grpc_peer: GrpcPeer, gives: dict[str, Any]) -> None:
    begun: list[Call] = []
    all_there = grpc_peer.event()

    @grpc_peer.command("python3")
    async def python(call: Call) -> None:
        begun.append(call)
        if len(begun) == 20:
            all_there.set()
        await all_there.wait()
        await call.ready()
        grpc_peer.files[call.argv[4]] = VALUE
        await call.exit(0)

    with Session() as session:
        calls = function(session).map(() for _ in range(20))
        assert [call.result() for call in calls] == [[7]] * 20


class Made:
    """Unpickled, it is what a function gives there."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __reduce__(self) -> Any:
        return self._function, ()


def thread_name() -> str:
    return threading.current_thread().name


def count_sandboxes() -> int:
    return len(Sandbox.list().result(20))


def test_unpickling_is_not_in_the_way_of_other_sandboxes(
    grpc_peer: GrpcPeer, gives: dict[str, Any]
) -> None:
    """The program's code may run then, and call the package as it does elsewhere."""
    remote = function(Session(), serialization="pickle")
    for made, value in ((thread_name, "cwsandbox-result"), (count_sandboxes, 0)):
        gives["result"] = VALUE.partition(b"\n")[0] + b"\n" + pickle.dumps(Made(made))
        assert remote.remote().result() == value
    # The exception of a function that fails, too.
    gives["result"] = FAILED + pickle.dumps(Made(fault_of_thread))
    with pytest.raises(SandboxExecutionError) as caught:
        remote.remote().result()
    assert str(caught.value.__cause__) == "cwsandbox-result"


FAILED = b'{"ok": false, "stage": "call", "python": "3", "type": "E", "message": "m"}\n'


def fault_of_thread() -> Exception:
    return ValueError(thread_name())


def test_large_values_are_read_beside_the_other_sandboxes(gives: dict[str, Any]) -> None:
    gives["result"] = VALUE.partition(b"\n")[0] + b"\n" + json.dumps("x" * 1_000_000).encode()
    assert function(Session()).remote().result() == "x" * 1_000_000


def test_the_sandbox_is_stopped_before_unpickling(
    grpc_peer: GrpcPeer, gives: dict[str, Any]
) -> None:
    global deleted
    deleted = grpc_peer.deleted
    gives["result"] = VALUE.partition(b"\n")[0] + b"\n" + pickle.dumps(Made(what_is_deleted))
    assert function(Session(), serialization="pickle").remote().result() == ["sb-1"]


deleted: list[str] = []


def what_is_deleted() -> list[str]:
    return list(deleted)
