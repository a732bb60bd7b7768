"""How commands end other than by themselves: cancel, deadline, stop, a lost client."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from cwsandbox import (
    Process,
    Sandbox,
    SandboxError,
    SandboxExecutionError,
    SandboxFailedError,
    SandboxNotRunningError,
    SandboxStatus,
    SandboxTimeoutError,
)
from integration.env import Daemon, eventually
from integration.host import Mark

# A shell with a child of its own: killing the shell alone would leave the child.
FAMILY = "echo begun; sleep 300 & wait"


def begin(sandbox: Sandbox, mark: Mark) -> Process:
    """A running command with a child; both carry the mark."""
    process = sandbox.exec(["env", f"MARK={mark.value}", "sh", "-c", FAMILY])
    assert next(process.stdout) == "begun\n"
    eventually(lambda: len(mark.pids()) >= 2, "shell and child run")
    return process


def test_cancel_kills_the_process_group(sandbox: Sandbox) -> None:
    mark = Mark()
    process = begin(sandbox, mark)
    assert process.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        process.result()
    eventually(lambda: not mark.pids(), "the whole group is dead")
    assert sandbox.exec(["echo", "healthy"]).result().stdout == "healthy\n"


async def test_cancelled_await_kills_the_process_group(sandbox: Sandbox) -> None:
    mark = Mark()
    process = await asyncio.to_thread(begin, sandbox, mark)

    async def wait() -> None:
        await process

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(eventually, lambda: not mark.pids(), "the whole group is dead")


def test_deadline_kills_the_process_group(sandbox: Sandbox) -> None:
    mark = Mark()
    command = ["env", f"MARK={mark.value}", "sh", "-c", FAMILY]
    process = sandbox.exec(command, timeout_seconds=1.0)
    with pytest.raises(SandboxTimeoutError) as caught:
        process.result()
    assert "1" in str(caught.value)
    eventually(lambda: not mark.pids(), "the whole group is dead")
    assert sandbox.exec(["echo", "healthy"]).result().stdout == "healthy\n"


def test_a_timeout_has_the_output_until_then(sandbox: Sandbox) -> None:
    command = ["sh", "-c", "echo so far; echo bad >&2; sleep 60"]
    with pytest.raises(SandboxTimeoutError) as caught:
        sandbox.exec(command, timeout_seconds=4).result()
    error = caught.value
    assert (error.cmd, error.timeout) == (command, 4)
    assert (error.output, error.stdout, error.stderr) == ("so far\n", "so far\n", "bad\n")


def test_stop_during_an_exec_raises_with_the_partial_output(base_url: str) -> None:
    mark = Mark()
    with Sandbox.run() as sandbox:
        process = begin(sandbox, mark)

        def wait() -> None:
            with pytest.raises(SandboxError):
                process.result()

        waiting = threading.Thread(target=wait)
        waiting.start()
        sandbox.stop(graceful_shutdown_seconds=0).result()
        with pytest.raises(SandboxError) as caught:
            process.result()
        waiting.join(10)
        assert not waiting.is_alive()
    assert process.returncode is None
    assert caught.value.exec_result.stdout == "begun\n"  # type: ignore[attr-defined]
    eventually(lambda: not mark.pids(), "the whole group is dead")
    with pytest.raises(SandboxNotRunningError):
        sandbox.exec(["true"]).result()


def stop(sandbox: Sandbox) -> None:
    sandbox.stop(graceful_shutdown_seconds=0).result()


def stop_gracefully(sandbox: Sandbox) -> None:
    sandbox.stop(graceful_shutdown_seconds=5).result()


def last_command(sandbox: Sandbox, *command: str) -> None:
    with contextlib.suppress(SandboxNotRunningError):  # it may end with the rest
        sandbox.exec(command).result()


def test_statistics_of_commands(base_url: str) -> None:
    with Sandbox.run() as sandbox:
        sandbox.exec(["true"], check=True).result()
        sandbox.exec(["false"]).result()
        with pytest.raises(SandboxExecutionError):
            sandbox.exec(["false"], check=True).result()
        assert sandbox.exec_stats == {
            "exec_count": 3,
            "exec_completed_ok": 1,
            "exec_completed_nonzero": 1,
            "exec_failures": 1,
        }


def end_main_command(sandbox: Sandbox) -> None:
    last_command(sandbox, "touch", "/tmp/end")


def kill_main_command(sandbox: Sandbox) -> None:
    last_command(sandbox, "sh", "-c", "kill -KILL $(cat /tmp/pid)")


def outlive(sandbox: Sandbox) -> None:
    """Its lifetime ends it."""


WAITS_FOR_ITS_END = "echo $$ > /tmp/pid; until [ -e /tmp/end ]; do sleep 0.02; done"


@pytest.mark.parametrize(
    "end", [stop, stop_gracefully, end_main_command, kill_main_command, outlive]
)
def test_whatever_ends_the_sandbox_its_commands_raise_one_class(
    base_url: str, end: Callable[[Sandbox], None]
) -> None:
    lifetime = 2 if end is outlive else None
    with Sandbox.run("sh", "-c", WAITS_FOR_ITS_END, max_lifetime_seconds=lifetime) as sandbox:
        running = [sandbox.exec(["sleep", "300"]) for _ in range(150)]
        begun = sandbox.exec(["sh", "-c", "echo begun; sleep 300"])
        if end is not outlive:  # that one waits for nobody
            assert next(begun.stdout) == "begun\n"
        late = [sandbox.exec(["sleep", "300"]) for _ in range(150)]  # some are on their way
        end(sandbox)
        for process in [*running, begun, *late]:
            with pytest.raises(SandboxError) as caught:
                process.result(20)
            assert type(caught.value) is SandboxNotRunningError, caught.value


def test_a_main_command_that_failed_unseen(base_url: str) -> None:
    with Sandbox.run("false") as sandbox:
        other = Sandbox.from_id(str(sandbox.sandbox_id)).result()
        with pytest.raises(SandboxFailedError):
            other.wait_until_complete(20).result()
        with pytest.raises(SandboxError) as caught:
            sandbox.exec(["true"]).result()
        assert type(caught.value) in (SandboxNotRunningError, SandboxFailedError)
        with pytest.raises(SandboxFailedError):
            sandbox.wait(20)
        assert sandbox.status is SandboxStatus.FAILED


def test_leaving_the_block_of_a_sandbox_that_was_deleted(base_url: str) -> None:
    with Sandbox.run() as sandbox:
        Sandbox.delete(str(sandbox.sandbox_id)).result()
    assert sandbox.status is SandboxStatus.TERMINATED


def test_readers_of_a_stopped_sandbox_do_not_hang(base_url: str) -> None:
    with Sandbox.run() as sandbox:
        process = sandbox.exec(["sleep", "300"])
        seen: list[object] = []

        def read() -> None:
            try:
                seen.extend(process.stdout)
                seen.append("end")
            except SandboxError as error:
                seen.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        sandbox.stop(graceful_shutdown_seconds=0).result()
        reader.join(20)
        assert not reader.is_alive()
        assert len(seen) == 1


LOST_CLIENT = """
import sys
from cwsandbox import Sandbox
sandbox = Sandbox.run()
process = sandbox.exec(["env", "MARK=" + sys.argv[1], "sh", "-c", "echo begun; sleep 300 & wait"])
print(next(process.stdout), end="", flush=True)
process.result()
"""


def test_a_lost_client_kills_its_commands(daemon: Daemon, base_url: str) -> None:
    mark = Mark()
    client = subprocess.Popen(
        [sys.executable, "-c", LOST_CLIENT, mark.value], stdout=subprocess.PIPE, text=True
    )
    assert client.stdout is not None
    with client.stdout:
        assert client.stdout.readline() == "begun\n"
        client.kill()
        client.wait()
    assert client.returncode == -signal.SIGKILL
    eventually(lambda: not mark.pids(), "the commands of the lost client are dead")


def test_many_at_once(sandbox: Sandbox) -> None:
    processes = [sandbox.exec(["sh", "-c", f"echo {n}; exit {n % 7}"]) for n in range(200)]
    results = [process.result() for process in processes]
    assert [r.stdout for r in results] == [f"{n}\n" for n in range(200)]
    assert [r.returncode for r in results] == [n % 7 for n in range(200)]


def test_much_output_on_both_streams(sandbox: Sandbox) -> None:
    script = "head -c 20000000 /dev/zero & head -c 10000000 /dev/zero >&2; wait"
    result = sandbox.exec(["sh", "-c", script]).result()
    assert result.stdout_bytes == bytes(20_000_000)
    assert result.stderr_bytes == bytes(10_000_000)


def test_much_input(sandbox: Sandbox) -> None:
    process = sandbox.exec(["wc", "-c"], stdin=True)
    assert process.stdin is not None
    for _ in range(64):
        process.stdin.write(bytes(500_000))
    process.stdin.close().result()
    assert process.result().stdout.strip() == "32000000"


def test_input_that_nobody_reads(sandbox: Sandbox) -> None:
    """The command ends without having read: writes are let go, and the result is its own."""
    process = sandbox.exec(["sh", "-c", "exec <&-; echo done; exit 4"], stdin=True)
    assert process.stdin is not None
    writes = []
    try:
        for _ in range(200):
            writes.append(process.stdin.write(bytes(65536)))
    except SandboxError:
        pass  # the command had ended already
    result = process.result()
    assert (result.stdout, result.returncode) == ("done\n", 4)
    for write in writes:
        try:
            write.result(20)
        except SandboxError:
            continue


def test_background_child_that_keeps_the_pipe(sandbox: Sandbox) -> None:
    """A command that leaves a child behind with its stdout open still ends when it ends, or with the child."""
    script = "(sleep 0.3; echo late) & echo early"
    result = sandbox.exec(["sh", "-c", script]).result()
    assert result.returncode == 0
    assert result.stdout.startswith("early\n")


def test_a_server_in_the_background_goes_on(sandbox: Sandbox) -> None:
    """It logs each request to the stderr of a command that ended before the first one."""
    sandbox.exec(["sh", "-c", "nohup python3 -m http.server --bind 127.0.0.1 8123 & :"]).result()
    listens = "import socket; socket.create_connection(('127.0.0.1', 8123))"
    sandbox.exec(["sh", "-c", f'until python3 -c "{listens}"; do sleep 0.1; done']).result()
    fetch = "import urllib.request as r; [r.urlopen('http://127.0.0.1:8123/').read() for _ in range(20)]"
    for _ in range(2):
        result = sandbox.exec(["python3", "-c", fetch]).result()
        assert result.returncode == 0, result.stderr
