"""Every example of the exec guide, as a user of plain threads writes it."""

from __future__ import annotations

import json

import pytest

import cwsandbox
from cwsandbox import Sandbox, SandboxExecutionError, SandboxTimeoutError
from integration import guide_files

pytestmark = pytest.mark.usefixtures("base_url")


def test_basic_execution(capsys: pytest.CaptureFixture[str]) -> None:
    with Sandbox.run() as sandbox:
        # Run a command and get the result
        result = sandbox.exec(["echo", "Hello, World!"]).result()

        print(result.stdout)  # "Hello, World!\n"
        print(result.returncode)  # 0
    assert capsys.readouterr().out == "Hello, World!\n\n0\n"


def test_getting_results(sandbox: Sandbox) -> None:
    # Returns Process immediately
    process = sandbox.exec(["python", "-c", "print('hello')"])

    # Block for result
    result = process.result()
    assert result.stdout == "hello\n"
    assert result.stderr == ""
    assert result.returncode == 0

    # One-liner pattern
    result = sandbox.exec(["ls", "-la"]).result()
    assert result.returncode == 0
    assert result.stdout.startswith("total ")


def test_streaming_output(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    guide_files.put(sandbox, "long_script.py", guide_files.LONG_SCRIPT)
    # Returns Process immediately
    process = sandbox.exec(["python", "long_script.py"])

    # Stream stdout line by line
    for line in process.stdout:
        print(f"[stdout] {line}", end="")

    # Get final result
    result = process.result()
    print(f"Exit code: {result.returncode}")
    expected = "[stdout] step 0\n[stdout] step 1\n[stdout] step 2\nExit code: 0\n"
    assert capsys.readouterr().out == expected
    assert result.stdout == "step 0\nstep 1\nstep 2\n"


def test_stdin_streaming(capsys: pytest.CaptureFixture[str]) -> None:
    with Sandbox.run() as sandbox:
        process = sandbox.exec(["cat"], stdin=True)

        process.stdin.write(b"hello world\n").result()
        process.stdin.close().result()

        result = process.result()
        print(result.stdout)  # "hello world\n"
    assert capsys.readouterr().out == "hello world\n\n"


def test_without_stdin_there_is_no_writer(sandbox: Sandbox) -> None:
    process = sandbox.exec(["cat"])
    assert process.stdin is None
    result = process.result()
    assert (result.returncode, result.stdout) == (0, "")


def test_multiple_writes(sandbox: Sandbox) -> None:
    process = sandbox.exec(["cat"], stdin=True)

    process.stdin.writeline("line 1").result()
    process.stdin.writeline("line 2").result()
    process.stdin.writeline("line 3").result()
    process.stdin.close().result()

    result = process.result()
    assert result.stdout == "line 1\nline 2\nline 3\n"


def test_interactive_python_via_stdin(sandbox: Sandbox) -> None:
    process = sandbox.exec(["python3"], stdin=True)

    process.stdin.writeline("x = 40 + 2").result()
    process.stdin.writeline("print(f'answer: {x}')").result()
    process.stdin.close().result()

    result = process.result()
    assert result.stdout == "answer: 42\n"


def test_combining_stdin_and_stdout_streaming(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    process = sandbox.exec(["cat"], stdin=True)

    # Send input
    process.stdin.writeline("hello").result()
    process.stdin.writeline("world").result()
    process.stdin.close().result()

    # Stream output as it arrives
    for line in process.stdout:
        print(f"[out] {line}", end="")

    result = process.result()
    assert capsys.readouterr().out == "[out] hello\n[out] world\n"
    assert result.stdout == "hello\nworld\n"


def test_eof_dependent_commands(sandbox: Sandbox) -> None:
    process = sandbox.exec(["sort"], stdin=True)

    process.stdin.writeline("banana").result()
    process.stdin.writeline("apple").result()
    process.stdin.writeline("cherry").result()
    process.stdin.close().result()  # sort needs EOF to begin

    result = process.result()
    assert result.stdout == "apple\nbanana\ncherry\n"


def test_working_directory(sandbox: Sandbox) -> None:
    assert sandbox.exec(["sh", "-c", "mkdir -p /app/data && touch /app/data/found"]).wait() == 0
    result = sandbox.exec(
        ["ls", "-la"],
        cwd="/app/data",
    ).result()
    assert result.returncode == 0
    assert "found" in result.stdout
    with pytest.raises(ValueError, match="absolute"):
        sandbox.exec(["ls"], cwd="app/data")


def test_timeouts(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    # The guide waits 5.0 seconds; the rule is the same for less.
    try:
        sandbox.exec(
            ["sleep", "60"],
            timeout_seconds=0.5,
        ).result()
    except SandboxTimeoutError:
        print("Command timed out")
    assert capsys.readouterr().out == "Command timed out\n"


def test_check_false_returns_the_result(sandbox: Sandbox) -> None:
    result = sandbox.exec(["false"]).result()
    assert result.returncode == 1


def test_check_true_raises(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        sandbox.exec(
            ["python", "-c", "raise ValueError('oops')"],
            check=True,
        ).result()
    except SandboxExecutionError as e:
        print(f"Command failed: {e.exec_result.returncode}")
        print(f"stderr: {e.exec_result.stderr}")
    out = capsys.readouterr().out
    assert out.startswith("Command failed: 1\nstderr: Traceback")
    assert "ValueError: oops" in out


def test_running_python_code(sandbox: Sandbox) -> None:
    # One-liner
    result = sandbox.exec(
        ["python", "-c", "import sys; print(sys.version)"],
    ).result()
    assert result.stdout.startswith("3.")

    # Script from string
    code = """
import json
data = {"result": 42}
print(json.dumps(data))
"""
    result = sandbox.exec(["python", "-c", code]).result()
    output = json.loads(result.stdout)
    assert output == {"result": 42}


def test_sequential_execution() -> None:
    name, wheel = guide_files.requests_wheel()
    with Sandbox.run(environment_variables=guide_files.PIP_ENVIRONMENT) as sandbox:
        guide_files.put(sandbox, f"/tmp/{name}", wheel)
        guide_files.put(sandbox, "script_using_requests.py", guide_files.SCRIPT_USING_REQUESTS)
        # Dependencies require sequential execution
        installed = sandbox.exec(["pip", "install", "requests"]).result()
        used = sandbox.exec(["python", "script_using_requests.py"]).result()
    assert installed.returncode == 0, installed.stderr
    assert used.stdout == "requests True\n", used.stderr


def test_parallel_execution(capsys: pytest.CaptureFixture[str]) -> None:
    # Start multiple sandboxes
    sandboxes = [Sandbox.run() for _ in range(3)]

    # Start commands on each
    processes = [sb.exec(["python", "-c", f"print({i})"]) for i, sb in enumerate(sandboxes)]

    # Collect all results
    results = [p.result() for p in processes]
    for r in results:
        print(r.stdout)
    assert capsys.readouterr().out == "0\n\n1\n\n2\n\n"
    for sb in sandboxes:
        sb.stop().result()


def test_waiting_for_n_of_m() -> None:
    sandboxes = [Sandbox.run() for _ in range(3)]
    for sb in sandboxes:
        guide_files.put(sb, "task.py", guide_files.TASK_SCRIPT)
    processes = [sb.exec(["python", "task.py"]) for sb in sandboxes]

    # Wait for first 2 to complete
    done, pending = cwsandbox.wait(processes, num_returns=2)
    assert len(done) >= 2
    assert len(done) + len(pending) == 3

    # Process completed ones immediately
    for p in done:
        assert p.result().stdout == "task done\n"

    # Wait for remaining
    for p in pending:
        assert p.result().stdout == "task done\n"
    for sb in sandboxes:
        sb.stop().result()


def test_process_control(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    guide_files.put(sandbox, "server.py", guide_files.SERVER_SCRIPT)
    process = sandbox.exec(["python", "server.py"])

    # Check if running (non-blocking)
    if process.poll() is None:
        print("Still running")
    sandbox.exec(["touch", "/tmp/end"], check=True).result()

    # Wait for completion
    exit_code = process.wait()
    print(f"Exited with code: {exit_code}")
    assert capsys.readouterr().out == "Still running\nExited with code: 7\n"
    assert process.poll() == 7
    assert process.returncode == 7
