"""`cwsandbox exec`."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import MagicMock, patch

import pytest
from click.testing import Result

from cli.program import PATH, Program, assert_one_line_error
from cwsandbox import Sandbox

Invoke = Callable[..., Result]

CALL = {"cwd": None, "timeout_seconds": None, "container": None}


@contextmanager
def stand_in() -> Iterator[tuple[MagicMock, MagicMock]]:
    """The class's from_id, and the exec of what it finds."""
    with patch("cwsandbox.cli.exec.Sandbox") as sandbox:
        found = sandbox.from_id.return_value.result.return_value
        process = found.exec.return_value
        process.stdout, process.stderr = MagicMock(), MagicMock()
        process.stdout.__iter__.return_value = iter(["out ", "more\n"])
        process.stderr.__iter__.return_value = iter(["err\n"])
        process.result.return_value.returncode = 0
        yield sandbox.from_id, found.exec


def test_what_it_asks_for(invoke: Invoke) -> None:
    with stand_in() as (from_id, exec_):
        done = invoke("exec", "sb-1", "echo", "hello")
        from_id.assert_called_once_with("sb-1", data_plane_mode="auto")
        exec_.assert_called_once_with(["echo", "hello"], **CALL)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "out more\n", "err\n")


@pytest.mark.parametrize(
    "words",
    [
        ["-w", "/app", "-t", "2.5", "--container", "c", "--data-plane-mode", "Gateway", "x", "ls"],
        ["x", "--cwd=/app", "ls", "--timeout", "2.5", "--container=c", "--data-plane-mode=gateway"],
    ],
)
def test_options_wherever_they_stand(invoke: Invoke, words: list[str]) -> None:
    with stand_in() as (from_id, exec_):
        assert invoke("exec", *words).exit_code == 0
        from_id.assert_called_once_with("x", data_plane_mode="gateway")
        exec_.assert_called_once_with(["ls"], cwd="/app", timeout_seconds=2.5, container="c")


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["x", "ls", "-l", "--all"], ["ls", "-l", "--all"]),
        (["x", "--", "ls", "-t"], ["ls", "-t"]),
        (["x", "ls", "--", "-t"], ["ls", "-t"]),
        (["x", "a", "--", "b", "--", "c"], ["a", "b", "--", "c"]),
        (["x", "sed", "-i", "s/a/b/", "f"], ["sed", "-i", "s/a/b/", "f"]),
        (["x", "sed", "-i", "--", "f"], ["sed", "-i", "f"]),
        (["x", "ls", "-li"], ["ls", "-li"]),
        (["x", "podman", "--env", "A=B"], ["podman", "--env", "A=B"]),
        (["-t", "5", "x", "perl", "-e", "1"], ["perl", "-e", "1"]),
        (["-t5", "x", "perl", "-e", "1"], ["perl", "-e", "1"]),
    ],
)
def test_the_words_of_the_command(invoke: Invoke, words: list[str], command: list[str]) -> None:
    with stand_in() as (_, exec_):
        assert invoke("exec", *words).exit_code == 0
        assert exec_.call_args.args == (command,)
        assert "env" not in exec_.call_args.kwargs
        assert "stdin" not in exec_.call_args.kwargs


def test_env_in_front(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "h")
    with stand_in() as (_, exec_):
        assert invoke("exec", "-e", "A=b=c", "--env=HERE", "x", "env").exit_code == 0
        exec_.assert_called_once_with(["env"], env={"A": "b=c", "HERE": "h"}, **CALL)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["x"],
        ["-t", "0", "x", "ls"],
        ["-t", "nan", "x", "ls"],
        ["x", "ls", "-lt"],
        ["-w", "relative", "x", "ls"],
        ["-w", "", "x", "ls"],
        ["-e", "=b", "x", "ls"],
        ["-e", "SURELY_NOT_SET", "x", "ls"],
        ["--data-plane-mode", "carrier-pigeon", "x", "ls"],
    ],
)
def test_wrong_usage(invoke: Invoke, words: list[str]) -> None:
    with stand_in() as (from_id, _):
        assert invoke("exec", *words).exit_code == 2
        from_id.assert_not_called()


def test_ctrl_c_while_reading(invoke: Invoke) -> None:
    with stand_in() as (_, exec_):
        process = exec_.return_value
        process.stdout.__iter__.side_effect = KeyboardInterrupt
        assert invoke("exec", "x", "ls").exit_code == 130
        process.stderr.close.assert_called_once_with()
        process.cancel.assert_called_once_with()


@pytest.mark.parametrize(("code", "exit_code"), [(42, 42), (256, 255), (-1, 255)])
def test_codes(invoke: Invoke, code: int, exit_code: int) -> None:
    with stand_in() as (_, exec_):
        exec_.return_value.result.return_value.returncode = code
        assert invoke("exec", "x", "ls").exit_code == exit_code


def test_both_streams_and_the_code(program: Program, sandbox_id: str) -> None:
    done = program.run("exec", sandbox_id, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_every_byte_arrives(program: Program, sandbox_id: str) -> None:
    """In both directions."""
    data = bytes(range(256)) * 1000
    done = program.run("exec", "-i", sandbox_id, "cat", stdin=data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == data


def test_stdin_is_not_passed_on_unasked(program: Program, sandbox_id: str) -> None:
    assert program.run("exec", sandbox_id, "cat", stdin=b"secret").stdout == b""


def test_without_any_stdin_the_command_sees_the_end(program: Program, sandbox_id: str) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" exec -i "$1" cat <&-', PATH, sandbox_id],
        capture_output=True,
        timeout=40,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_command_that_does_not_read(program: Program, sandbox_id: str) -> None:
    done = program.run("exec", "-i", sandbox_id, "true", stdin=b"x" * 10_000_000)
    assert (done.returncode, done.stderr) == (0, b"")


def test_env_and_cwd(program: Program, sandbox_id: str) -> None:
    done = program.run("exec", "-e", "A=ü", "-w", "/usr", sandbox_id, "sh", "-c", "echo $A; pwd")
    assert done.stdout.decode() == "ü\n/usr\n"


def test_output_comes_while_the_command_runs(program: Program, sandbox_id: str) -> None:
    pipe = subprocess.PIPE
    with program.start("exec", "-i", sandbox_id, "cat", stdin=pipe, stdout=pipe) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for word in (b"prompt? ", b"\xff\xe2"):
            running.stdin.write(word)
            running.stdin.flush()
            assert os.read(running.stdout.fileno(), 100) == word
        running.stdin.close()
        assert running.wait(40) == 0


def test_a_reader_that_has_enough(program: Program, sandbox_id: str) -> None:
    pipe = subprocess.PIPE
    with program.start("exec", sandbox_id, "yes", stdout=pipe, stderr=pipe) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert os.read(running.stdout.fileno(), 2) == b"y\n"
        running.stdout.close()
        assert running.wait(40) == 0
        assert running.stderr.read() == b""


def test_ctrl_c_in_a_silent_command(program: Program, sandbox: Sandbox) -> None:
    script = "echo ready; exec sleep 1000"
    words = ("exec", str(sandbox.sandbox_id), "sh", "-c", script)
    pipe = subprocess.PIPE
    with program.start(*words, stdout=pipe, stderr=pipe) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(40) == 130
        assert running.stderr.read() == b""


def test_the_time_limit(program: Program, sandbox_id: str) -> None:
    done = program.run("exec", "-t", "4.5", sandbox_id, "sh", "-c", "echo before; sleep 1000")
    assert_one_line_error(done, "timed out", "4.5")
    assert done.stdout == b"before\n"


def test_a_command_that_is_not_there(program: Program, sandbox_id: str) -> None:
    done = program.run("exec", sandbox_id, "no-such-command")
    assert done.returncode == 127
    assert b"no-such-command" in done.stderr


def test_a_sandbox_that_has_ended(program: Program, sandbox: Sandbox) -> None:
    sandbox.stop().result()
    done = program.run("exec", str(sandbox.sandbox_id), "true")
    assert_one_line_error(done, "stopped")


def test_an_unknown_sandbox(program: Program) -> None:
    assert_one_line_error(program.run("exec", "nothing", "true"), "nothing", "cwsandbox ls")


def test_a_full_disk(program: Program, sandbox_id: str) -> None:
    with (
        open("/dev/full", "wb") as full,
        program.start("exec", sandbox_id, "yes", stdout=full, stderr=subprocess.PIPE) as running,
    ):
        assert running.communicate(timeout=40)[1] == b"Error: No space left on device\n"
    assert running.returncode == 1
