"""The published SDK and ours against our daemon: sandboxes from templates, registered volumes, settings."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest

from conformance import protos
from integration.env import Daemon

TOKEN = "a-token-0123456789"


@pytest.fixture(scope="module")
def template_id(daemon: Daemon) -> str:
    pb, tb = protos.messages(), protos.messages("sandbox_template")
    container = pb.PartialContainer(
        name="main", image="python:3.11", environment_variables={"GREETING": "hello"}
    )
    spec = pb.PartialSandboxSpec(containers=[container], tags=["theirs"])
    wanted = tb.SandboxTemplate(display_name="greeter", spec=spec)
    with grpc.insecure_channel(daemon.base_url.removeprefix("http://")) as channel:
        stub = protos.stubs("sandbox_template").SandboxTemplateServiceStub(channel)
        made = stub.CreateSandboxTemplate(
            tb.CreateSandboxTemplateRequest(sandbox_template=wanted),
            metadata=[("authorization", f"Bearer {TOKEN}")],
        )
    return str(made.sandbox_template_id)


def test_template(run_both: Callable[..., str], template_id: str) -> None:
    run_both("resources.py", "template", template_id)


@pytest.mark.parametrize("case", ["volumes", "settings"])
def test_resources(run_both: Callable[..., str], case: str) -> None:
    run_both("resources.py", case)
