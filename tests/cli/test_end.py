"""`cwsandbox delete` and `cwsandbox stop`."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import MagicMock, patch

import pytest
from click.testing import Result

from cli.program import Program, assert_one_line_error
from cwsandbox import Sandbox, SandboxStatus
from integration.env import eventually

Invoke = Callable[..., Result]

SAID = {"delete": "Deleted", "stop": "Stopped"}
ENDED = (SandboxStatus.TERMINATED, SandboxStatus.COMPLETED)

both = pytest.mark.parametrize("name", ["delete", "stop"])


@both
def test_it_ends_the_sandbox(program: Program, sandbox: Sandbox, name: str) -> None:
    done = program.run(name, str(sandbox.sandbox_id))
    assert done.stdout.decode() == f"{SAID[name]} sandbox {sandbox.sandbox_id}.\n"
    assert (done.returncode, done.stderr) == (0, b"")
    if name == "stop":
        assert sandbox.get_status() in ENDED
    else:
        eventually(lambda: sandbox.get_status() in ENDED, "the sandbox has ended")


@both
def test_quiet(program: Program, sandbox_id: str, name: str) -> None:
    done = program.run(name, "-q", sandbox_id)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@both
def test_an_unknown_id_is_named(program: Program, name: str) -> None:
    assert_one_line_error(program.run(name, "no-such-sandbox"), "no-such-sandbox")


@pytest.mark.parametrize(
    ("name", "said"),
    [("delete", "Deleted sandbox gone.\n"), ("stop", "Sandbox gone is already missing.\n")],
)
def test_missing_ok(program: Program, name: str, said: str) -> None:
    done = program.run(name, "gone", "--missing-ok")
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, said, b"")
    quiet = program.run(name, "gone", "--missing-ok", "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, b"", b"")


def test_what_has_ended_can_be_stopped_again(program: Program, sandbox: Sandbox) -> None:
    sandbox.stop().result()
    done = program.run("stop", str(sandbox.sandbox_id))
    assert done.returncode == 0
    assert done.stdout.startswith(b"Stopped")


def test_what_delete_asks_for(invoke: Invoke) -> None:
    with patch("cwsandbox.cli.delete.Sandbox") as stand_in:
        assert invoke("delete", "sb-1").exit_code == 0
        stand_in.delete.assert_called_once_with("sb-1", missing_ok=False, timeout_seconds=None)
        stand_in.delete.reset_mock()
        assert invoke("delete", "sb-1", "--missing-ok", "-t", "2.5").exit_code == 0
        stand_in.delete.assert_called_once_with("sb-1", missing_ok=True, timeout_seconds=2.5)


def test_what_stop_asks_for(invoke: Invoke) -> None:
    with patch("cwsandbox.cli.stop.Sandbox") as stand_in:
        found = MagicMock()
        stand_in.from_id.return_value.result.return_value = found
        assert invoke("stop", "sb-1").exit_code == 0
        stand_in.from_id.assert_called_once_with("sb-1")
        found.stop.assert_called_once_with(
            snapshot_on_stop=False,
            graceful_shutdown_seconds=10.0,
            missing_ok=False,
            wait_for_ready=True,
            request_id=None,
        )
        found.stop.reset_mock()
        assert invoke("stop", "sb-1", "--graceful-shutdown-seconds", "0").exit_code == 0
        assert found.stop.call_args.kwargs["graceful_shutdown_seconds"] == 0.0


@pytest.mark.parametrize(
    "words",
    [
        ["delete"],
        ["stop"],
        ["delete", "x", "-t", "0"],
        ["delete", "x", "-t", "-1"],
        ["delete", "x", "-t", "nan"],
        ["stop", "x", "--graceful-shutdown-seconds", "-1"],
        ["stop", "x", "--graceful-shutdown-seconds", "nan"],
        ["stop", "x", "--graceful-shutdown-seconds", "inf"],
        ["stop", "x", "--graceful-shutdown-seconds", "2147483648"],
    ],
)
def test_wrong_usage(invoke: Invoke, words: list[str]) -> None:
    assert invoke(*words).exit_code == 2
