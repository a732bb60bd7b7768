"""Runners: amounts as text, the values, what is asked of the service, and what its failures become."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from cwsandbox import Runner, RunnerResources, exceptions, format_bytes, format_cpu
from cwsandbox import get_runner as get
from cwsandbox import list_runners as list_
from cwsandbox._lifecycle import runners as _runners
from cwsandbox._messages import runners as _messages
from cwsandbox._service.rpc import Code, ErrorInfo, RpcFailure
from cwsandbox._types.error import FieldViolation
from unit.service import Service, environment, failure, received, run

LIST = "DiscoveryService/ListAvailableRunners"
GET = "DiscoveryService/GetAvailableRunner"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        ((1 << 20) - 1, "1024.0 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 40, "1.0 TiB"),
        (1 << 50, "1024.0 TiB"),
        (-5, "-5 B"),
    ],
)
def test_bytes_as_text(value: int, text: str) -> None:
    assert format_bytes(value) == text


@pytest.mark.parametrize(
    ("millicores", "text"), [(0, "0.0 vCPU"), (500, "0.5 vCPU"), (1500, "1.5 vCPU")]
)
def test_processors_as_text(millicores: int, text: str) -> None:
    assert format_cpu(millicores) == text


# ---- values ----

RESOURCES = {
    "available_cpu_millicores": 1500,
    "available_memory_bytes": 1 << 30,
    "available_gpu_count": 1,
    "running_sandboxes": 2,
}
CAPABILITIES = {
    "max_cpu_millicores": 4000,
    "max_memory_bytes": 8 << 30,
    "max_gpu_count": 1,
    "supported_gpu_types": ["A100"],
    "supported_architectures": ["amd64"],
    "supports_privileged": True,
    "available_storage_classes": ["fast"],
    "supported_service_visibilities": [1, 2, 77],
}


def available(runner_id: str = "r-1", **fields: Any) -> dict[str, Any]:
    return received("AvailableRunner", {"runner_id": runner_id, **fields})


def test_a_runner_that_says_everything() -> None:
    runner = _messages.runner(
        available(
            organization_id="org",
            runner_group_id="group",
            tags=["a", "b"],
            healthy=True,
            is_shared=True,
            connected_at={"seconds": 1_700_000_000, "nanos": 5000},
            capabilities=CAPABILITIES,
            resources=RESOURCES,
        )
    )
    assert runner == Runner(
        runner_id="r-1",
        organization_id="org",
        runner_group_id="group",
        tags=("a", "b"),
        healthy=True,
        is_shared=True,
        connected_at=datetime(2023, 11, 14, 22, 13, 20, 5, UTC),
        max_cpu_millicores=4000,
        max_memory_bytes=8 << 30,
        max_gpu_count=1,
        supported_gpu_types=("A100",),
        supported_architectures=("amd64",),
        supports_privileged=True,
        available_storage_classes=("fast",),
        supported_service_visibilities=("public", "private", "unspecified"),
        resources=RunnerResources(**RESOURCES),
    )
    assert repr(runner) == (
        "Runner(runner_id='r-1', organization_id='org', healthy=True, cpu=4.0 vCPU, memory=8.0 GiB, gpus=1, "
        "visibilities=['public', 'private', 'unspecified'])"
    )


def test_a_runner_that_says_nothing() -> None:
    runner = _messages.runner(available())
    assert runner.connected_at == datetime(1970, 1, 1, tzinfo=UTC)
    assert runner.resources is None
    assert (runner.healthy, runner.tags, runner.max_cpu_millicores) == (False, (), 0)
    assert runner.supported_service_visibilities == ()


def test_lists_become_tuples_and_values_compare_and_hash() -> None:
    fields = dataclasses.asdict(_messages.runner(available()))
    runner = Runner(**{**fields, "tags": ["a"]})
    assert runner.tags == ("a",)
    assert runner == Runner(**{**fields, "tags": ("a",)})
    assert len({runner, Runner(**{**fields, "tags": ("a",)})}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        runner.healthy = True  # type: ignore[misc]


# ---- what is asked ----

BASIC = {"view": 1, "page_size": 100, "healthy_only": False, "service_visibility": 0}


def request(**given: Any) -> dict[str, Any]:
    return _messages.list_request(
        **{"full": False, "healthy_only": False, "service_visibility": None, **given}
    )


def test_the_request_for_a_list() -> None:
    assert request() == BASIC
    assert request(full=True, healthy_only=True) == {**BASIC, "view": 2, "healthy_only": True}
    named = {"runner_group_id": "g", "gpu_type": "A100", "architecture": "arm64"}
    assert request(**named) == BASIC | named
    with pytest.raises(TypeError, match="gpu_type must be a str"):
        request(gpu_type=5)
    with pytest.raises(TypeError, match="healthy_only must be a bool"):
        request(healthy_only="yes")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("public", 1),
        (" PRIVATE ", 2),
        ("visibility_custom", 3),
        ("VISIBILITY_PUBLIC", 1),
        ("unspecified", 0),
    ],
)
def test_visibilities(name: str, number: int) -> None:
    assert request(service_visibility=name)["service_visibility"] == number


@pytest.mark.parametrize("name", ["", "secret", "visibility_"])
def test_visibilities_that_there_are_not(name: str) -> None:
    with pytest.raises(ValueError, match="unknown service_visibility"):
        list_(service_visibility=name)


@pytest.mark.parametrize(
    ("runner_id", "organization_id", "wrong"),
    [("", "o", "runner_id"), ("  ", "o", "runner_id"), ("r", "", "org"), ("r", "\t", "org")],
)
def test_blank_ids(runner_id: str, organization_id: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=f"{wrong}.* must not be"):
        get(runner_id, organization_id=organization_id)


def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="min_available_gpu_count must be an int"):
        list_(min_available_gpu_count="1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="include_resources must be a bool"):
        list_(include_resources=1)  # type: ignore[arg-type]


# ---- calls ----


def page(*ids: str, token: str = "") -> dict[str, Any]:
    return {"runners": [available(name) for name in ids], "next_page_token": token}


def find(*replies: Any) -> list[str]:
    service = Service(**{LIST: list(replies)})
    return [one.runner_id for one in run(_runners.find(service.call, environment(), BASIC))]


def test_all_pages() -> None:
    assert find(page("a", token="1"), page("b")) == ["a", "b"]


def test_a_list_without_an_end_is_a_failed_discovery() -> None:
    with pytest.raises(exceptions.DiscoveryError, match="pagination loop"):
        find(page(token="1"), page(token="1"))
    with pytest.raises(exceptions.DiscoveryError, match="exceeded 100 pages"):
        find(*(page(token=str(index)) for index in range(101)))


def test_one_runner() -> None:
    wanted = _messages.get_request("r-1", "org")
    service = Service(**{GET: [available()]})
    assert run(_runners.get(service.call, wanted)).runner_id == "r-1"
    assert service.sent[0].request == {"runner_id": "r-1", "organization_id": "org", "view": 2}


def failed(error: RpcFailure) -> Any:
    wanted = _messages.get_request("r-1", "org")
    with pytest.raises(exceptions.CWSandboxError) as raised:
        run(_runners.get(Service(**{GET: [error]}).call, wanted))
    return raised.value


@pytest.mark.parametrize(
    "error",
    [
        failure(Code.NOT_FOUND),
        failure(Code.NOT_FOUND, reason="SOMETHING", domain="elsewhere"),
        failure(Code.FAILED_PRECONDITION, reason="CWSANDBOX_RUNNER_NOT_FOUND"),
    ],
)
def test_a_runner_that_there_is_not(error: RpcFailure) -> None:
    raised = failed(error)
    assert type(raised) is exceptions.RunnerNotFoundError
    assert raised.runner_id == "r-1"
    assert "r-1" in str(raised)


def test_failures() -> None:
    for code in (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED):
        assert type(failed(failure(code))) is exceptions.CWSandboxAuthenticationError
    for code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.INVALID_ARGUMENT):
        assert type(failed(failure(code))) is exceptions.DiscoveryError
    hinted = failed(failure(Code.UNAVAILABLE, delay=3.0))
    assert hinted.retry_delay.total_seconds() == 3.0
    violations = (FieldViolation("page_size", "must not be negative"),)
    refused = RpcFailure(
        Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "bad", ErrorInfo(field_violations=violations)
    )
    assert type(failed(refused)) is exceptions.DiscoveryValidationError
    assert failed(refused).field_violations == violations
    with pytest.raises(exceptions.DiscoveryError, match="List runners"):
        find(failure(Code.UNAVAILABLE))
