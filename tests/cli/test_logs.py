"""`cwsandbox logs`."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from unittest.mock import MagicMock, patch

import pytest
from click.testing import Result

from cli.program import PATH, Program, assert_one_line_error
from cwsandbox import CWSandboxError, Sandbox

Invoke = Callable[..., Result]

CALL = {
    "follow": False,
    "tail_lines": None,
    "since_time": None,
    "timestamps": False,
    "container": None,
}
TICKING = 'echo "first ü"; printf part; sleep 0.05; echo; while :; do sleep 0.05; echo tick; done'


@pytest.fixture
def from_id() -> Iterator[MagicMock]:
    with patch("cwsandbox.cli.logs.Sandbox") as stand_in:
        yield stand_in.from_id


@pytest.fixture
def stream_logs(from_id: MagicMock) -> MagicMock:
    found: MagicMock = from_id.return_value.result.return_value.stream_logs
    found.return_value.__iter__.return_value = iter(["one\n", "tw\ufffd\n", "unfinished"])
    return found


def test_what_it_asks_for(invoke: Invoke, from_id: MagicMock, stream_logs: MagicMock) -> None:
    done = invoke("logs", "sb-1")
    assert (done.exit_code, done.stdout) == (0, "one\ntw\ufffd\nunfinished")
    from_id.assert_called_once_with("sb-1", data_plane_mode="auto")
    stream_logs.assert_called_once_with(**CALL)
    stream_logs.return_value.close.assert_called_once_with()


@pytest.mark.parametrize(
    ("since", "time"),
    [
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02 03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_its_options(
    invoke: Invoke, from_id: MagicMock, stream_logs: MagicMock, since: str, time: datetime
) -> None:
    options = ("-f", "--tail", "0", "--since", since, "-t", "--container", "c")
    assert invoke("logs", *options, "--data-plane-mode", "DIRECT", "sb-1").exit_code == 0
    from_id.assert_called_once_with("sb-1", data_plane_mode="direct")
    stream_logs.assert_called_once_with(
        follow=True, tail_lines=0, since_time=time, timestamps=True, container="c"
    )


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (CWSandboxError("lost\nit"), 1, "Error: lost it\n"),
        (KeyboardInterrupt(), 0, ""),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_what_ends_it_in_the_middle(
    invoke: Invoke, stream_logs: MagicMock, failure: BaseException, code: int, said: str
) -> None:
    def lines() -> Iterator[str]:
        yield "before\n"
        raise failure

    stream_logs.return_value.__iter__.return_value = lines()
    done = invoke("logs", "sb-1")
    assert (done.exit_code, done.stdout, done.stderr) == (code, "before\n", said)
    stream_logs.return_value.close.assert_called_once_with()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["x", "--tail", "-1"],
        ["x", "--tail", "2147483648"],
        ["x", "--tail", "few"],
        ["x", "--since", "yesterday"],
        ["x", "--since", "2026-01-02T03:04:05Z"],
        ["x", "--data-plane-mode", "pigeon"],
    ],
)
def test_wrong_usage(invoke: Invoke, from_id: MagicMock, words: list[str]) -> None:
    assert invoke("logs", *words).exit_code == 2
    from_id.assert_not_called()


def test_one_that_has_ended(program: Program, base_url: str) -> None:
    with Sandbox(command="/bin/sh", args=["-c", "echo one; echo two >&2; printf end"]) as sandbox:
        sandbox.wait_until_complete().result()
        name = str(sandbox.sandbox_id)
        assert sorted(program.run("logs", name).stdout.split()) == [b"end", b"one", b"two"]
        followed = program.run("logs", "-f", "--tail", "1", name)
        assert (followed.returncode, followed.stdout, followed.stderr) == (0, b"end", b"")
        stamped = program.run("logs", "-t", name).stdout.splitlines()
        assert all(line.startswith(b"20") and b"Z " in line for line in stamped)
        assert program.run("logs", "--since", "2099-01-01", name).stdout == b""


@pytest.fixture
def ticking(base_url: str) -> Iterator[str]:
    with Sandbox(command="/bin/sh", args=["-c", TICKING]) as sandbox:
        yield str(sandbox.wait().sandbox_id)


def test_following_until_ctrl_c(program: Program, ticking: str) -> None:
    pipe = subprocess.PIPE
    with program.start("logs", "-f", ticking, stdout=pipe, stderr=pipe) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        begin = [running.stdout.readline() for _ in range(4)]
        assert begin == ["first ü\n".encode(), b"part\n", b"tick\n", b"tick\n"]
        running.send_signal(signal.SIGINT)
        assert running.wait(40) == 0
        assert running.stderr.read() == b""


def test_a_reader_that_has_enough(ticking: str) -> None:
    done = subprocess.run(
        ["bash", "-c", '"$0" logs -f "$1" | head -1; echo "${PIPESTATUS[0]}"', PATH, ticking],
        capture_output=True,
        timeout=40,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("first ü\n0\n".encode(), b"")


def test_a_full_disk(program: Program, ticking: str) -> None:
    with (
        open("/dev/full", "wb") as full,
        program.start("logs", "-f", ticking, stdout=full, stderr=subprocess.PIPE) as running,
    ):
        assert running.communicate(timeout=40)[1] == b"Error: No space left on device\n"
    assert running.returncode == 1


def test_an_unknown_sandbox(program: Program) -> None:
    assert_one_line_error(program.run("logs", "nothing"), "nothing", "cwsandbox ls")
