"""Runners: grpcio's client, and ours, against our daemon."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from conformance import protos
from cwsandbox import RunnerNotFoundError, Sandbox, Service, get_runner, list_runners
from integration.env import Daemon

pb = protos.messages("discovery")
RUNNER = f"local-{socket.gethostname()}"
FULL = pb.RUNNER_VIEW_FULL


@pytest.fixture(scope="module")
def stub(default_daemon: Daemon) -> Iterator[Any]:
    with grpc.insecure_channel(default_daemon.base_url) as channel:
        yield protos.stubs("discovery").DiscoveryServiceStub(channel)


@pytest.fixture
def here(default_daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CWSANDBOX_BASE_URL", default_daemon.base_url)


def listed(stub: Any, **fields: Any) -> Any:
    return stub.ListAvailableRunners(pb.ListAvailableRunnersRequest(**fields), timeout=20)


def got(stub: Any, **fields: Any) -> Any:
    return stub.GetAvailableRunner(pb.GetAvailableRunnerRequest(**fields), timeout=20)


def memory(name: str) -> int:
    with open("/proc/meminfo") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines[name].split()[0]) * 1024


def test_this_host_is_the_one_runner(stub: Any) -> None:
    reply = listed(stub)
    [one] = reply.runners
    assert reply.next_page_token == ""
    assert (one.runner_id, one.runner_group_id, one.organization_id) == (RUNNER, "local", "local")
    assert one.healthy
    assert 0 < one.connected_at.seconds <= time.time()
    assert not one.HasField("resources")
    can = one.capabilities
    assert 0 < can.max_cpu_millicores <= len(os.sched_getaffinity(0)) * 1000
    assert 0 < can.max_memory_bytes <= memory("MemTotal")
    assert (can.max_gpu_count, can.supports_privileged) == (0, False)
    usual = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    assert list(can.supported_architectures) == [usual]


def test_what_is_free(stub: Any, here: None) -> None:
    before = listed(stub, view=FULL).runners[0]
    with Sandbox.run() as sandbox:
        sandbox.wait()
        during = got(stub, runner_id=RUNNER, organization_id="local", view=FULL)
    assert during.resources.running_sandboxes == before.resources.running_sandboxes + 1
    assert 0 < during.resources.available_cpu_millicores <= during.capabilities.max_cpu_millicores
    assert 0 < during.resources.available_memory_bytes <= during.capabilities.max_memory_bytes
    assert not got(stub, runner_id=RUNNER, organization_id="local").HasField("resources")


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"runner_group_id": "local"}, 1),
        ({"runner_group_id": "other"}, 0),
        ({"gpu_type": "A100"}, 0),
        ({"architecture": "z80"}, 0),
        ({"healthy_only": True}, 1),
        ({"page_size": 1}, 1),
        ({"service_visibility": 1}, 1),
        ({"service_visibility": 2}, 1),
        ({"service_visibility": 3}, 0),
    ],
)
def test_filters(stub: Any, fields: dict[str, Any], count: int) -> None:
    assert len(listed(stub, **fields).runners) == count


def test_the_architecture_that_it_tells_is_one_to_filter_by(stub: Any) -> None:
    [architecture] = listed(stub).runners[0].capabilities.supported_architectures
    assert len(listed(stub, architecture=architecture).runners) == 1


def refused(call: Any) -> tuple[grpc.StatusCode, str, list[str]]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    reason, fields = "", []
    for detail in rpc_status.from_call(caught.value).details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            assert info.domain == "cwsandbox.com"
            reason = info.reason
        elif detail.Unpack(bad):
            fields = [one.field for one in bad.field_violations]
    return caught.value.code(), reason, fields


@pytest.mark.parametrize(
    "fields",
    [{"page_size": -1}, {"page_token": "x"}, {"view": 9}, {"service_visibility": 9}],
)
def test_bad_lists(stub: Any, fields: dict[str, Any]) -> None:
    expected = (
        grpc.StatusCode.INVALID_ARGUMENT,
        "CWSANDBOX_INVALID_REQUEST",
        list(fields),
    )
    assert refused(lambda: listed(stub, **fields)) == expected


def test_bad_gets(stub: Any) -> None:
    assert refused(lambda: got(stub))[2] == ["runner_id"]
    assert refused(lambda: got(stub, runner_id=RUNNER, view=9))[2] == ["view"]
    for ids in (("local-other", "local"), (RUNNER, "other")):
        code, reason, _ = refused(lambda: got(stub, runner_id=ids[0], organization_id=ids[1]))  # noqa: B023
        assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "CWSANDBOX_RUNNER_NOT_FOUND")


def test_our_client(here: None) -> None:
    [one] = list_runners(healthy_only=True, include_resources=True)
    assert one.runner_id == RUNNER
    assert one.resources is not None
    again = get_runner(one.runner_id, organization_id=one.organization_id)
    assert again.max_memory_bytes == one.max_memory_bytes
    assert list_runners(service_visibility="custom") == []
    for visibility in one.supported_service_visibilities:
        assert list_runners(service_visibility=visibility)
        service = Service(port=8000, visibility=visibility)
        with Sandbox.run(services=[service]) as sandbox:
            assert sandbox.wait().service_urls
    assert one.supported_service_visibilities == ("public", "private")
    assert list_runners(min_available_memory_bytes=1 << 60) == []
    with Sandbox.run(runner_ids=[one.runner_id]) as sandbox:
        assert sandbox.wait().runner_id == one.runner_id
    with pytest.raises(RunnerNotFoundError) as raised:
        get_runner("local-other", organization_id="local")
    assert raised.value.reason == "CWSANDBOX_RUNNER_NOT_FOUND"
