"""`cwsandbox get`."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from click.testing import Result

from cli.program import Program, assert_one_line_error
from cwsandbox import Sandbox, SandboxFailedError, SandboxStatus


def test_the_text(program: Program, sandbox: Sandbox) -> None:
    lines = program.run("get", str(sandbox.sandbox_id)).stdout.decode().splitlines()
    assert [line[:17].strip() for line in lines[:6]] == [
        "SANDBOX ID",
        "STATUS",
        "RUNNER ID",
        "RUNNER GROUP ID",
        "STARTED AT",
        "RETURNCODE",
    ]
    assert sandbox.started_at is not None
    assert lines[0][17:] == sandbox.sandbox_id
    assert lines[1][17:] == "running"
    assert lines[4][17:] == f"{sandbox.started_at:%Y-%m-%d %H:%M:%S UTC}"
    assert lines[5][17:] == "-"
    assert lines[6:8] == ["", "CONTAINERS"]
    assert " (primary)  " in lines[8]


def test_json(program: Program, sandbox: Sandbox) -> None:
    printed = json.loads(program.run("get", str(sandbox.sandbox_id), "-o", "json").stdout)
    assert list(printed)[:7] == [
        "sandbox_id",
        "status",
        "runner_id",
        "runner_group_id",
        "started_at",
        "returncode",
        "containers",
    ]
    assert printed["sandbox_id"] == sandbox.sandbox_id
    assert printed["returncode"] is None
    assert [list(one) for one in printed["containers"]] == [["name", "image", "primary"]]


def test_a_sandbox_that_has_ended_shows_its_exit_code(program: Program, base_url: str) -> None:
    with Sandbox(command="/bin/sh", args=["-c", "exit 3"]) as sandbox:
        with pytest.raises(SandboxFailedError):
            sandbox.wait_until_complete().result()
        done = program.run("get", str(sandbox.sandbox_id), "-o", "json")
    assert json.loads(done.stdout)["returncode"] == 3


def test_its_containers(invoke: Callable[..., Result]) -> None:
    with patch("cwsandbox.cli.get.Sandbox") as stand_in:
        stand_in.from_id.return_value.result.return_value = SimpleNamespace(
            sandbox_id="sb-1",
            status=SandboxStatus.FAILED,
            runner_id="r",
            runner_group_id="g",
            started_at=None,
            returncode=0,
            containers=[
                SimpleNamespace(name="main", image="python:3.12", primary=True),
                SimpleNamespace(name="db", image="postgres", primary=False),
            ],
            container_statuses=[
                SimpleNamespace(
                    name="main", state=SandboxStatus.RUNNING, exit_code=None, restart_count=0
                ),
                SimpleNamespace(
                    name="db", state=SandboxStatus.TERMINATED, exit_code=0, restart_count=2
                ),
            ],
        )
        assert invoke("get", "sb-1").stdout == (
            "SANDBOX ID       sb-1\n"
            "STATUS           failed\n"
            "RUNNER ID        r\n"
            "RUNNER GROUP ID  g\n"
            "STARTED AT       -\n"
            "RETURNCODE       0\n"
            "\nCONTAINERS\n"
            "  main (primary)  python:3.12\n"
            "  db (helper)  postgres\n"
            "\nCONTAINER STATUS\n"
            "  main  running  restarts=0\n"
            "  db  terminated  exit=0  restarts=2\n"
        )
        printed = json.loads(invoke("get", "sb-1", "-o", "JSON").stdout)
        stand_in.from_id.assert_called_with("sb-1")
    assert printed["container_statuses"] == [
        {"name": "main", "state": "running", "exit_code": None, "restart_count": 0},
        {"name": "db", "state": "terminated", "exit_code": 0, "restart_count": 2},
    ]


def test_an_unknown_id_names_the_nearest(program: Program, sandbox_id: str) -> None:
    wrong = sandbox_id[:-1] + ("0" if sandbox_id[-1] != "0" else "1")
    assert_one_line_error(program.run("get", wrong), wrong, f"Did you mean {sandbox_id}?")
    assert_one_line_error(program.run("get", "nothing-like-it"), "`cwsandbox ls`")


def test_an_id_is_not_suggested_in_its_own_place(program: Program) -> None:
    sandbox_id = program.run("run", "--keep", "true").stderr.split()[1].decode()
    assert program.run("stop", sandbox_id).returncode == 0
    ended = program.run("delete", sandbox_id)
    assert_one_line_error(ended, sandbox_id, "has been stopped or deleted already")
    assert b"Did you mean" not in ended.stderr


@pytest.mark.parametrize("words", [("get", "sb-1"), ("exec", "sb-1", "true"), ("stop", "sb-1")])
def test_an_unknown_id_where_each_command_has_a_daemon_of_its_own(
    program: Program, words: tuple[str, ...]
) -> None:
    ended = program.run(*words, CWSANDBOX_BASE_URL="local")
    assert_one_line_error(ended, "sb-1", "CWSANDBOX_BASE_URL is 'local'", "`cwsandbox local")
