"""inspect_ai's own checks of a sandbox provider, and a task whose model works in one."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from inspect_ai import Task, task_with
from inspect_ai import eval as inspect_eval
from inspect_ai.dataset import Sample
from inspect_ai.scorer import CORRECT, INCORRECT, Score, accuracy, scorer
from inspect_ai.solver import solver
from inspect_ai.tool import bash
from inspect_ai.util import (
    OutputLimitExceededError,
    SandboxEnvironmentSpec,
    SandboxUnavailableError,
    override_sandbox_output_limit,
)
from inspect_ai.util import sandbox as inspect_sandbox

# The checks that come with the framework; each is a test that takes `sandbox_env`.
from inspect_ai.util._sandbox.self_check import *  # noqa: F403

from code_blocks import blocks
from cwsandbox import Sandbox
from cwsandbox.integrations.inspect_ai import TAG, CWSandboxConfig, CWSandboxEnvironment
from frameworks import giving_up

_IS_ROOT = "the sandbox's user is root, who may write to a file without write permission"
# For its own images, whose user is root, inspect_ai's runner excepts the same writes.
_KNOWN = {
    "test_write_text_file_without_permissions": _IS_ROOT,
    "test_write_binary_file_without_permissions": _IS_ROOT,
    "test_exec_as_user": "a sandbox has one user",
}


@pytest.fixture
async def sandbox_env(
    cwsandbox_daemon: str, request: pytest.FixtureRequest
) -> AsyncIterator[CWSandboxEnvironment]:
    if reason := _KNOWN.get(request.node.originalname):
        request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))
    config = CWSandboxConfig(working_dir="/tmp")
    environments = await CWSandboxEnvironment.sample_init("checks", config, {})
    yield environments["default"]
    await CWSandboxEnvironment.sample_cleanup("checks", config, environments, False)


@scorer(metrics=[accuracy()])
def file_is_there():
    async def score(state, target):
        found = await inspect_sandbox().read_file("answer.txt")
        await inspect_sandbox().exec(["rm", "answer.txt"])
        return Score(value=CORRECT if found == target.text else INCORRECT)

    return score


@solver
def write_answer():
    async def solve(state, generate):
        command = ["sh", "-c", f"cat > answer.txt; test $ROLE = {state.metadata['role']}"]
        result = await inspect_sandbox().exec(command, input=state.input_text)
        assert result.success, result
        return state

    return solve


def test_a_task_finds_the_provider_and_leaves_nothing(
    cwsandbox_daemon: str, tmp_path: Path
) -> None:
    config = CWSandboxConfig(environment_variables={"ROLE": "answerer"}, tags=["a-task"])
    task = Task(
        dataset=[
            Sample(text, target=text, metadata={"role": "answerer"}) for text in ("forty", "two")
        ],
        solver=write_answer(),
        scorer=file_is_there(),
        sandbox=SandboxEnvironmentSpec("cwsandbox", config),
    )
    (log,) = inspect_eval(task, model="mockllm/model", log_dir=str(tmp_path), display="none")
    assert log.status == "success", log.error
    assert log.results is not None
    assert log.results.scores[0].metrics["accuracy"].value == 1.0
    assert Sandbox.list(tags=[TAG]).result() == []
    ended = Sandbox.list(tags=["a-task"], show_terminated=True).result()
    assert len(ended) == 2


async def test_output_over_the_limit_is_an_error(sandbox_env: CWSandboxEnvironment) -> None:
    with override_sandbox_output_limit(1 << 20, "exec"), pytest.raises(OutputLimitExceededError):
        await sandbox_env.exec(["head", "-c", "2000000", "/dev/zero"])


async def test_a_cancelled_task_ends_the_command(sandbox_env: CWSandboxEnvironment) -> None:
    await giving_up.cancel(
        sandbox_env.sandbox, sandbox_env.exec(["/bin/sh", "-c", giving_up.COMMAND])
    )
    giving_up.assert_gone(sandbox_env.sandbox)


async def test_the_time_limit_ends_the_command(sandbox_env: CWSandboxEnvironment) -> None:
    with pytest.raises(TimeoutError):
        await sandbox_env.exec(["/bin/sh", "-c", giving_up.COMMAND], timeout=3)
    giving_up.assert_gone(sandbox_env.sandbox)


async def test_a_command_of_a_sandbox_that_is_gone(sandbox_env: CWSandboxEnvironment) -> None:
    await CWSandboxEnvironment.cli_cleanup(sandbox_env.sandbox.sandbox_id)
    with pytest.raises(SandboxUnavailableError):
        await sandbox_env.exec(["sleep", "60"])


async def test_another_process_gets_in_by_the_connection(
    sandbox_env: CWSandboxEnvironment,
) -> None:
    connection = await sandbox_env.connection()
    address, program, verb, sandbox_id = shlex.split(connection.command)
    assert (program, verb) == ("cwsandbox", "sh")
    code = f"from cwsandbox import Sandbox; print(Sandbox.from_id({sandbox_id!r}).result().status)"
    command = ["env", address, sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout == "running\n"


async def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ValueError, match="colour"):
        CWSandboxEnvironment.config_deserialize({"colour": "red"})


@solver
def use_bash():
    """Uses the tool itself: with a model inspect_ai loads a tokenizer from the internet to count its words."""

    async def solve(state, generate):
        state.output.completion = str(await bash(timeout=60)("expr 6 \\* 7"))
        return state

    return solve


def test_the_guide(cwsandbox_daemon: str, tmp_path: Path) -> None:
    (example,) = blocks("docs/guide/inspect-ai.md", count=1)
    names: dict = {}
    exec(example, names)
    task = task_with(names["task"], solver=use_bash())
    (log,) = inspect_eval(task, model="mockllm/model", log_dir=str(tmp_path), display="none")
    assert log.status == "success", log.error
    assert log.results is not None
    assert log.results.scores[0].metrics["accuracy"].value == 1.0
