"""`cwsandbox ls`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, patch

import pytest
from click.testing import Result

from cli.program import Program
from cwsandbox import Sandbox, SandboxStatus

Invoke = Callable[..., Result]

KEYS = ["sandbox_id", "status", "runner_id", "runner_group_id", "started_at"]
ONE = SimpleNamespace(
    sandbox_id="sb-1",
    status=SandboxStatus.RUNNING,
    runner_id="runner-7",
    runner_group_id=None,
    started_at=datetime(2026, 1, 2, 3, 4, 5, 678),
)
BARE = SimpleNamespace(
    sandbox_id="x" * 50, status=None, runner_id=None, runner_group_id=None, started_at=None
)


@pytest.fixture
def listing() -> Any:
    with patch("cwsandbox.cli.list.Sandbox") as stand_in:
        stand_in.list = MagicMock()
        stand_in.list.return_value.result.return_value = [ONE, BARE]
        yield stand_in.list


def test_the_table(invoke: Invoke, listing: MagicMock) -> None:
    assert invoke("ls").output == (
        f"{'SANDBOX ID':40} {'STATUS':14} {'RUNNER':20} STARTED AT\n"
        f"{'-' * 40} {'-' * 14} {'-' * 20} {'-' * 24}\n"
        f"{'sb-1':40} {'running':14} {'runner-7':20} 2026-01-02 03:04:05 UTC\n"
        f"{'x' * 50} {'-':14} {'-':20} -\n"
    )


def test_json(invoke: Invoke, listing: MagicMock) -> None:
    printed = json.loads(invoke("ls", "-o", "JSON").output)
    assert [list(one) for one in printed] == [KEYS, KEYS]
    assert list(printed[0].values()) == [
        "sb-1",
        "running",
        "runner-7",
        None,
        "2026-01-02T03:04:05.000678",
    ]
    assert list(printed[1].values()) == ["x" * 50, None, None, None, None]


@pytest.mark.parametrize(
    ("words", "printed"), [([], "No sandboxes found.\n"), (["-ojson"], "[]\n")]
)
def test_nothing_found(invoke: Invoke, listing: MagicMock, words: list[str], printed: str) -> None:
    listing.return_value.result.return_value = []
    done = invoke("ls", *words)
    assert (done.exit_code, done.output) == (0, printed)


def test_filters(invoke: Invoke, listing: MagicMock) -> None:
    invoke("ls")
    listing.assert_called_once_with(tags=None, status=None, runner_ids=None)
    listing.reset_mock()
    invoke("ls", "-s", "Preparing", "-t", "a", "-t", "b", "-T", "r")
    listing.assert_called_once_with(tags=["a", "b"], status="preparing", runner_ids=["r"])


@pytest.mark.parametrize("status", ["unspecified", "asleep"])
def test_a_status_that_is_none(invoke: Invoke, listing: MagicMock, status: str) -> None:
    assert invoke("ls", "-s", status).exit_code == 2
    listing.assert_not_called()


def test_against_the_daemon(program: Program) -> None:
    with Sandbox.run(tags=["listed"]) as first, Sandbox.run():
        first.wait()
        done = program.run("ls", "-t", "listed", "-o", "json")
        (one,) = json.loads(done.stdout)
        assert one["sandbox_id"] == first.sandbox_id
        assert one["status"] == "running"
        assert first.started_at is not None
        assert one["started_at"] == first.started_at.isoformat()
    assert first.status is not None
    ended = json.loads(program.run("ls", "-t", "listed", "-s", first.status.value, "-ojson").stdout)
    assert [one["sandbox_id"] for one in ended] == [first.sandbox_id]
