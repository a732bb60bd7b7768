"""SandboxFusion's own client against `cwsandbox serve-fusion`."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

import pytest
from sandbox_fusion import (
    RunCodeRequest,
    RunStatus,
    run_code,
    run_code_async,
    run_concurrent,
)
from sandbox_fusion.models import CommandRunStatus

from cwsandbox import Sandbox
from cwsandbox.integrations.fusion_request import RunCode
from cwsandbox.integrations.fusion_request import run_code as run_code_here
from frameworks import giving_up


@pytest.fixture
def endpoint(cwsandbox_daemon: str) -> Iterator[str]:
    words = [Path(sys.executable).parent / "cwsandbox", "serve-fusion", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip().removesuffix("/run_code")
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def test_one_by_one(endpoint: str) -> None:
    request = RunCodeRequest(code="print(6 * 7)", language="python")
    answer = run_code(request, endpoint, max_attempts=1, client_timeout=30)
    assert answer.status is RunStatus.Success
    assert answer.run_result.stdout == "42\n"


def test_a_compiler_and_a_time_limit(endpoint: str) -> None:
    wrong = RunCodeRequest(code="int main() { return x; }", language="cpp", compile_timeout=30)
    answer = run_code(wrong, endpoint, max_attempts=1)
    assert answer.status is RunStatus.Failed
    assert answer.compile_result.return_code != 0
    slow = RunCodeRequest(code="sleep 60", language="bash", run_timeout=1)
    answer = run_code(slow, endpoint, max_attempts=1)
    assert answer.run_result.status is CommandRunStatus.TimeLimitExceeded


class _One:
    """A pool whose one sandbox outlives the request, so that it can be looked into."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def acquire(self) -> AbstractAsyncContextManager[Sandbox]:
        return nullcontext(self._sandbox)


async def _wait(sandbox: Sandbox, run_timeout: float) -> dict:
    request = RunCode(giving_up.COMMAND, "bash", run_timeout=run_timeout)
    return await run_code_here(_One(sandbox), request)


async def test_a_cancelled_task_ends_the_command(sandbox: Sandbox) -> None:
    await giving_up.cancel(sandbox, _wait(sandbox, 1000))
    giving_up.assert_gone(sandbox)


async def test_the_time_limit_ends_the_command(sandbox: Sandbox) -> None:
    answer = await _wait(sandbox, 3)
    assert answer["run_result"]["status"] == "TimeLimitExceeded"
    giving_up.assert_gone(sandbox)


async def test_from_coroutines(endpoint: str) -> None:
    requests = [RunCodeRequest(code=f"echo {n}", language="bash") for n in range(16)]
    answers = await asyncio.gather(*(run_code_async(one, endpoint) for one in requests))
    assert [one.run_result.stdout for one in answers] == [f"{n}\n" for n in range(16)]


def test_from_threads(endpoint: str) -> None:
    requests = [[RunCodeRequest(code=f"echo {n}", language="bash"), endpoint] for n in range(64)]
    answers = run_concurrent(run_code, args=requests, concurrency=64)
    assert [one.run_result.stdout for one in answers] == [f"{n}\n" for n in range(64)]
