"""`cwsandbox run`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from cli.program import PATH, SECONDS, Program, assert_one_line_error
from cwsandbox import Sandbox
from integration.env import Daemon, eventually

Invoke = Callable[..., Result]


def running() -> set[str | None]:
    return {sandbox.sandbox_id for sandbox in Sandbox.list().result()}


@pytest.fixture
def unchanged(base_url: str) -> Callable[[], None]:
    """Checks that every sandbox of the test is gone."""
    before = running()
    return lambda: eventually(lambda: running() <= before, "what was started has been stopped")


def test_output_and_code(program: Program, unchanged: Callable[[], None]) -> None:
    done = program.run("run", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    unchanged()


def test_options_end_at_the_command(program: Program) -> None:
    words = ("--env", "A=1", "-e", "B=2", "-w", "/usr", "--image", "python:3.12", "--timeout", "30")
    script = 'echo "$A$B $PWD $*"'
    for separator in ([], ["--"]):
        done = program.run("run", *words, *separator, "sh", "-c", script, "sh", "-i", "--keep")
        assert done.stdout == b"12 /usr -i --keep\n"


def test_every_byte_arrives(program: Program) -> None:
    data = bytes(range(256)) * 1000
    done = program.run("run", "-i", "cat", stdin=data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == data


def test_stdin_is_not_passed_on_unasked(program: Program) -> None:
    assert program.run("run", "cat", stdin=b"secret").stdout == b""


def test_output_comes_while_the_command_runs(program: Program) -> None:
    pipe = subprocess.PIPE
    with program.start("run", "-i", "cat", stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for word in (b"prompt? ", b"\xff\xe2"):
            process.stdin.write(word)
            process.stdin.flush()
            assert os.read(process.stdout.fileno(), 100) == word
        process.stdin.close()
        assert process.wait(40) == 0


@pytest.mark.parametrize(
    "words",
    ["run yes", "run sh -c 'yes >&2' 2>&1", "run sh -c 'yes >&2' 2>&1 >/dev/null"],
    ids=["stdout", "both", "stderr"],
)
def test_a_reader_that_has_enough(
    program: Program, unchanged: Callable[[], None], words: str
) -> None:
    done = subprocess.run(
        ["bash", "-c", f'"$0" {words} | head -1; echo "${{PIPESTATUS[0]}}"', PATH],
        capture_output=True,
        timeout=40,
        check=False,
    )
    assert (done.stdout, done.stderr) == (b"y\n0\n", b"")
    unchanged()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)],
)
def test_a_signal_stops_what_was_started(
    program: Program, unchanged: Callable[[], None], number: int, code: int
) -> None:
    pipe = subprocess.PIPE
    words = ("run", "sh", "-c", "echo ready; exec sleep 1000")
    with program.start(*words, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(40) == code
        assert process.stderr.read() == b""
    unchanged()


def is_caught(process: subprocess.Popen[bytes], number: int) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def test_a_second_signal_does_not_wait(
    program: Program, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it print anything."""
    path = short_folder / "socket"
    monkeypatch.setenv("CWSANDBOX_BASE_URL", f"unix://{path}")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        silent.settimeout(SECONDS)
        with program.start("run", "true", stderr=subprocess.PIPE) as process, silent.accept()[0]:
            process.send_signal(signal.SIGINT)
            eventually(lambda: not is_caught(process, signal.SIGTERM), "it is ending")
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=SECONDS) == (None, b"")
        assert process.returncode == -signal.SIGINT


def test_an_ignored_signal_stays_ignored(program: Program) -> None:
    pipe = subprocess.PIPE
    words = ["sh", "-c", "trap '' HUP; exec \"$0\" run -i cat", str(PATH)]
    with subprocess.Popen(words, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"a\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"a\n"
        process.send_signal(signal.SIGHUP)
        process.stdin.write(b"b\n")
        process.stdin.close()
        assert process.stdout.readline() == b"b\n"
        assert process.wait(40) == 0


def test_keep(program: Program) -> None:
    done = program.run("run", "--keep", "sh", "-c", "echo hello; exit 3")
    assert (done.returncode, done.stdout) == (3, b"hello\n")
    kept = done.stderr.decode().split()[1]
    try:
        assert done.stderr.decode() == f"Sandbox {kept} is kept.\n"
        assert program.run("exec", kept, "echo", "still").stdout == b"still\n"
    finally:
        Sandbox.delete(kept).result()


def test_nothing_can_be_kept_in_a_private_daemon(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CWSANDBOX_BASE_URL", "local")
    done = invoke("run", "--keep", "true")
    assert done.exit_code == 2
    assert "cwsandbox daemon" in done.stderr


def test_a_private_daemon(program: Program) -> None:
    done = program.run("run", "echo", "hello", CWSANDBOX_BASE_URL="local")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello\n", b"")


def test_the_time_limit(program: Program, unchanged: Callable[[], None]) -> None:
    done = program.run("run", "--timeout", "0.2", "sh", "-c", "echo before; sleep 1000")
    assert_one_line_error(done, "timed out", "0.2")
    assert done.stdout == b"before\n"
    unchanged()


def test_no_daemon_there(program: Program) -> None:
    done = program.run("run", "true", CWSANDBOX_BASE_URL="unix:///nowhere/at/all")
    assert_one_line_error(done, "/nowhere/at/all", "cwsandbox daemon")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("ignoring", ["", "trap '' TERM; "])
def test_a_daemon_that_ends_meanwhile(
    program: Program, tmp_path: Path, number: signal.Signals, ignoring: str
) -> None:
    with Daemon(tmp_path) as daemon:
        env = {**os.environ, "CWSANDBOX_BASE_URL": daemon.base_url}
        words = ("run", "sh", "-c", f"{ignoring}echo up; sleep 1000")
        pipe = subprocess.PIPE
        with program.start(*words, stdout=pipe, stderr=pipe, env=env) as running:
            assert running.stdout is not None
            assert running.stdout.readline() == b"up\n"
            os.kill(daemon.pid, number)
            _, said = running.communicate(timeout=SECONDS)
    assert running.returncode == 1
    assert said.startswith(b"Error: Command sh -c ")
    assert said.count(b"\n") == 1, said


def test_a_daemon_that_wants_a_key(
    program: Program, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CWSANDBOX_API_KEY", raising=False)
    with Daemon(short_folder, token=uuid.uuid4().hex) as guarded:
        done = program.run("run", "true", CWSANDBOX_BASE_URL=guarded.base_url)
    assert_one_line_error(done, "CWSANDBOX_API_KEY")


@pytest.mark.parametrize(
    "words", [[], ["--timeout", "0", "ls"], ["-w", "here", "ls"], ["--no-such-option", "ls"]]
)
def test_wrong_usage(invoke: Invoke, words: list[str]) -> None:
    assert invoke("run", *words).exit_code == 2
