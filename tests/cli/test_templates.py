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
            "resources": {"cpu": "500m", "memory": "256Mi"},
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


def test_one_is_shown_whole_but_for_the_values_of_its_variables(program: Program) -> None:
    options = [
        "-e",
        "TOKEN=s3cret",
        "-e",
        "A=1",
        "--tag",
        "b",
        "--tag",
        "a",
        "--image",
        "python:3.11",
    ]
    size = ["--cpu", "500m", "--memory", "256Mi", "--max-lifetime-seconds", "600"]
    program.run("templates", "create", *options, *size, "whole", "sh", "-c", "sleep 100")
    program.run("templates", "create", "--image", "python:3.11", "bare")
    whole = program.run("templates", "get", "whole").stdout.decode()
    bare = program.run("templates", "get", "bare").stdout.decode()
    for name in ("whole", "bare"):
        program.run("templates", "delete", name)
    assert "s3cret" not in whole
    labels = r"(?m)^ *(NAME|REVISION|TAGS|MAX LIFETIME|CONTAINER|IMAGE|COMMAND|RESOURCES|VARIABLES) +(.*)$"
    assert dict(re.findall(labels, whole)) == {
        "NAME": "whole",
        "REVISION": "1",
        "TAGS": "b, a",
        "MAX LIFETIME": "600 s",
        "CONTAINER": "main",
        "IMAGE": "python:3.11",
        "COMMAND": "sh -c 'sleep 100'",
        "RESOURCES": "cpu 500m, memory 256Mi",
        "VARIABLES": "A, TOKEN",
    }
    missing = {"TAGS", "MAX LIFETIME", "COMMAND", "RESOURCES", "VARIABLES"}
    told = dict(re.findall(labels, bare))
    assert {label for label, text in told.items() if text == "-"} == missing


def test_a_command_in_a_sandbox_from_a_template(program: Program) -> None:
    program.run("templates", "create", "-e", "A=theirs", "--image", "python:3.11", "ci")
    script = ["sh", "-c", "echo $A $B"]
    done = program.run("run", "--template", "ci", *script)
    assert (done.stdout, done.stderr) == (b"theirs\n", b"")
    done = program.run("run", "--template", "ci", "-e", "A=mine", "-e", "B=too", *script)
    assert done.stdout == b"mine too\n"
    done = program.run("run", "--template", "ci", "--image", "python:3.12", "-e", "B=mine", *script)
    assert done.stdout == b"mine\n"
    kept = program.run("run", "--template", "ci", "--keep", "true")
    with Sandbox.from_id(kept.stderr.decode().split()[1]).result() as sandbox:
        assert sandbox.exec(script).result().stdout == "theirs\n"
    program.run("templates", "delete", "ci")
    for words in (["run", "--template", "ci", "true"], ["templates", "get", "ci"]):
        refused = program.run(*words)
        assert_one_line_error(refused, "template 'ci' failed", "`cwsandbox templates list`")
        assert b"cwsandbox ls" not in refused.stderr


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
