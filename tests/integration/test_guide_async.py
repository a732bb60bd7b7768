"""Every example of the exec guide, as a user of asyncio writes it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

import cwsandbox
from cwsandbox import Sandbox, SandboxExecutionError, SandboxTimeoutError
from integration import guide_files

pytestmark = pytest.mark.usefixtures("base_url")


@pytest.fixture
async def box(base_url: str) -> AsyncIterator[Sandbox]:
    async with Sandbox.run() as running:
        yield running


async def put(sandbox: Sandbox, path: str, content: bytes | str) -> None:
    await asyncio.to_thread(guide_files.put, sandbox, path, content)


async def test_async_usage(capsys: pytest.CaptureFixture[str]) -> None:
    async with Sandbox.run() as sandbox:
        process = sandbox.exec(["cat"], stdin=True)

        await process.stdin.write(b"async hello\n")
        await process.stdin.close()

        result = await process
        print(result.stdout)  # "async hello\n"
    assert capsys.readouterr().out == "async hello\n\n"


async def test_basic_execution() -> None:
    async with Sandbox.run() as sandbox:
        result = await sandbox.exec(["echo", "Hello, World!"])
        assert result.stdout == "Hello, World!\n"
        assert result.returncode == 0


async def test_getting_results(box: Sandbox) -> None:
    process = box.exec(["python", "-c", "print('hello')"])
    result = await process
    assert (result.stdout, result.stderr, result.returncode) == ("hello\n", "", 0)
    assert await process is result

    result = await box.exec(["ls", "-la"])
    assert result.stdout.startswith("total ")


async def test_streaming_output(box: Sandbox) -> None:
    await put(box, "long_script.py", guide_files.LONG_SCRIPT)
    process = box.exec(["python", "long_script.py"])
    lines = [line async for line in process.stdout]
    assert lines == ["step 0\n", "step 1\n", "step 2\n"]
    result = await process
    assert result.returncode == 0
    assert result.stdout == "".join(lines)


async def test_multiple_writes(box: Sandbox) -> None:
    process = box.exec(["cat"], stdin=True)
    await process.stdin.writeline("line 1")
    await process.stdin.writeline("line 2")
    await process.stdin.writeline("line 3")
    await process.stdin.close()
    result = await process
    assert result.stdout == "line 1\nline 2\nline 3\n"


async def test_interactive_python_via_stdin(box: Sandbox) -> None:
    process = box.exec(["python3"], stdin=True)
    await process.stdin.writeline("x = 40 + 2")
    await process.stdin.writeline("print(f'answer: {x}')")
    await process.stdin.close()
    result = await process
    assert result.stdout == "answer: 42\n"


async def test_combining_stdin_and_stdout_streaming(box: Sandbox) -> None:
    process = box.exec(["cat"], stdin=True)
    await process.stdin.writeline("hello")
    await process.stdin.writeline("world")
    # cat answers before the end of its input: a conversation.
    lines = process.stdout
    assert await anext(lines) == "hello\n"
    assert await anext(lines) == "world\n"
    await process.stdin.close()
    assert [line async for line in lines] == []
    assert (await process).returncode == 0


async def test_eof_dependent_commands(box: Sandbox) -> None:
    process = box.exec(["sort"], stdin=True)
    await process.stdin.writeline("banana")
    await process.stdin.writeline("apple")
    await process.stdin.writeline("cherry")
    await process.stdin.close()
    result = await process
    assert result.stdout == "apple\nbanana\ncherry\n"


async def test_working_directory(box: Sandbox) -> None:
    assert (await box.exec(["mkdir", "-p", "/app/data"])).returncode == 0
    result = await box.exec(["pwd"], cwd="/app/data")
    assert result.stdout == "/app/data\n"


async def test_timeouts(box: Sandbox) -> None:
    with pytest.raises(SandboxTimeoutError):
        await box.exec(["sleep", "60"], timeout_seconds=0.5)


async def test_check(box: Sandbox) -> None:
    assert (await box.exec(["false"])).returncode == 1
    with pytest.raises(SandboxExecutionError) as caught:
        await box.exec(["python", "-c", "raise ValueError('oops')"], check=True)
    assert caught.value.exec_result.returncode == 1
    assert "ValueError: oops" in caught.value.exec_result.stderr


async def test_running_python_code(box: Sandbox) -> None:
    result = await box.exec(["python", "-c", "import json\nprint(json.dumps({'result': 42}))"])
    assert json.loads(result.stdout) == {"result": 42}


async def test_sequential_execution() -> None:
    name, wheel = guide_files.requests_wheel()
    async with Sandbox.run(environment_variables=guide_files.PIP_ENVIRONMENT) as sandbox:
        await put(sandbox, f"/tmp/{name}", wheel)
        await put(sandbox, "script_using_requests.py", guide_files.SCRIPT_USING_REQUESTS)
        installed = await sandbox.exec(["pip", "install", "requests"])
        used = await sandbox.exec(["python", "script_using_requests.py"])
    assert installed.returncode == 0, installed.stderr
    assert used.stdout == "requests True\n", used.stderr


async def test_parallel_execution() -> None:
    sandboxes = [Sandbox.run() for _ in range(3)]
    processes = [sb.exec(["python", "-c", f"print({i})"]) for i, sb in enumerate(sandboxes)]
    results = await asyncio.gather(*processes)
    assert [r.stdout for r in results] == ["0\n", "1\n", "2\n"]
    await asyncio.gather(*[sb.stop() for sb in sandboxes])


async def test_waiting_for_n_of_m(box: Sandbox) -> None:
    await put(box, "task.py", guide_files.TASK_SCRIPT)
    processes = [box.exec(["python", "task.py"]) for _ in range(3)]
    done, pending = await asyncio.to_thread(cwsandbox.wait, processes, num_returns=2)
    assert len(done) >= 2
    assert len(done) + len(pending) == 3
    for p in [*done, *pending]:
        assert (await p).stdout == "task done\n"


async def test_process_control(box: Sandbox) -> None:
    await put(box, "server.py", guide_files.SERVER_SCRIPT)
    process = box.exec(["python", "server.py"])
    assert process.poll() is None
    await box.exec(["touch", "/tmp/end"], check=True)
    result = await process
    assert result.returncode == 7
    assert process.poll() == 7
