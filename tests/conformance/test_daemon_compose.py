"""Sandboxes out of Compose files, made by grpcio's generated client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from conformance import protos
from conformance.running import running
from integration.env import eventually

pb = protos.messages()
COMPOSE = pb.SANDBOX_FILE_TYPE_COMPOSE
FILE = b"""
services:
  cache:
    image: redis
    command:
      - python3
      - -c
      - |
        import socket
        server = socket.create_server(("", 80))
        while True:
            server.accept()[0].sendall(b"42")
    environment:
      WHO: cache
    expose: [80]
  web:
    image: nginx
    command: sleep infinity
    working_dir: /srv
"""
ASK = "import socket; print(socket.create_connection(('cache', 80)).recv(9))"
INVALID = grpc.StatusCode.INVALID_ARGUMENT
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED


def request(contents: bytes = FILE, **fields: Any) -> Any:
    given = {"type": COMPOSE, "primary_service": "web"} | fields
    return pb.CreateSandboxFromFileRequest(contents=contents, **given)


def refused(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str, str]:
    """Code, reason and text."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    status = rpc_status.from_call(caught.value)
    info = error_details_pb2.ErrorInfo()
    assert status
    assert status.details[0].Unpack(info)
    return caught.value.code(), info.reason, caught.value.details()


def test_services_are_containers(stub: Any) -> None:
    made = stub.CreateSandboxFromFile(
        request(tags=["t"], annotations={"b": "2", "a": "1"}, max_lifetime_seconds=60), timeout=30
    )
    try:
        got = running(stub, made.sandbox_id)
        assert [(one.name, one.primary) for one in got.spec.containers] == [
            ("cache", False),
            ("web", True),
        ]
        assert dict(got.spec.containers[0].environment_variables) == {"WHO": "cache"}
        assert (list(got.spec.tags), dict(got.spec.annotations)) == (["t"], {"a": "1", "b": "2"})
        assert got.status.effective_max_lifetime_seconds == 60
        # Each service has the loopback address by its name.
        script = f'until python3 -c "{ASK}" 2> /dev/null; do sleep 0.05; done; pwd'
        command = ["sh", "-c", script]
        reply = stub.Exec(pb.ExecRequest(sandbox_id=made.sandbox_id, command=command), timeout=30)
        assert reply.stdout == b"b'42'\n/srv\n"
    finally:
        stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=made.sandbox_id))


def test_a_single_service(stub: Any) -> None:
    made = stub.CreateSandboxFromFile(request(b"services: {web: {image: any}}"))
    assert [one.name for one in made.status.container_statuses] == ["web"]
    command = ["getent", "hosts", "web"]
    reply = stub.Exec(pb.ExecRequest(sandbox_id=made.sandbox_id, command=command))
    assert reply.stdout.split()[0] == b"127.0.0.1"
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=made.sandbox_id))


def test_defaults_and_overrides(stub: Any) -> None:
    limits = pb.Resources(cpu="2", memory="1Gi")
    made = stub.CreateSandboxFromFile(
        request(
            b"services: {web: {}, db: {image: x, deploy: {resources: {limits: {cpus: 1}}}}}",
            image_overrides={"web": "pinned"},
            default_resources=pb.ResourceRequirements(limits=limits),
        )
    )
    web, db = made.spec.containers
    assert (web.image, web.resource_requirements.limits.cpu) == ("pinned", "2")
    assert (db.image, db.resource_requirements.limits.cpu) == ("x", "1")
    assert db.resource_requirements.limits.memory == ""
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=made.sandbox_id))


def test_the_same_request_twice(stub: Any) -> None:
    maps = {"annotations": {"x": "1", "y": "2"}, "image_overrides": {"web": "a", "cache": "b"}}
    first, again = (
        stub.CreateSandboxFromFile(request(request_id="from a file", **maps)).sandbox_id
        for _ in range(2)
    )
    assert first == again
    other = request(FILE + b" ", request_id="from a file", **maps)
    code, reason, _ = refused(lambda: stub.CreateSandboxFromFile(other))
    assert (code, reason) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "CWSANDBOX_REQUEST_ID_CONFLICT",
    )
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=first))


CHAIN = b"""
services:
  web:
    image: any
    command: sh -c 'cat /proc/uptime > /tmp/began; exec sleep infinity'
    depends_on:
      db: {condition: service_healthy}
      job: {condition: service_completed_successfully}
  db:
    image: any
    command: sh -c 'sleep 0.5; cat /proc/uptime > /tmp/began; touch /tmp/up; sleep infinity'
    healthcheck:
      test: ["CMD", "test", "-e", "/tmp/up"]
      interval: 50ms
      timeout: 10s
      retries: 1000
    depends_on: [cache]
  job:
    image: any
    command: sh -c 'sleep 0.2; exit CODE'
  cache:
    image: any
"""


def began(stub: Any, sandbox_id: str, container: str) -> float:
    """When the service's command wrote this into its file, which it does first of all."""
    script = "until [ -s /tmp/began ]; do sleep 0.01; done; cat /tmp/began"
    request = pb.ExecRequest(
        sandbox_id=sandbox_id, container=container, command=["sh", "-c", script]
    )
    return float(stub.Exec(request, timeout=30).stdout.split()[0])


def settled(stub: Any, contents: bytes, **fields: Any) -> Any:
    """The sandbox, once it runs or has ended."""
    made = stub.CreateSandboxFromFile(request(contents, **fields), timeout=30)

    def state() -> Any:
        return stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=made.sandbox_id))

    ended = (pb.STATE_RUNNING, pb.STATE_FAILED, pb.STATE_TERMINATED, pb.STATE_COMPLETED)
    eventually(lambda: state().status.state in ended, "it has come to run, or not")
    return state()


def test_services_wait_for_each_other(stub: Any) -> None:
    made = settled(stub, CHAIN.replace(b"CODE", b"0"))
    assert made.status.state == pb.STATE_RUNNING, made.status.state_reason
    # It runs only since everything before has passed. The clock has hundredths: both may begin in the same.
    assert began(stub, made.sandbox_id, "web") >= began(stub, made.sandbox_id, "db")
    states = {one.name: one.state for one in made.status.container_statuses}
    assert states == {
        "web": pb.STATE_RUNNING,
        "db": pb.STATE_RUNNING,
        "job": pb.STATE_COMPLETED,
        "cache": pb.STATE_RUNNING,
    }
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=made.sandbox_id))


@pytest.mark.parametrize(
    ("changed", "into", "reason"),
    [
        (b"CODE", b"3", "container job: ended with exit code 3, and others need its success"),
        (
            b"touch /tmp/up; sleep infinity",
            b"exit 4",
            "container db: ended with exit code 4 before",
        ),
        (b"retries: 1000", b"retries: 2", "container db: its health check has failed 2 times"),
        (b'["CMD", "test", "-e", "/tmp/up"]', b"'sleep 100'", "at last it took too long"),
    ],
)
def test_what_never_runs(stub: Any, changed: bytes, into: bytes, reason: str) -> None:
    contents = CHAIN.replace(changed, into).replace(b"CODE", b"0")
    if b"retries: 2" in contents:
        contents = contents.replace(b"touch /tmp/up", b":")
    if b"sleep 100" in contents:
        contents = contents.replace(b"timeout: 10s", b"timeout: 100ms")
        contents = contents.replace(b"retries: 1000", b"retries: 2")
    made = settled(stub, contents)
    assert made.status.state == pb.STATE_FAILED
    assert reason in made.status.state_reason
    states = {one.name: one.state for one in made.status.container_statuses}
    assert states["web"] == pb.STATE_TERMINATED


def test_one_that_waits_is_stopped(stub: Any) -> None:
    contents = CHAIN.replace(b"CODE", b"0").replace(b"touch /tmp/up", b":")
    made = stub.CreateSandboxFromFile(request(contents), timeout=30)
    assert made.status.state == pb.STATE_CREATING
    stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=made.sandbox_id))

    def state() -> Any:
        return stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=made.sandbox_id)).status.state

    eventually(lambda: state() == pb.STATE_TERMINATED, "it has ended")


@pytest.mark.parametrize(
    ("wanted", "code", "text"),
    [
        (request(type=0), INVALID, "type: must be given"),
        (request(type=7), UNIMPLEMENTED, "type: "),
        (request(control=pb.CONTROL_CONTAINER_ENGINE), UNIMPLEMENTED, "control: "),
        (request(primary_service=""), INVALID, "primary_service: must be given"),
        (request(primary_service="db"), INVALID, 'primary_service: "db" is no service'),
        (request(build_contexts={"web": b"x"}), UNIMPLEMENTED, "build_contexts: "),
        (request(image_overrides={"db": "x"}), INVALID, 'image_overrides: "db" is no service'),
        (request(b""), INVALID, "contents: the document is empty"),
        (request(b"#" * (262144 + 1)), INVALID, "contents: has 262145 bytes"),
        (request(b"["), INVALID, "contents: line "),
        (request(b"[" * 262144), INVALID, "nested too deeply"),
        (
            request(b"services:\n web:\n  image: x\n  privileged: true\n"),
            UNIMPLEMENTED,
            "services.web.privileged (line 4)",
        ),
        (request(b"services:\n web:\n  imgae: x\n"), INVALID, 'line 3): "imgae" is no key'),
        (request(b"services: {web: {build: .}}"), UNIMPLEMENTED, "services.web.build"),
        (request(b"services: {web: {image: x}, B_C: {image: x}}"), INVALID, '"B_C" is no name'),
        (request(max_lifetime_seconds=-1), INVALID, "max_lifetime_seconds"),
    ],
)
def test_what_cannot_be_made(stub: Any, wanted: Any, code: grpc.StatusCode, text: str) -> None:
    got_code, reason, details = refused(lambda: stub.CreateSandboxFromFile(wanted))
    assert got_code == code
    assert text in details
    names = {INVALID: "CWSANDBOX_INVALID_REQUEST", UNIMPLEMENTED: "CWSANDBOX_NOT_IMPLEMENTED"}
    assert reason == names[code]
