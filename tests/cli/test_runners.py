"""`cwsandbox runners`."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import MagicMock, patch

import pytest
from click.testing import Result

from cli.program import Program, assert_one_line_error
from cwsandbox import Runner, RunnerResources

Invoke = Callable[..., Result]

ONE = Runner(
    runner_id="r-1",
    organization_id="org",
    runner_group_id="group",
    tags=("fast", "new"),
    healthy=True,
    is_shared=False,
    connected_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    max_cpu_millicores=4000,
    max_memory_bytes=8 << 30,
    max_gpu_count=0,
    supported_gpu_types=(),
    supported_architectures=("amd64",),
    supports_privileged=False,
    available_storage_classes=(),
    supported_service_visibilities=("public",),
    resources=RunnerResources(
        available_cpu_millicores=2500,
        available_memory_bytes=1536 << 20,
        available_gpu_count=0,
        running_sandboxes=3,
    ),
)
SILENT = replace(ONE, runner_id="r-2", healthy=False, resources=None)


@pytest.fixture
def service() -> Any:
    with (
        patch("cwsandbox.cli.runners.list_runners", return_value=[ONE, SILENT]) as listing,
        patch("cwsandbox.cli.runners.get_runner", return_value=ONE) as getting,
    ):
        yield MagicMock(list=listing, get=getting)


def test_the_table(invoke: Invoke, service: MagicMock) -> None:
    lines = invoke("runners", "list").output.splitlines()
    assert [" ".join(line.split()) for line in lines[2:]] == [
        "r-1 org yes 2.5 vCPU of 4.0 vCPU 1.5 GiB of 8.0 GiB 3",
        "r-2 org no - of 4.0 vCPU - of 8.0 GiB -",
    ]
    columns = [lines[0].index("CPU FREE"), lines[2].index("2.5"), lines[3].index("- of 4.0")]
    assert len(set(columns)) == 1


def test_filters(invoke: Invoke, service: MagicMock) -> None:
    words = ["-g", "g", "--gpu-type", "A100", "--architecture", "arm64", "--healthy"]
    invoke("runners", "list", *words, "--visibility", "PUBLIC")
    service.list.assert_called_once_with(
        include_resources=True,
        runner_group_id="g",
        gpu_type="A100",
        architecture="arm64",
        healthy_only=True,
        service_visibility="public",
    )
    service.list.return_value = []
    assert invoke("runners", "list").output == "No runners found.\n"


def test_json(invoke: Invoke, service: MagicMock) -> None:
    first, second = json.loads(invoke("runners", "list", "-o", "json").output)
    assert list(first) == list(Runner.__dataclass_fields__)
    assert first["resources"]["running_sandboxes"] == 3
    assert first["tags"] == ["fast", "new"]
    assert first["connected_at"] == "2026-01-02T03:04:05+00:00"
    assert second["resources"] is None
    one = json.loads(invoke("runners", "get", "r-1", "-o", "json").output)
    assert one == first


def test_get(invoke: Invoke, service: MagicMock) -> None:
    printed = invoke("runners", "get", "r-1").output
    told = {line[:31].rstrip(): line[32:] for line in printed.splitlines()}
    assert told["RUNNER ID"] == "r-1"
    assert told["TAGS"] == "fast, new"
    assert told["HEALTHY"] == "yes"
    assert told["MAX CPU"] == "4.0 vCPU"
    assert told["AVAILABLE MEMORY"] == "1.5 GiB"
    assert told["SUPPORTED GPU TYPES"] == "-"
    assert told["CONNECTED AT"] == "2026-01-02T03:04:05+00:00"
    service.get.assert_called_once_with("r-1", organization_id="org")


def test_whose_runner(invoke: Invoke, service: MagicMock) -> None:
    invoke("runners", "get", "r-9", "--organization", "mine")
    service.get.assert_called_once_with("r-9", organization_id="mine")
    missing = invoke("runners", "get", "r-9")
    assert missing.exit_code == 1
    assert "There is no runner 'r-9'" in missing.output
    service.list.return_value = [ONE, replace(ONE, organization_id="other")]
    several = invoke("runners", "get", "r-1")
    assert several.exit_code == 2
    assert "(org, other): say --organization" in several.output


def test_the_program(program: Program) -> None:
    name = f"local-{socket.gethostname()}"
    [listed] = json.loads(program.run("runners", "list", "-o", "json").stdout)
    assert listed["runner_id"] == name
    got = json.loads(program.run("runners", "get", name, "-o", "json").stdout)
    assert got["max_memory_bytes"] == listed["max_memory_bytes"] > 0
    refused = program.run("runners", "get", "local-other", "--organization", "local")
    assert_one_line_error(refused, "local-other")
