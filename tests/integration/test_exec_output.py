"""What of a command's output is kept, what that costs, and when it is held back."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cwsandbox import (
    OperationRef,
    Process,
    Sandbox,
    SandboxExecutionError,
    SandboxStreamTruncatedError,
    StreamWriter,
)
from integration import host
from integration.env import eventually

MIB = 1024 * 1024
MUCH = 256 * MIB
MAY_COST = 16 * MIB
"""How much more memory the client may take for any amount of output that it need not keep."""

LINE = "x" * 99
PRINT_MUCH = f"yes {LINE} | head -c {MUCH}"


class Memory:
    """The most memory that was seen in use above what was in use at the start."""

    def __init__(self) -> None:
        gc.collect()
        self.start = host.resident_bytes(os.getpid())
        self.most = 0

    def look(self) -> None:
        self.most = max(self.most, host.resident_bytes(os.getpid()) - self.start)


@contextmanager
def bounded_memory() -> Iterator[Memory]:
    memory = Memory()
    yield memory
    memory.look()
    assert memory.most < MAY_COST, f"{memory.most / MIB:.1f} MiB"


@pytest.fixture(autouse=True)
def warmed_up(sandbox: Sandbox) -> None:
    """What the first output of all costs is not counted."""
    assert sum(map(len, sandbox.exec(["seq", "100000"], capture_output=False).stdout)) == 588895
    sandbox.exec(["rm", "-f", "/tmp/done", "/tmp/count"]).result()


def wait_for_file(sandbox: Sandbox, path: str, memory: Memory) -> None:
    def exists() -> bool:
        memory.look()
        return sandbox.exec(["test", "-e", path]).result().returncode == 0

    eventually(exists, f"{path} is there")


# ---- capture_output=False ----


def test_reading_costs_no_memory(sandbox: Sandbox) -> None:
    process = sandbox.exec(["sh", "-c", PRINT_MUCH], capture_output=False)
    size = 0
    with bounded_memory() as memory:
        for number, line in enumerate(process.stdout):
            size += len(line)
            if number % 10_000 == 0:
                memory.look()
    assert size == MUCH
    result = process.result()
    assert (result.returncode, result.stdout, result.stdout_bytes) == (0, "", b"")
    assert (result.stdout_omitted_bytes, result.output_captured) == (MUCH, False)


def test_reading_asynchronously_costs_no_memory(sandbox: Sandbox) -> None:
    async def main() -> int:
        size = 0
        process = sandbox.exec(["sh", "-c", PRINT_MUCH], capture_output=False)
        with bounded_memory() as memory:
            async for text in process.stdout.chunks():
                size += len(text)
                memory.look()
        assert (await process).output_captured is False
        return size

    assert asyncio.run(main()) == MUCH


COUNT_MEBIBYTES = f"""
n=0
while [ $n -lt 64 ]; do
    yes {LINE} | head -c {MIB}
    n=$((n + 1))
    echo $n > /tmp/count
done
"""


def test_a_reader_that_sleeps_holds_the_command_back(sandbox: Sandbox) -> None:
    process = sandbox.exec(["sh", "-c", COUNT_MEBIBYTES], capture_output=False)
    out = process.stdout

    def written() -> int:
        return int(sandbox.exec(["cat", "/tmp/count"]).result().stdout or 0)

    def is_held_back() -> bool:
        # What is written by now, and is still that after as many commands again.
        counts = {written() for _ in range(50)}
        return len(counts) == 1

    size = len(next(out))
    with bounded_memory() as memory:
        eventually(is_held_back, "the command is held back")
        # The window, and what lies in the daemon and in the pipe.
        assert written() <= 8
        while size < 32 * MIB:
            size += len(next(out))
        eventually(lambda: written() >= 30, "the command goes on")
        eventually(is_held_back, "the command is held back")
        assert written() <= 40
        memory.look()
    assert size + sum(map(len, out)) == 64 * MIB
    assert process.result().returncode == 0


def test_a_line_longer_than_what_is_held(sandbox: Sandbox) -> None:
    script = "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo next"
    with bounded_memory():
        *pieces, last = sandbox.exec(["sh", "-c", script], capture_output=False).stdout
    assert max(map(len, pieces)) == 512 * 1024
    assert "".join(pieces) == "x" * 5_000_000 + "\n"
    assert last == "next\n"


def test_the_stream_that_nobody_reads_holds_nothing_up(sandbox: Sandbox) -> None:
    script = f"({PRINT_MUCH}) >&2; echo done; echo last >&2"
    process = sandbox.exec(["sh", "-c", script], capture_output=False)
    with bounded_memory() as memory:
        assert list(process.stdout) == ["done\n"]
        memory.look()
    with pytest.raises(SandboxStreamTruncatedError, match="bytes of its stderr"):
        next(process.stderr)
    *rest, last = process.stderr
    assert last.endswith("xlast\n")
    assert sum(map(len, rest)) <= 512 * 1024


def test_two_readers(sandbox: Sandbox) -> None:
    script = f"({PRINT_MUCH}) >&2 & yes y | head -c {MIB}; wait"
    process = sandbox.exec(["sh", "-c", script], capture_output=False)
    out, err = process.stdout, process.stderr
    sizes = []
    reader = threading.Thread(target=lambda: sizes.append(sum(map(len, err))))
    with bounded_memory():
        reader.start()
        assert sum(map(len, out)) == MIB
        reader.join(60)
    assert sizes == [MUCH]


def test_who_waits_for_the_end_gets_there_without_reading(sandbox: Sandbox) -> None:
    with bounded_memory() as memory:
        process = sandbox.exec(["sh", "-c", f"{PRINT_MUCH}; exit 3"], capture_output=False)
        assert process.wait() == 3
        memory.look()
    assert process.result().stdout_omitted_bytes == MUCH
    failing = sandbox.exec(["sh", "-c", "echo a; exit 3"], capture_output=False, check=True)
    with pytest.raises(
        SandboxExecutionError, match="code 3; its output was not captured"
    ) as raised:
        failing.result()
    assert raised.value.exec_result is not None
    assert not raised.value.exec_result.output_captured
    assert list(failing.stdout) == ["a\n"]


def test_leaving_the_loop_and_waiting(sandbox: Sandbox) -> None:
    process = sandbox.exec(["sh", "-c", f"{PRINT_MUCH}; exit 4"], capture_output=False)
    for line in process.stdout:
        assert line == f"{LINE}\n"
        break
    with bounded_memory():
        assert process.result().returncode == 4


# ---- what nobody can have ----


def test_output_of_a_dropped_handle(sandbox: Sandbox) -> None:
    with bounded_memory() as memory:
        sandbox.exec(["sh", "-c", f"{PRINT_MUCH}; touch /tmp/done"])
        wait_for_file(sandbox, "/tmp/done", memory)


def stdin_of(process: Process) -> StreamWriter:
    assert process.stdin is not None
    return process.stdin


def a_write(process: Process) -> OperationRef[None]:
    return stdin_of(process).write(b"x" * MIB)


def an_awaiter(process: Process) -> Generator[Any, None, None]:
    return a_write(process).__await__()


def a_failed_write(process: Process) -> BaseException:
    stdin_of(process).close()
    try:
        a_write(process)
    except SandboxExecutionError as error:
        return error.with_traceback(None)
    raise AssertionError("written after the end of input")


@pytest.mark.parametrize("keep", [stdin_of, a_write, an_awaiter, a_failed_write])
def test_who_writes_does_not_keep_the_output(
    sandbox: Sandbox, keep: Callable[[Process], object]
) -> None:
    with bounded_memory() as memory:
        kept = keep(sandbox.exec(["sh", "-c", f"{PRINT_MUCH}; touch /tmp/done"], stdin=True))
        wait_for_file(sandbox, "/tmp/done", memory)
    assert kept is not None


def test_the_output_goes_with_the_handle_after_the_end(sandbox: Sandbox) -> None:
    process = sandbox.exec(["sh", "-c", PRINT_MUCH], stdin=True)
    assert process.wait() == 0
    writer = stdin_of(process)
    gc.collect()
    before = host.resident_bytes(os.getpid())
    del process
    assert host.resident_bytes(os.getpid()) < before - MUCH // 2
    assert writer.close().result() is None


def test_output_whose_readers_are_closed(sandbox: Sandbox) -> None:
    script = f"seq 10; read go; {PRINT_MUCH}; seq 10; touch /tmp/done"
    process = sandbox.exec(["sh", "-c", script], stdin=True)
    assert next(process.stdout) == "1\n"
    process.stdout.close()
    process.stderr.close()
    assert process.stdin is not None
    with bounded_memory() as memory:
        process.stdin.writeline("go").result()
        wait_for_file(sandbox, "/tmp/done", memory)
    result = process.result()
    assert result.stdout_omitted_bytes == MUCH + 2 * 21 - len(result.stdout_bytes) > 0
    assert result.stdout.startswith("1\n2\n3\n4\n")
    assert result.stdout.endswith("x1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n")
    assert list(process.stdout) == []


def test_little_output_whose_readers_are_closed_is_kept(sandbox: Sandbox) -> None:
    process = sandbox.exec(["sh", "-c", "read go; seq 100000; echo e >&2"], stdin=True)
    process.stdout.close()
    process.stderr.close()
    assert process.stdin is not None
    process.stdin.writeline("go").result()
    result = process.result()
    assert (len(result.stdout), result.stderr, result.stdout_omitted_bytes) == (588895, "e\n", 0)


# ---- max_output_bytes ----


def test_the_first_and_the_last_bytes(sandbox: Sandbox) -> None:
    script = f"echo begin; {PRINT_MUCH}; echo end; echo short >&2"
    with bounded_memory() as memory:
        result = sandbox.exec(["sh", "-c", script], max_output_bytes=MIB).result()
        memory.look()
        assert len(result.stdout_bytes) == MIB
        assert result.stdout_omitted_bytes == MUCH + 10 - MIB
    whole = f"begin\n{(LINE + chr(10)) * 11000}"
    assert result.stdout[: MIB // 2] == whole[: MIB // 2]
    assert result.stdout.endswith(f"{LINE}\n{LINE[: MUCH % 100]}end\n")
    assert (result.stderr, result.stderr_omitted_bytes) == ("short\n", 0)
    assert "stdout_omitted_bytes=" in repr(result)


def test_a_slow_reader_is_told_where_something_is_missing(sandbox: Sandbox) -> None:
    process = sandbox.exec(["seq", "100000"], max_output_bytes=100)
    process.result()
    read = []
    with pytest.raises(SandboxStreamTruncatedError, match="588795 bytes of its stdout"):
        for line in process.stdout:
            read.append(line)
    assert read[:2] == ["1\n", "2\n"]
    assert "".join(read) + "".join(process.stdout) == process.result().stdout


# ---- env ----


def test_variables_of_a_command(base_url: str) -> None:
    own = {"A": "new", "my.var": "dotted", "LONG": "l" * 100_000, "\u00e9": "caf\u00e9 = x\n"}
    with Sandbox.run(environment_variables={"A": "old", "B": "kept"}) as sandbox:
        for cwd in (None, "/tmp"):
            done = sandbox.exec(["env", "-0"], env=own, cwd=cwd).result()
            seen = dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)
            assert own.items() <= seen.items()
            assert seen["B"] == "kept"
        assert "A=old\n" in sandbox.exec(["env"]).result().stdout
        assert sandbox.exec(["env"], env={}).result().stdout.count("A=old\n") == 1
