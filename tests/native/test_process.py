"""Process and SandboxCore against a grpcio server."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from conformance.grpc_peer import Call, GrpcPeer
from native.commands import hang
from native.conftest import Run
from native.instance import CheckError, ExecError, Result, load

Sandbox = Any


@pytest.fixture(scope="module", autouse=True)
def commands(peer: GrpcPeer) -> None:
    peer.command("hang")(hang)

    @peer.command("greet")
    async def greet(call: Call) -> None:
        await call.out(b"hello\n")
        await call.err(b"oops\n")
        await call.exit(0)

    @peer.command("exit")
    async def leave(call: Call) -> None:
        await call.out(b"partial")
        await call.exit(int(call.argv[1]))

    @peer.command("error")
    async def error(call: Call) -> None:
        await call.out(b"partial\n")
        await call.error("EXEC_FAILED", "no such command")

    @peer.command("no-exit")
    async def no_exit(call: Call) -> None:
        await call.out(b"partial\n")

    @peer.command("status")
    async def status(call: Call) -> None:
        import grpc

        await call.out(b"partial\n")
        await call.context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no more \N{SNOWMAN}")

    @peer.command("argv")
    async def argv(call: Call) -> None:
        await call.out("\n".join(call.argv[1:]).encode())
        await call.exit(0)


@pytest.fixture
def hanging(sandbox: Sandbox) -> Callable[[], Any]:
    """Processes that have started and run until they are ended."""

    def make(**options: Any) -> Any:
        process = sandbox.exec(["hang"], **options)
        assert next(process.stdout) == "started\n"
        return process

    return make


def test_result(sandbox: Sandbox) -> None:
    process = sandbox.exec(["greet", "what", "is", "told"])
    result = process.result()
    assert result == Result(process, 0, False)
    assert process.result() is result
    assert process.wait() == process.poll() == process.returncode == 0
    assert process.command == ["greet", "what", "is", "told"]
    process.command.append("more")
    assert process.command == ["greet", "what", "is", "told"]
    assert process.cancel() is False
    assert process._cancel() is False
    assert process._output.bytes(False) == b"hello\n"
    assert process._output.bytes(True) == b"oops\n"
    assert sandbox.stats() == (1, 1, 0, 0)


def test_exit_code(sandbox: Sandbox) -> None:
    process = sandbox.exec(["exit", "3"])
    assert process.wait(timeout=30) == 3
    assert process.result().returncode == process.returncode == process.poll() == 3
    assert sandbox.stats() == (1, 0, 1, 0)


def test_check(sandbox: Sandbox) -> None:
    process = sandbox.exec(["exit", "3"], check=True)
    with pytest.raises(CheckError) as caught:
        process.result()
    with pytest.raises(CheckError) as again:
        process.wait()
    assert caught.value is again.value
    assert caught.value.args == (process, 3)
    assert process.poll() == 3
    assert process.returncode is None
    assert list(process.stdout) == ["partial"]
    assert sandbox.exec(["exit", "0"], check=True).wait() == 0


def test_await(sandbox: Sandbox, run: Run) -> None:
    async def main() -> None:
        process = sandbox.exec(["greet"])
        result = await process
        assert result is await process is process.result()
        processes = [sandbox.exec(["exit", str(n)]) for n in range(50)]
        results = await asyncio.gather(*processes)
        assert [result.returncode for result in results] == list(range(50))

    run(main())


def test_argv(sandbox: Sandbox) -> None:
    argv = ["argv", "", "with space", "grüße \N{SNOWMAN} \U0001f40d", *(str(n) for n in range(200))]
    process = sandbox.exec(argv)
    process.result()
    assert process._output.bytes(False).decode().split("\n") == argv[1:]


def test_large_output_exists_once(sandbox: Sandbox) -> None:
    argv = ["argv", *(f"line {n} of many" for n in range(10_000))]
    for _ in range(
        20
    ):  # asked for at once: the result may be there before the end of the output is told
        process = sandbox.exec(argv)
        process.result()
        output = process._output.bytes(False)
        assert output is process._output.bytes(False)
        assert output.decode().split("\n") == argv[1:]
        assert [line.rstrip("\n") for line in process.stdout] == argv[1:]


def test_running(hanging: Callable[[], Any]) -> None:
    process = hanging()
    assert process.poll() is None
    assert process.returncode is None
    assert process._done() is False
    with pytest.raises(TimeoutError):
        process.wait(0.01)
    with pytest.raises(TimeoutError):
        process.result(timeout=0.01)
    assert process._output.bytes(False) == b"started\n"
    process.cancel()


def test_cancel(hanging: Callable[[], Any], sandbox: Sandbox) -> None:
    process = hanging()
    assert process.cancel() is True
    assert process.cancel() is True
    for attempt in (process.result, process.wait):
        with pytest.raises(CancelledError):
            attempt()
    assert process.returncode is None
    assert process.poll() is None
    assert list(process.stdout) == []
    assert sandbox.stats()[3] == 1


def test_cancel_by_the_awaiting_task(hanging: Callable[[], Any], run: Run) -> None:
    async def main() -> None:
        process = hanging()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process, 0.01)
        with pytest.raises(asyncio.CancelledError):
            await process
        assert process.poll() is None

    run(main())


KINDS = {
    "error": ("frame", "UNKNOWN", "no such command", "EXEC_FAILED", False),
    "status": ("status", "RESOURCE_EXHAUSTED", "no more \N{SNOWMAN}", None, False),
    "no-exit": ("no_exit", "OK", None, None, None),
}


@pytest.mark.parametrize("command", KINDS)
def test_failures(sandbox: Sandbox, core: ModuleType, command: str) -> None:
    kind, code_name, message, code_text, local = KINDS[command]
    process = sandbox.exec([command])
    with pytest.raises(ExecError) as caught:
        process.result()
    failed, error = caught.value.args
    assert failed is process
    assert isinstance(error, core.RpcError)
    assert error.kind == kind
    assert error.code_name == code_name
    assert error.code_text == code_text
    assert error.failure is None
    assert error.details == ()
    if message is not None:
        assert error.message == message
        assert str(error) == f"{code_name}: {message}"
        assert error.local is local
    for attempt in (process.result, process.wait):
        with pytest.raises(ExecError) as again:
            attempt()
        assert again.value is caught.value
    assert process.returncode is None
    assert process._output.bytes(False) == b"partial\n"
    assert sandbox.stats() == (1, 0, 0, 1)


def test_deadline(sandbox: Sandbox) -> None:
    process = sandbox.exec(["hang"], timeout=0.1)
    assert process._timeout == 0.1
    with pytest.raises(ExecError) as caught:
        process.result()
    error = caught.value.args[1]
    assert (error.kind, error.code_name, error.code) == ("status", "DEADLINE_EXCEEDED", 4)
    assert sandbox.exec(["greet"])._timeout is None


def test_waits_until_the_sandbox_is_open(core: ModuleType, channel: Any) -> None:
    sandbox = core.SandboxCore()
    assert (sandbox.is_open, sandbox.is_closed, sandbox.stats()) == (False, False, (0, 0, 0, 0))
    processes = [sandbox.exec(["greet"]) for _ in range(10)]
    assert all(process.poll() is None for process in processes)
    sandbox.open(channel, "sb-9")
    assert (sandbox.is_open, sandbox.is_closed) == (True, False)
    assert [process.wait() for process in processes] == [0] * 10


def test_failed_start_fails_those_that_wait(core: ModuleType, channel: Any) -> None:
    sandbox = core.SandboxCore()
    first = sandbox.exec(["greet"])
    sandbox.fail(KeyError("first time"))
    second = sandbox.exec(["greet"])
    sandbox.fail(KeyError("second time"))
    third = sandbox.exec(["greet"])
    for process, text in ((first, "first time"), (second, "second time")):
        with pytest.raises(ExecError) as caught:
            process.result()
        error = caught.value.args[1]
        assert error.kind == "not_open"
        assert error.failure.args == (text,)
    assert third.poll() is None
    sandbox.open(channel, "sb-9")
    assert third.wait() == 0
    assert sandbox.stats() == (3, 1, 0, 2)


def test_close_ends_all(hanging: Callable[[], Any], sandbox: Sandbox) -> None:
    running = hanging()
    reason = KeyError("stopped")
    sandbox.close(reason)
    sandbox.close(KeyError("again"))
    assert (sandbox.is_open, sandbox.is_closed) == (False, True)
    later = sandbox.exec(["greet"])
    for process in (running, later):
        with pytest.raises(ExecError) as caught:
            process.result()
        error = caught.value.args[1]
        assert error.kind == "closed"
        assert error.failure is reason
    assert running._output.bytes(False) == b"started\n"


def test_closed_cannot_be_opened(core: ModuleType, channel: Any) -> None:
    sandbox = core.SandboxCore()
    sandbox.close(KeyError())
    with pytest.raises(RuntimeError, match="closed"):
        sandbox.open(channel, "sb-9")


def test_result_is_made_once(core: ModuleType, channel: Any) -> None:
    module = load()
    making = threading.Event()
    go_on = threading.Event()
    made = []

    def make_result(process: Any, returncode: int, check: bool) -> object:
        making.set()
        assert go_on.wait(30)
        made.append(object())
        return made[-1]

    module.configure("exec", make_value=make_result, make_error=ExecError)
    sandbox = module.SandboxCore()
    sandbox.open(module.Channel(channel.target), "sb-1")
    process = sandbox.exec(["greet"])
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(process.result, 30) for _ in range(8)]
        assert making.wait(30)
        go_on.set()
        results = [one.result() for one in waiting]
    assert len(made) == 1
    assert all(result is made[0] for result in results)


def test_hooks_that_misbehave(core: ModuleType, channel: Any) -> None:
    module = load()
    with pytest.raises(RuntimeError, match="configure"):
        module.SandboxCore()
    with pytest.raises(TypeError, match="make_error must be callable"):
        module.configure("exec", make_value=print, make_error=3)
    with pytest.raises(TypeError, match="kind 'exec' needs make_value"):
        module.configure("exec", make_error=print)
    with pytest.raises(TypeError, match="kind 'write' has no make_value"):
        module.configure("write", make_value=print, make_error=print)
    with pytest.raises(ValueError, match="kind is 'read', but there is no such kind"):
        module.configure("read", make_error=print)
    calls = []

    def make_result(process: Any, returncode: int, check: bool) -> object:
        calls.append(returncode)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return process.result()

    module.configure("exec", make_value=make_result, make_error=print)
    sandbox = module.SandboxCore()
    sandbox.open(module.Channel(channel.target), "sb-1")
    process = sandbox.exec(["greet"])
    with pytest.raises(KeyboardInterrupt):
        process.result()
    with pytest.raises(RuntimeError, match="asked for by what makes it"):
        process.result()
    process = sandbox.exec(["error"])
    with pytest.raises(
        TypeError, match="make_error of 'exec' must return an exception instance, got None"
    ):
        process.result()


def test_bad_arguments(sandbox: Sandbox, core: ModuleType, channel: Any) -> None:
    with pytest.raises(TypeError, match=r"command\[1\] must be a str, got \d"):
        sandbox.exec(["a", 3])
    with pytest.raises(
        ValueError, match=r"command\[2\] must not contain a NUL character, got 'b\\x00c'"
    ):
        sandbox.exec(["a", "b", "b\0c"])
    with pytest.raises(ValueError, match=r"command\[0\] must not contain a lone surrogate"):
        sandbox.exec(["\ud800"])
    with pytest.raises(ValueError, match="must not be empty"):
        sandbox.exec([])
    with pytest.raises(ValueError, match="timeout must be a number of seconds that a float can"):
        sandbox.exec(["a"], timeout=10**400)
    with pytest.raises(ValueError, match="timeout must be a number of seconds >= 0, got -1"):
        sandbox.exec(["a"], timeout=-1)
    with pytest.raises(ValueError, match="timeout must be a number of seconds >= 0, got nan"):
        sandbox.exec(["a"], timeout=float("nan"))
    with pytest.raises(ValueError, match="container must not contain a NUL"):
        sandbox.exec(["a"], container="a\0b")
    with pytest.raises(ValueError, match="cwd must not contain a NUL"):
        sandbox.exec(["a"], cwd="/a\0b")
    with pytest.raises(TypeError, match="missing the argument 'command'"):
        sandbox.exec()
    with pytest.raises(TypeError, match="at most 10 positional"):
        sandbox.exec(["a"], *[None] * 10)
    with pytest.raises(TypeError, match=r"env must be a dict, got \[\]"):
        sandbox.exec(["a"], env=[])
    with pytest.raises(ValueError, match="a name in env must not contain a NUL"):
        sandbox.exec(["a"], env={"a\0": "b"})
    with pytest.raises(TypeError, match=r"env\['a'\] must be a str, got int"):
        sandbox.exec(["a"], env={"a": 3})
    for value in ("secret\0", "secret\udc80", b"secret"):
        with pytest.raises((ValueError, TypeError), match=r"env\['a'\] must") as raised:
            sandbox.exec(["a"], env={"a": value})
        assert "secret" not in str(raised.value)
    for options in ({"max_output_bytes": 0}, {"max_output_bytes": 1, "capture_output": False}):
        with pytest.raises(ValueError, match="max_output_bytes must be positive, with capture"):
            sandbox.exec(["a"], **options)
    with pytest.raises(TypeError, match="channel must be a Channel, got"):
        sandbox.open(3, "sb")
    with pytest.raises(TypeError, match="sandbox_id must be a str"):
        sandbox.open(channel, 3)
    for method in (sandbox.fail, sandbox.close):
        with pytest.raises(TypeError, match="takes an exception instance"):
            method("text")
    assert sandbox.stats() == (0, 0, 0, 0)


def test_process_lives_as_long_as_its_streams_are_used(sandbox: Sandbox) -> None:
    assert list(sandbox.exec(["greet"]).stdout) == ["hello\n"]
    process = sandbox.exec(["greet"])
    assert process.stdout is process.stdout
    assert process.stderr is not process.stdout
    assert process.stdin is None


def test_dropped_process_runs_to_its_end(sandbox: Sandbox) -> None:
    sandbox.exec(["greet"])
    gc.collect()
    assert sandbox.exec(["greet"]).wait() == 0
    deadline = threading.Event()
    while sandbox.stats()[1] < 2:
        assert not deadline.wait(0.001)
    assert sandbox.stats() == (2, 2, 0, 0)


def test_nothing_needs_the_collector(sandbox: Sandbox, core: ModuleType) -> None:
    gc.disable()
    try:
        before = core.stats()["operations"]
        process = sandbox.exec(["greet"], stdin=True)
        readers = process.stdout, process.stderr, process.stdin
        process.result()
        del process, readers
        # The result of the stand-in hook refers to the process; only that cycle is left.
        gc.collect()
        process = sandbox.exec(["greet"], stdin=True)
        assert next(process.stdout) == "hello\n"
        writer = process.stdin
        process.wait()
        del process, writer
        assert core.stats()["operations"] == before
    finally:
        gc.enable()


def test_wait_many_of_processes(
    sandbox: Sandbox, core: ModuleType, hanging: Callable[[], Any]
) -> None:
    slow = hanging()
    quick = [sandbox.exec(["greet"]) for _ in range(3)]
    assert core.wait_many([slow, *quick], 3, 30) == [False, True, True, True]
    slow.cancel()
    assert core.wait_many([slow, *quick], 4, 30) == [True] * 4
