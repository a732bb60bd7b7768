"""grpcio's generated client against our daemon: over a Unix socket, plaintext TCP and TLS."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from conformance import protos
from conformance.daemon_client import TERMINAL, failure, spec
from conformance.running import running
from integration.env import Certs, Daemon, eventually

pb = protos.messages()
TOKEN = "a-token-0123456789"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cwsd-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def unix_daemon(folder: Path) -> Iterator[Daemon]:
    with Daemon(folder / "u") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def tcp_daemon(folder: Path) -> Iterator[Daemon]:
    with Daemon(folder / "t", token=TOKEN) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def tls_daemon(folder: Path, certs: Certs) -> Iterator[Daemon]:
    with Daemon(folder / "s", token=TOKEN, certs=certs) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def stub(unix_daemon: Daemon) -> Iterator[Any]:
    with grpc.insecure_channel(unix_daemon.base_url) as channel:
        yield protos.stubs().SandboxServiceStub(channel)


@pytest.fixture
def make_sandbox(stub: Any) -> Iterator[Callable[..., Any]]:
    made: list[str] = []

    def make(sandbox_spec: Any | None = None) -> Any:
        wanted = pb.Sandbox(spec=sandbox_spec or spec())
        sandbox = stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=wanted))
        made.append(sandbox.sandbox_id)
        return running(stub, sandbox.sandbox_id)

    yield make
    for sandbox_id in made:
        stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=sandbox_id, allow_missing=True))


def stream_exec(stub: Any, sandbox_id: str, *argv: str, stdin: list[bytes] | None = None) -> Any:
    """(stdout, stderr, exit code, kinds of the frames in order)."""

    def requests() -> Iterator[Any]:
        yield pb.ExecStreamRequest(init=pb.ExecStreamInit(sandbox_id=sandbox_id, command=argv))
        for data in stdin or ():
            yield pb.ExecStreamRequest(stdin=data)
        if stdin is not None:
            yield pb.ExecStreamRequest(close=pb.ExecStreamClose())

    out, err, code, kinds = b"", b"", None, []
    for response in stub.StreamExec(requests(), timeout=30):
        kind = response.WhichOneof("message")
        kinds.append(kind)
        if kind == "output":
            if response.output.stream == pb.ExecStreamOutput.STREAM_STDERR:
                err += response.output.data
            else:
                out += response.output.data
        elif kind == "exit":
            code = response.exit.exit_code
    return out, err, code, kinds


def test_create_answers_when_the_sandbox_runs_or_after_two_seconds() -> None:
    with tempfile.TemporaryDirectory(prefix="cwsd-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        slow = folder / "slow"
        bwrap = folder / "bwrap"
        bwrap.write_text(
            f'#!/bin/sh\nwhile [ -e {slow} ]; do sleep 0.1; done\nexec {shutil.which("bwrap")} "$@"\n'
        )
        bwrap.chmod(0o755)
        request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec()))
        with (
            Daemon(folder / "d", arguments=("--bwrap", str(bwrap))) as daemon,
            grpc.insecure_channel(daemon.base_url) as channel,
        ):
            stub = protos.stubs().SandboxServiceStub(channel)
            began = time.monotonic()
            fast = stub.CreateSandbox(request)
            assert fast.status.state == pb.STATE_RUNNING or time.monotonic() - began > 1.9
            slow.touch()
            began = time.monotonic()
            late = stub.CreateSandbox(request)
            assert late.status.state == pb.STATE_CREATING
            assert time.monotonic() - began > 1.9
            slow.unlink()
            running(stub, late.sandbox_id)


def test_every_answer_names_the_extensions(stub: Any, make_sandbox: Callable[..., Any]) -> None:
    sandbox_id = make_sandbox().sandbox_id
    for call, request in (
        (stub.CreateSandbox, pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec()))),
        (stub.GetSandbox, pb.GetSandboxRequest(sandbox_id=sandbox_id)),
        (stub.ListSandboxes, pb.ListSandboxesRequest()),
    ):
        answer, answered = call.with_call(request)
        assert dict(answered.initial_metadata())["cwsandboxd-extensions"] == "cwd,execs,file_modes"
        if call is stub.CreateSandbox:
            stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=answer.sandbox_id))


def test_the_directory_of_a_unary_exec(stub: Any, make_sandbox: Callable[..., Any]) -> None:
    request = pb.ExecRequest(sandbox_id=make_sandbox().sandbox_id, command=["pwd"], cwd="/usr/lib")
    assert stub.Exec(request).stdout == b"/usr/lib\n"
    request.cwd = "usr"
    code, reason, _ = failure(lambda: stub.Exec(request))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CWSANDBOX_INVALID_REQUEST")


def test_lifecycle(stub: Any, make_sandbox: Callable[..., Any]) -> None:
    sandbox = make_sandbox()
    assert sandbox.status.HasField("create_time")
    assert sandbox.status.HasField("start_time")
    assert sandbox.spec.containers[0].image == "python:3.11"
    request = pb.DeleteSandboxRequest(sandbox_id=sandbox.sandbox_id, grace_period_seconds=10)
    reply = stub.DeleteSandbox(request)
    assert reply.sandbox.status.state == pb.STATE_TERMINATING

    def get() -> Any:
        return stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=sandbox.sandbox_id))

    eventually(lambda: get().status.state in TERMINAL, "the sandbox has ended")
    assert get().status.state in {pb.STATE_COMPLETED, pb.STATE_TERMINATED}
    assert get().status.HasField("end_time")


def test_main_process_exit_code(stub: Any, make_sandbox: Callable[..., Any]) -> None:
    for code, state in ((0, pb.STATE_COMPLETED), (7, pb.STATE_FAILED)):
        wanted = pb.Sandbox(spec=spec(command="/bin/sh", args=["-c", f"exit {code}"]))
        sandbox_id = stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=wanted)).sandbox_id
        request = pb.GetSandboxRequest(sandbox_id=sandbox_id)
        eventually(lambda r=request: stub.GetSandbox(r).status.state in TERMINAL, "it has ended")
        status = stub.GetSandbox(request).status
        assert status.state == state
        assert status.HasField("exit_code")
        assert status.exit_code == code


def test_stream_exec(stub: Any, make_sandbox: Callable[..., Any]) -> None:
    sandbox_id = make_sandbox().sandbox_id
    out, err, code, kinds = stream_exec(
        stub, sandbox_id, "sh", "-c", "echo out; echo err >&2; exit 5"
    )
    assert (out, err, code) == (b"out\n", b"err\n", 5)
    assert kinds[0] == "ready"
    assert kinds[-1] == "exit"
    assert set(kinds[1:-1]) == {"output"}


def test_stream_exec_with_stdin(stub: Any, make_sandbox: Callable[..., Any]) -> None:
    sandbox_id = make_sandbox().sandbox_id
    data = [bytes([n]) * 65536 for n in range(32)]
    out, _, code, _ = stream_exec(stub, sandbox_id, "cat", stdin=data)
    assert code == 0
    assert out == b"".join(data)


def test_half_close_alone_is_the_end_of_input(stub: Any, make_sandbox: Callable[..., Any]) -> None:
    sandbox_id = make_sandbox().sandbox_id
    out, _, code, _ = stream_exec(stub, sandbox_id, "cat")
    assert (out, code) == (b"", 0)


def test_signal_and_missing_program(stub: Any, make_sandbox: Callable[..., Any]) -> None:
    sandbox_id = make_sandbox().sandbox_id
    assert stream_exec(stub, sandbox_id, "sh", "-c", "kill -KILL $$")[2] == 137
    _, err, code, _ = stream_exec(stub, sandbox_id, "no-such-program-here")
    assert code == 127
    assert b"no-such-program-here" in err


def test_unary_exec(stub: Any, make_sandbox: Callable[..., Any]) -> None:
    sandbox_id = make_sandbox().sandbox_id
    request = pb.ExecRequest(
        sandbox_id=sandbox_id,
        command=["sh", "-c", "echo $NAME; echo err >&2; exit 2"],
        env={"NAME": "value"},
    )
    reply = stub.Exec(request)
    assert (reply.stdout, reply.stderr, reply.exit_code) == (b"value\n", b"err\n", 2)
    assert not reply.stdout_truncated
    assert reply.stdout_bytes_produced == 6

    request = pb.ExecRequest(
        sandbox_id=sandbox_id,
        command=["sh", "-c", "head -c 100000 /dev/zero"],
        max_output_bytes=1000,
    )
    reply = stub.Exec(request)
    assert len(reply.stdout) == 1000
    assert reply.stdout_truncated
    assert not reply.stderr_truncated
    assert reply.stdout_bytes_produced == 100000


def test_list_pages_and_filters(stub: Any, make_sandbox: Callable[..., Any]) -> None:
    def tagged(*tags: str) -> str:
        wanted = spec()
        wanted.tags.extend(tags)
        sandbox_id: str = make_sandbox(wanted).sandbox_id
        return sandbox_id

    both, only_a, only_b = tagged("list-a", "list-b"), tagged("list-a"), tagged("list-b")

    def listed(**fields: Any) -> set[str]:
        reply = stub.ListSandboxes(pb.ListSandboxesRequest(**fields))
        return {sandbox.sandbox_id for sandbox in reply.sandboxes}

    assert listed(tags=["list-a"]) == {both, only_a}
    assert listed(tags=["list-a", "list-b"]) == {both}
    assert listed(tags=["list-a"], state=pb.STATE_RUNNING) == {both, only_a}
    assert listed(tags=["list-a"], state=pb.STATE_COMPLETED) == set()
    assert {both, only_a, only_b} <= listed()

    pages, token = [], ""
    while True:
        request = pb.ListSandboxesRequest(page_size=1, page_token=token, tags=["list-b"])
        reply = stub.ListSandboxes(request)
        assert len(reply.sandboxes) <= 1
        pages += [sandbox.sandbox_id for sandbox in reply.sandboxes]
        token = reply.next_page_token
        if not token:
            break
    assert sorted(pages) == sorted([both, only_b])

    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=only_a))
    request = pb.GetSandboxRequest(sandbox_id=only_a)
    eventually(lambda: stub.GetSandbox(request).status.state in TERMINAL, "it has ended")
    assert listed(tags=["list-a"]) == {both}
    assert listed(tags=["list-a"], show_terminated=True) == {both, only_a}


def test_create_is_idempotent_by_request_id(stub: Any) -> None:
    request = pb.CreateSandboxRequest(
        sandbox=pb.Sandbox(spec=spec()), request_id="one-and-the-same"
    )
    first, second = stub.CreateSandbox(request), stub.CreateSandbox(request)
    assert first.sandbox_id == second.sandbox_id
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=first.sandbox_id))


def test_errors_of_missing_sandboxes(stub: Any, make_sandbox: Callable[..., Any]) -> None:
    missing = "no-such-sandbox"
    expected = (grpc.StatusCode.NOT_FOUND, "CWSANDBOX_SANDBOX_NOT_FOUND")
    get = pb.GetSandboxRequest(sandbox_id=missing)
    assert failure(lambda: stub.GetSandbox(get))[:2] == expected
    delete = pb.DeleteSandboxRequest(sandbox_id=missing)
    assert failure(lambda: stub.DeleteSandbox(delete))[:2] == expected
    assert failure(lambda: stream_exec(stub, missing, "true"))[:2] == expected
    execute = pb.ExecRequest(sandbox_id=missing, command=["true"])
    assert failure(lambda: stub.Exec(execute))[:2] == expected
    delete = pb.DeleteSandboxRequest(sandbox_id=missing, allow_missing=True)
    assert not stub.DeleteSandbox(delete).HasField("sandbox")


def test_errors_of_bad_requests(stub: Any, make_sandbox: Callable[..., Any]) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    empty = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec()))
    assert failure(lambda: stub.CreateSandbox(empty))[0] == invalid
    sandbox_id = make_sandbox().sandbox_id
    assert failure(lambda: stream_exec(stub, sandbox_id))[0] == invalid
    no_init = iter([pb.ExecStreamRequest(stdin=b"x")])
    assert failure(lambda: list(stub.StreamExec(no_init)))[0] == invalid


def test_exec_in_a_sandbox_that_has_ended(stub: Any, make_sandbox: Callable[..., Any]) -> None:
    sandbox_id = make_sandbox().sandbox_id
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=sandbox_id))
    request = pb.GetSandboxRequest(sandbox_id=sandbox_id)
    eventually(lambda: stub.GetSandbox(request).status.state in TERMINAL, "it has ended")
    code, reason, _ = failure(lambda: stream_exec(stub, sandbox_id, "true"))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert reason == "CWSANDBOX_SANDBOX_NOT_RUNNING"


def test_deadline_kills_the_command(stub: Any, make_sandbox: Callable[..., Any]) -> None:
    sandbox_id = make_sandbox().sandbox_id
    init = pb.ExecStreamInit(sandbox_id=sandbox_id, command=["sleep", "61.25"])
    call = stub.StreamExec(iter([pb.ExecStreamRequest(init=init)]), timeout=0.5)
    assert failure(lambda: list(call))[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    script = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"

    def gone() -> bool:
        return b"sleep 61.25" not in stream_exec(stub, sandbox_id, "sh", "-c", script)[0]

    eventually(gone, "the command is dead")


def test_methods_of_later_releases_are_unimplemented(stub: Any) -> None:
    code, *_ = failure(lambda: stub.GetSandboxBuildLogs(pb.GetSandboxBuildLogsRequest()))
    assert code == grpc.StatusCode.UNIMPLEMENTED


WITH_TOKEN = (("authorization", f"Bearer {TOKEN}"),)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "Bearer",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
    ],
)
def test_tcp_without_the_token(tcp_daemon: Daemon, value: str | None) -> None:
    metadata = (("authorization", value),) if value else None
    with grpc.insecure_channel(tcp_daemon.base_url.removeprefix("http://")) as channel:
        stub = protos.stubs().SandboxServiceStub(channel)
        request = pb.ListSandboxesRequest()
        code, *_ = failure(lambda: stub.ListSandboxes(request, metadata=metadata))
    assert code == grpc.StatusCode.UNAUTHENTICATED


def create_and_exec(channel: grpc.Channel) -> bytes:
    stub = protos.stubs().SandboxServiceStub(channel)
    metadata = WITH_TOKEN
    request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec()))
    sandbox_id = stub.CreateSandbox(request, metadata=metadata).sandbox_id
    running(stub, sandbox_id, metadata=metadata)
    execute = pb.ExecRequest(sandbox_id=sandbox_id, command=["echo", "hi"])
    reply = stub.Exec(execute, metadata=metadata)
    delete = pb.DeleteSandboxRequest(sandbox_id=sandbox_id)
    stub.DeleteSandbox(delete, metadata=metadata)
    out: bytes = reply.stdout
    return out


def test_tcp_with_the_token(tcp_daemon: Daemon) -> None:
    with grpc.insecure_channel(tcp_daemon.base_url.removeprefix("http://")) as channel:
        assert create_and_exec(channel) == b"hi\n"


def test_tls(tls_daemon: Daemon, pem: Callable[[str], bytes]) -> None:
    credentials = grpc.ssl_channel_credentials(pem("ca"))
    target = tls_daemon.base_url.removeprefix("https://")
    with grpc.secure_channel(target, credentials) as channel:
        assert create_and_exec(channel) == b"hi\n"


def test_tls_from_a_client_that_does_not_trust(
    tls_daemon: Daemon, pem: Callable[[str], bytes]
) -> None:
    credentials = grpc.ssl_channel_credentials(pem("other_ca"))
    target = tls_daemon.base_url.removeprefix("https://")
    with grpc.secure_channel(target, credentials) as channel:
        stub = protos.stubs().SandboxServiceStub(channel)
        request = pb.ListSandboxesRequest()
        code, *_ = failure(lambda: stub.ListSandboxes(request, timeout=10))
    assert code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
