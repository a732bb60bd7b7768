"""`cwsandbox templates`, with a daemon."""

from __future__ import annotations

import ast
import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from cli.program import Program, assert_one_line_error
from cwsandbox import Sandbox

Invoke = Callable[..., Result]
EXAMPLES = Path(__file__).parents[2] / "examples"
PRINTED = {
    "template": "hello, 42 ('from-template',)\nhello, 42 ('mine',)\n",
    "template_async": "['hello Ada', 'hello Grace', 'hello Mary']\n",
}


def test_from_its_making_to_its_end(program: Program) -> None:
    words = ["--image", "python:3.11", "-e", "GREETING=s3cret", "--tag", "kept"]
    size = ["--cpu", "500m", "--memory", "256Mi", "--max-lifetime-seconds", "600"]
    line = ["sh", "-c", "echo $GREETING; sleep 100"]
    done = program.run("templates", "create", *words, *size, "-o", "json", "greeter", *line)
    made = json.loads(done.stdout)
    assert made["display_name"] == "greeter"
    assert made["tags"] == ["kept"]
    assert made["max_lifetime_seconds"] == 600
    assert made["containers"] == [
        {
            "name": "main",
            "image": "python:3.11",
            "command": "sh",
            "args": line[1:],
            "environment_variables": ["GREETING"],
        }
    ]
    assert json.loads(program.run("templates", "get", "greeter", "-o", "json").stdout) == made
    listed = json.loads(program.run("templates", "list", "-o", "json").stdout)
    assert made in listed
    table = program.run("templates", "list").stdout.decode().splitlines()
    assert [one.split()[1:4] for one in table if "greeter" in one] == [
        ["greeter", "1", "python:3.11"]
    ]
    again = program.run("templates", "create", *words, "greeter")
    assert_one_line_error(again, "greeter")

    with Sandbox.run_from_template("greeter", tags=["mine"]) as sandbox:
        assert next(iter(sandbox.stream_logs(follow=True))) == "s3cret\n"
        assert sandbox.tags == ("mine",)
        assert sandbox.containers[0].command == "sh"
    with Sandbox.run_from_template(made["sandbox_template_id"]) as sandbox:
        assert sandbox.wait().tags == ("kept",)

    assert program.run("templates", "delete", "greeter").stdout == b"Deleted greeter.\n"
    assert_one_line_error(program.run("templates", "delete", "greeter"), "greeter")
    assert program.run("templates", "delete", "greeter", "--missing-ok", "-q").stdout == b""
    assert_one_line_error(program.run("templates", "get", "greeter"), "greeter")


def test_the_examples(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    docstring = ast.get_docstring(ast.parse((EXAMPLES / "template.py").read_text()))
    assert docstring is not None
    (before,) = re.findall(r"``cwsandbox (.*)``", docstring)
    program.run(*before.split())
    for name, printed in PRINTED.items():
        runpy.run_path(str(EXAMPLES / f"{name}.py"))
        assert capsys.readouterr().out == printed
    program.run("templates", "delete", "greeter")


def test_wrong_usage(invoke: Invoke) -> None:
    refused = invoke("templates", "create", "--image", "i", "--cpu", "1", "name")
    assert refused.exit_code == 2
    assert "--cpu and --memory" in refused.output
    assert invoke("templates", "create", "name").exit_code == 2
