"""`cwsandbox daemon` and `cwsandbox local`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result

from cli.program import PATH, Program
from integration.env import eventually


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_daemon_takes_this_process_s_place(
    program: Program, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that signals reach it."""
    url = f"unix://{short_folder / 'socket'}"
    reading, writing = os.pipe()
    words = ("daemon", "--listen", url, "--state-dir", str(short_folder / "state"))
    with (
        open(short_folder / "said", "wb") as said,
        program.start(
            *words, "--ready-fd", str(writing), pass_fds=(writing,), stdout=said, stderr=said
        ) as running,
    ):
        os.close(writing)
        try:
            assert os.read(reading, 1000).decode() == f"ready {url}\n"
            assert Path(f"/proc/{running.pid}/comm").read_text() == "cwsandboxd\n"
            assert program.run("run", "echo", "hi", CWSANDBOX_BASE_URL=url).stdout == b"hi\n"
        finally:
            running.send_signal(signal.SIGTERM)
        assert running.wait(40) == 0
    os.close(reading)


def test_the_daemon_explains_itself(program: Program) -> None:
    assert b"--listen" in program.run("daemon", "--help").stdout


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_what_the_daemon_cannot_write_is_a_failure(program: Program, word: str) -> None:
    with (
        open("/dev/full", "wb") as full,
        program.start("daemon", word, stdout=full, stderr=subprocess.PIPE) as running,
    ):
        said = running.communicate(timeout=40)[1]
    assert running.returncode == 1
    assert said == b"cwsandboxd: cannot write to stdout: No space left on device\n"


def test_a_daemon_that_is_not_there(program: Program) -> None:
    done = program.run("daemon", CWSANDBOX_DAEMON="/no/such/program")
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: ")
    assert b"/no/such/program" in done.stderr


SCRIPT = """
import os, sys
from cwsandbox import Sandbox
with Sandbox.run() as sandbox:
    print(sandbox.exec(["echo", "hello"]).result().stdout, end="")
print(os.environ["CWSANDBOX_BASE_URL"])
sys.exit(5)
"""


def test_a_program_with_a_daemon_of_its_own(program: Program, base_url: str) -> None:
    done = program.run("local", "--", sys.executable, "-c", SCRIPT)
    assert (done.returncode, done.stderr) == (5, b"")
    hello, url = done.stdout.decode().split()
    assert hello == "hello"
    assert url.startswith("unix://")
    assert url != base_url
    eventually(lambda: not Path(url.removeprefix("unix://")).exists(), "its daemon is gone")


def test_commands_within_share_the_daemon(program: Program) -> None:
    script = f'"{PATH}" run --keep true 2>/dev/null && "{PATH}" ls -o json'
    done = program.run("local", "sh", "-c", script)
    assert done.returncode == 0
    assert done.stdout.count(b'"sandbox_id"') == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["/no/such/program"], 127),
        (["/etc/passwd"], 126),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["cat"], 0),
    ],
)
def test_exit_codes(program: Program, words: list[str], code: int) -> None:
    done = program.run("local", *words)
    assert done.returncode == code
    assert done.stderr.count(b"\n") == (1 if code in (126, 127) else 0)


@pytest.mark.parametrize(("name", "code", "shown"), [("", 126, "''"), ("a\nb", 127, "'a b'")])
def test_an_odd_name_of_a_program(program: Program, name: str, code: int, shown: str) -> None:
    done = program.run("local", name)
    assert done.returncode == code
    assert done.stderr.decode().startswith(f"Error: {shown}: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_go_to_the_program(program: Program, number: int) -> None:
    script = "trap 'exit 9' TERM HUP; echo $$; while :; do sleep 0.05; done"
    with program.start("local", "bash", "-c", script, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        child = int(running.stdout.readline())
        running.send_signal(number)
        assert running.wait(40) == 9
    assert not is_alive(child)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Signal handlers that a command set in this process do not stay."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_a_signal_while_the_program_starts_is_not_lost(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_and_get_a_signal(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(*args, stdout=subprocess.PIPE, **options)
        assert child.stdout is not None
        assert child.stdout.readline() == b"on\n"
        os.kill(os.getpid(), signal.SIGTERM)
        return child

    its_own = SimpleNamespace(Popen=start_and_get_a_signal)
    monkeypatch.setattr("cwsandbox.cli.local.subprocess", its_own)
    script = "trap 'exit 9' TERM; echo on; for i in $(seq 100); do sleep 0.05; done"
    done = invoke("local", "bash", "-c", script)
    assert (done.exit_code, done.output) == (9, "")


def test_ctrl_c_is_the_program_s_affair(program: Program) -> None:
    script = "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.05; done"
    words = ("local", "bash", "-c", script)
    with program.start(*words, stdout=subprocess.PIPE, start_new_session=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        assert running.stdout.readline() == b"caught\n"
        assert running.wait(40) == 4
