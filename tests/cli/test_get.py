"""`cwsandbox get`."""

from __future__ import annotations

import json

import pytest

from cli.program import Program, assert_one_line_error
from cwsandbox import Sandbox, SandboxFailedError


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


def test_an_unknown_id_names_the_nearest(program: Program, sandbox_id: str) -> None:
    wrong = sandbox_id[:-1] + ("0" if sandbox_id[-1] != "0" else "1")
    assert_one_line_error(program.run("get", wrong), wrong, f"Did you mean {sandbox_id}?")
    assert_one_line_error(program.run("get", "nothing-like-it"), "`cwsandbox ls`")
