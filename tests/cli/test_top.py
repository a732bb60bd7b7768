"""`cwsandbox top`."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, patch

import pytest
from click.testing import Result

from cli.program import PATH, Program, assert_one_line_error
from cli.typist import Typist
from cwsandbox import Sandbox, SandboxStatus
from cwsandbox.cli.top import age
from integration.env import Daemon, eventually

Invoke = Callable[..., Result]

ALTERNATE, NORMAL = b"\x1b[?1049h", b"\x1b[?1049l"
HIDDEN, SHOWN = b"\x1b[?25l", b"\x1b[?25h"


def stand_in(name: str, started: datetime | None, status: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(
        sandbox_id=name,
        status=SandboxStatus.RUNNING,
        runner_id=None,
        runner_group_id=None,
        started_at=started,
        created_at=None,
        _handle=SimpleNamespace(echo=SimpleNamespace(status=status)),
    )


@pytest.fixture
def listing() -> Iterator[MagicMock]:
    usage = {
        "running_execs": 0,
        "started_execs": 12,
        "resource_usage": {"cpu_millicores": 1500, "memory_mb": 64, "gpu_count": 0},
    }
    now = datetime.now(UTC).replace(tzinfo=None)  # as started_at is
    with patch("cwsandbox.cli.top.Sandbox") as sandbox:
        sandbox.list.return_value.result.return_value = [
            stand_in("sb-1", now - timedelta(days=2, hours=3, minutes=1), usage),
            stand_in("sb-2", None, {}),
        ]
        yield sandbox.list


def test_one_look_if_stdout_is_no_terminal(invoke: Invoke, listing: MagicMock) -> None:
    done = invoke("top", "-t", "a", "-t", "b")
    listing.assert_called_once_with(tags=["a", "b"])
    assert done.exit_code == 0
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["SANDBOX", "ID", "STATUS", "AGE", "EXECS", "CPU", "MEMORY"],
        ["-" * 40, "-" * 14, "-" * 8, "-" * 8, "-" * 8, "-" * 10],
        ["sb-1", "running", "2d03h", "0/12", "150%", "64", "MB"],
        ["sb-2", "running", "-", "-", "-", "-"],
    ]


def test_json(invoke: Invoke, listing: MagicMock) -> None:
    first, second = json.loads(invoke("top", "-o", "json").stdout)
    assert list(first) == [
        "sandbox_id",
        "status",
        "runner_id",
        "runner_group_id",
        "started_at",
        "age_seconds",
        "running_execs",
        "started_execs",
        "cpu_millicores",
        "memory_mb",
    ]
    assert (first["cpu_millicores"], first["memory_mb"]) == (1500, 64)
    assert (first["running_execs"], first["started_execs"]) == (0, 12)
    assert 183600 < first["age_seconds"] < 184000
    assert [second[key] for key in list(second)[4:]] == [None] * 6


@pytest.mark.parametrize(
    ("words", "printed"), [([], "No sandboxes found.\n"), (["-ojson"], "[]\n")]
)
def test_nothing_found(invoke: Invoke, listing: MagicMock, words: list[str], printed: str) -> None:
    listing.return_value.result.return_value = []
    done = invoke("top", *words)
    assert (done.exit_code, done.output) == (0, printed)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m00s"), (3599, "59m59s"), (3600, "1h00m"), (90000, "1d01h")],
)
def test_age(seconds: int, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize("interval", ["0", "-1", "often", "inf", "nan"])
def test_wrong_usage(invoke: Invoke, listing: MagicMock, interval: str) -> None:
    assert invoke("top", "-n", interval).exit_code == 2
    listing.assert_not_called()


def test_no_daemon_there(program: Program) -> None:
    assert_one_line_error(program.run("top", CWSANDBOX_BASE_URL="unix:///nowhere"), "/nowhere")


@pytest.fixture
def person(base_url: str, sandbox_id: str) -> Iterator[Typist]:
    with Typist([PATH, "top", "-n", "0.1"], TERM="xterm-256color", NO_COLOR="1") as typist:
        yield typist


def test_what_the_daemon_tells(program: Program, base_url: str, sandbox_id: str) -> None:
    def told() -> dict[str, Any]:
        done = program.run("top", "-o", "json")
        [row] = [row for row in json.loads(done.stdout) if row["sandbox_id"] == sandbox_id]
        return dict(row)

    before = told()
    assert program.run("exec", sandbox_id, "true").returncode == 0
    after = told()
    assert after["running_execs"] == 0
    assert after["started_execs"] == before["started_execs"] + 1
    # An answer does not wait for ever, so one may come without it.
    eventually(lambda: told()["memory_mb"] is not None, "the daemon tells the memory")
    eventually(lambda: told()["cpu_millicores"] is not None, "the daemon tells the processor time")


def test_it_goes_on_looking(person: Typist, sandbox_id: str) -> None:
    person.see(ALTERNATE)
    person.see(sandbox_id.encode())
    with Sandbox.run() as another:
        person.see(str(another.wait().sandbox_id).encode())


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)],
)
def test_a_signal_leaves_a_clean_screen(
    person: Typist, sandbox_id: str, number: int, code: int
) -> None:
    person.see(sandbox_id.encode())
    if number == signal.SIGINT:
        person.type(b"\x03")
    else:
        person.signal(number)
    assert person.wait() == code
    assert b"Error" not in person.seen
    assert b"Aborted" not in person.seen
    assert person.seen.rindex(NORMAL) > person.seen.rindex(ALTERNATE)
    assert person.seen.rindex(SHOWN) > person.seen.rindex(HIDDEN)
    assert person.settings() == person.before


def test_a_look_that_fails_is_told_and_the_next_is_tried(short_folder: Path) -> None:
    with Daemon(short_folder) as daemon:
        words = [PATH, "top", "-n", "0.1"]
        person = Typist(words, CWSANDBOX_BASE_URL=daemon.base_url, TERM="xterm", NO_COLOR="1")
        with person:
            person.see(b"0 sandboxes")
            daemon.stop()
            person.see(b"CWSANDBOX_BASE_URL")
            daemon.start()
            person.see(b"0 sandboxes")
            person.type(b"\x03")
            assert person.wait() == 0


def test_a_terminal_that_cannot_be_redrawn(base_url: str, sandbox_id: str) -> None:
    with Typist([PATH, "top"], TERM="dumb") as person:
        assert person.wait() == 0
    assert sandbox_id.encode() in person.seen
    assert b"\x1b" not in person.seen.replace(b"\x1b[32m", b"").replace(b"\x1b[0m", b"")


def test_without_rich_it_says_what_to_install(base_url: str) -> None:
    script = (
        "import sys; sys.modules['rich.live'] = None; sys.argv[0] = 'cwsandbox'; "
        "from cwsandbox.__main__ import main; main()"
    )
    python = PATH.parent / "python"
    with Typist([python, "-c", script, "top"]) as person:
        assert person.wait() == 1
    assert b"pip install cwsandbox[cli]" in person.seen
    done = subprocess.run([python, "-c", script, "top"], capture_output=True, check=False)
    assert done.returncode == 0
