"""Sandboxes out of Compose files, made by grpcio's generated client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from conformance import protos

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
        assert made.status.state == pb.STATE_RUNNING
        got = stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=made.sandbox_id))
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
