"""mini-swe-agent's own agent, with a model that says what the test lets it say, in a sandbox."""

from __future__ import annotations

import pytest
import yaml
from minisweagent.agents.default import DefaultAgent
from minisweagent.environments import get_environment
from minisweagent.models.test_models import DeterministicModel, make_output

from code_blocks import blocks
from cwsandbox.exceptions import SandboxNotRunningError
from cwsandbox.integrations.minisweagent import CWSandboxEnvironment
from frameworks import giving_up

NAME = "cwsandbox.integrations.minisweagent.CWSandboxEnvironment"
DONE = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


@pytest.fixture
def environment(cwsandbox_daemon: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FORWARDED", "forwarded")
    made = get_environment(
        {
            "environment_class": NAME,
            "image": "docker://python:3.11",
            "cwd": "/tmp",
            "env": {"GIVEN": "given"},
            "forward_env": ["FORWARDED", "NOT_THERE"],
        }
    )
    assert isinstance(made, CWSandboxEnvironment)
    yield made
    made.cleanup()
    assert made.sandbox.get_status() in ("completed", "terminated")


def run(environment: CWSandboxEnvironment, *commands: str) -> tuple[dict, list[dict]]:
    outputs = [make_output("go on", [{"command": command}]) for command in commands]
    agent = DefaultAgent(
        DeterministicModel(outputs=outputs),
        environment,
        system_template="You are a test on {{system}} in {{cwd}}.",
        instance_template="{{task}}",
        cost_limit=100,
    )
    return agent.run("a task"), agent.messages


def test_the_agent_works_and_submits(environment: CWSandboxEnvironment) -> None:
    extra, messages = run(
        environment,
        "echo one > made; echo $GIVEN $FORWARDED in $PWD; echo wrong >&2; exit 3",
        f"echo {DONE}; cat made",
    )
    assert extra == {"exit_status": "Submitted", "submission": "one\n"}
    observed = messages[3]["content"]
    assert "<returncode>3</returncode>" in observed
    assert "given forwarded in /tmp\nwrong\n" in observed


def test_the_model_sees_what_a_command_over_its_time_said(
    environment: CWSandboxEnvironment,
) -> None:
    environment.config.timeout = 1
    extra, messages = run(environment, "echo begun; sleep 60", f"echo {DONE}; echo after")
    assert extra["submission"] == "after\n"
    assert "<exception>An error occurred while executing the command" in messages[3]["content"]
    assert "begun" in messages[3]["content"]


def test_an_interrupt_ends_the_command(environment: CWSandboxEnvironment) -> None:
    giving_up.interrupt(environment.sandbox, lambda: run(environment, giving_up.COMMAND))
    giving_up.assert_gone(environment.sandbox)


def test_the_time_limit_ends_the_command(environment: CWSandboxEnvironment) -> None:
    environment.config.timeout = 3
    run(environment, giving_up.COMMAND, f"echo {DONE}")
    giving_up.assert_gone(environment.sandbox)


def test_a_command_that_fails_does_not_submit(environment: CWSandboxEnvironment) -> None:
    _, messages = run(environment, f"echo {DONE}; exit 1", f"echo {DONE}; echo now")
    assert DONE in messages[3]["content"]


def test_a_sandbox_that_is_gone_ends_the_run(environment: CWSandboxEnvironment) -> None:
    environment.sandbox.stop(graceful_shutdown_seconds=0).result()
    with pytest.raises(SandboxNotRunningError):
        run(environment, "echo on")


def test_the_trajectory_names_the_environment(environment: CWSandboxEnvironment) -> None:
    config = environment.serialize()["info"]["config"]
    assert config["environment_type"] == NAME
    assert config["environment"]["cwd"] == "/tmp"


def test_the_guide(cwsandbox_daemon: str) -> None:
    (example,) = blocks("docs/guide/mini-swe-agent.md", "yaml", count=1)
    made = get_environment(yaml.safe_load(example)["environment"])
    try:
        assert made.execute({"command": "pwd"})["output"] == "/work\n"
        assert made.sandbox.tags == ("mini",)
    finally:
        made.cleanup()
