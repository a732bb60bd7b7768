"""`cwsandbox sh`, typed into in a terminal of its own, against a service that does what a test needs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any
from unittest import mock

import click
import pytest
from click.testing import CliRunner, Result

from cli.program import PATH, Program, assert_one_line_error
from cli.typist import Typist
from conformance.grpc_peer import GrpcPeer
from conformance.h2_peer import H2Peer, Stream
from cwsandbox.cli import cli
from cwsandbox.cli.shell import shell

Start = Callable[..., Typist]


@pytest.fixture
def prompt(start: Start) -> Typist:
    """One at its prompt."""
    typist = start("sh", "sb-1")
    typist.see(b"[80x24]$ ")
    assert typist.is_raw
    return typist


def assert_restored(typist: Typist) -> None:
    assert typist.settings() == typist.before


def test_a_session(prompt: Typist) -> None:
    prompt.type(b"ls\r")
    prompt.until(lambda: b">" in prompt.seen[-1:], "it is shown")
    prompt.type(b"exit 7\r")
    assert prompt.wait() == 7
    assert_restored(prompt)
    assert b"Error" not in prompt.seen


def test_keys_are_bytes(start: Start) -> None:
    """Ctrl-C, Ctrl-Z, Ctrl-\\ and all others, too."""
    typist = start("sh", "sb-1", "--cmd", "cat")
    typist.see(b"ready")
    keys = bytes(range(256)).replace(b"~", b"")
    typist.type(keys)
    assert typist.see(keys) == keys


def test_resize(prompt: Typist) -> None:
    for width, height in ((100, 30), (200, 60), (20, 5)):
        prompt.resize(width, height)
        prompt.see(f"[{width}x{height}]".encode())


def test_the_environment_says_the_size_until_it_changes(start: Start) -> None:
    typist = start("sh", "sb-1", COLUMNS="132", LINES="43")
    typist.see(b"[132x43]$ ")
    typist.resize(90, 20)
    typist.see(b"[90x20]")


def test_what_was_typed_before_is_not_lost(start: Start) -> None:
    typist = start("sh", "sb-1")
    assert not typist.is_raw
    typist.type(b"early\nbird")
    typist.see(b"$ ")
    shown = typist.see(b"bird>").replace(b"><", b"")
    assert b"<early\nbird>" in shown


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (b"fail", b"Error: Command /bin/bash failed: it was killed"),
        (b"vanish", b"Error: Command /bin/bash ended without an exit status"),
        (b"lose", b"the runner is gone"),
    ],
)
def test_a_failure_is_told_on_a_line_of_its_own(prompt: Typist, keys: bytes, text: bytes) -> None:
    prompt.type(keys)
    assert prompt.wait() == 1
    assert_restored(prompt)
    line = prompt.seen.split(b"\n")[-2]
    assert line.startswith(b"Error: ")
    assert text in line
    assert b"Traceback" not in prompt.seen


def test_a_lost_connection() -> None:
    async def script(stream: Stream) -> None:
        await stream.init()
        await stream.start()
        await stream.ready()
        await stream.out(b"$ ")
        await stream.message()
        stream.connection.drop()

    with closing(H2Peer(script)) as peer:
        words = [PATH, "sh", "sb-1"]
        with Typist(words, CWSANDBOX_BASE_URL=peer.base_url, NO_COLOR="1") as typist:
            typist.see(b"$ ")
            typist.type(b"x")
            assert typist.wait() == 1
            assert_restored(typist)
            assert typist.seen.startswith(b"$ \r\nError: ")
            assert typist.seen.count(b"\n") == 2


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, -signal.SIGTERM),
        (signal.SIGHUP, -signal.SIGHUP),
        (signal.SIGQUIT, -signal.SIGQUIT),
        (signal.SIGINT, 130),
    ],
)
def test_a_signal_finds_the_terminal_in_order(prompt: Typist, number: int, code: int) -> None:
    prompt.signal(number)
    assert prompt.wait() == code
    assert_restored(prompt)


def test_a_signal_finds_the_terminal_in_order_even_if_it_takes_no_more_output(start: Start) -> None:
    typist = start("sh", "sb-1", "--cmd", "flood")
    typist.see(b"flood")
    typist.turn_away()
    typist.signal(signal.SIGTERM)
    assert typist.wait_turned_away() == -signal.SIGTERM
    assert_restored(typist)


def test_an_ignored_signal_stays_ignored(start: Start) -> None:
    typist = start("sh", "sb-1", ignore="HUP")
    typist.see(b"$ ")
    typist.signal(signal.SIGHUP)
    typist.type(b"exit 4\r")
    assert typist.wait() == 4


def test_the_window_is_closed(prompt: Typist) -> None:
    prompt.hang_up()
    assert prompt.wait() == -signal.SIGHUP


def test_stopped_and_continued(prompt: Typist) -> None:
    prompt.signal(signal.SIGTSTP)
    prompt.until(lambda: prompt.is_stopped, "it has stopped")
    assert_restored(prompt)
    prompt.resize(70, 20)
    prompt.signal(signal.SIGCONT)
    prompt.see(b"[70x20]")
    prompt.until(lambda: prompt.is_raw, "it is raw again")
    prompt.type(b"exit 3\r")
    assert prompt.wait() == 3
    assert_restored(prompt)


# ---- escapes ----


def test_leaving_a_session(prompt: Typist) -> None:
    prompt.type(b"abc\r~.")
    assert prompt.wait() == 255
    assert_restored(prompt)
    assert prompt.seen.endswith(b"Left the session.\r\n")
    assert b"~" not in prompt.seen


def test_leaving_a_session_that_takes_nothing() -> None:
    async def script(stream: Stream) -> None:
        await stream.init()
        await stream.start()
        await stream.ready()
        await stream.out(b"hung")
        await stream.ended.wait()

    with closing(H2Peer(script)) as peer:
        typist = Typist([PATH, "sh", "sb-1"], CWSANDBOX_BASE_URL=peer.base_url)
        with typist:
            typist.see(b"hung")
            peer.hold_reading(True)
            for _ in range(300):  # more than the 64 KiB that may be sent to it
                typist.type(b"x" * 1000)
            typist.type(b"\r~.")
            assert typist.wait() == 255
            assert_restored(typist)


def test_tildes(prompt: Typist) -> None:
    prompt.type(b"~~a~.\r")
    shown = prompt.see(b"\r>").replace(b"><", b"")
    assert shown == b"<~a~.\r>"
    prompt.type(b"~x")
    assert prompt.see(b"x>").replace(b"><", b"") == b"<~x>"


def test_help(prompt: Typist) -> None:
    prompt.type(b"~?")
    prompt.see(b"leave the session")
    prompt.type(b"~.")
    assert prompt.wait() == 255


# ---- the screen ----


def test_what_a_killed_command_has_switched_on_is_undone(start: Start) -> None:
    typist = start("sh", "sb-1", "--cmd", "vim")
    typist.see(b"editing")
    typist.type(b"x")
    assert typist.wait() == 137
    typist.see(b"\x1b[?2004l\x1b[?1000l\x1b[?25h\x1b[?1049l")
    assert_restored(typist)


def test_nor_is_it_undone_twice(start: Start) -> None:
    typist = start("sh", "sb-1", "--cmd", "vim quit")
    typist.see(b"editing")
    typist.type(b"x")
    assert typist.wait() == 137
    assert typist.seen.endswith(b"\x1b[?1049l")
    assert typist.seen.count(b"\x1b[?1049l") == 1


def test_a_signal_undoes_it_too(start: Start) -> None:
    typist = start("sh", "sb-1", "--cmd", "vim")
    typist.see(b"editing")
    typist.signal(signal.SIGTERM)
    assert typist.wait() == -signal.SIGTERM
    typist.see(b"\x1b[?1049l")
    assert_restored(typist)


# ---- without a terminal, and what is pinned ----


def test_no_terminal(shell_peer: GrpcPeer) -> None:
    before = len(shell_peer.metadata.get("GetSandbox", []))
    done = Program().run("sh", "sb-1", CWSANDBOX_BASE_URL=shell_peer.base_url)
    assert_one_line_error(done, "requires a TTY")
    assert len(shell_peer.metadata.get("GetSandbox", [])) == before


@pytest.mark.parametrize("words", ["sh no-such-sandbox", "exec -it no-such-sandbox sh"])
def test_an_unknown_sandbox(base_url: str, words: str) -> None:
    with Typist([PATH, *words.split()], CWSANDBOX_BASE_URL=base_url, NO_COLOR="1") as typist:
        assert typist.wait() == 1
        assert typist.seen.startswith(b"Error: ")
        assert typist.seen.count(b"\n") == 1
        assert b"no-such-sandbox" in typist.seen
        assert_restored(typist)


@pytest.mark.parametrize("cmd", ["", "  ", "'open", '"', "a\\"])
def test_what_is_no_command(cmd: str) -> None:
    done = CliRunner().invoke(cli, ["sh", "sb-1", "--cmd", cmd])
    assert done.exit_code == 2
    assert "--cmd" in done.stderr
    if not cmd.strip():
        assert "must not be empty" in done.stderr


def test_the_published_names() -> None:
    from cwsandbox import cli as package
    from cwsandbox.cli.shell import _validate_cmd

    assert package.shell is shell
    assert package.cli.commands["sh"] is shell
    assert _validate_cmd(mock.Mock(), mock.Mock(), "ls -l") == "ls -l"


def test_an_empty_word_is_one() -> None:
    assert "requires a TTY" in CliRunner().invoke(cli, ["sh", "sb-1", "--cmd", '""']).stderr


def test_windows() -> None:
    with mock.patch("cwsandbox.cli.shell.platform.system", return_value="Windows"):
        done = CliRunner().invoke(cli, ["sh", "sb-1"])
    assert done.exit_code == 1
    assert "not supported on Windows" in done.stderr


def _pretend(session: Any) -> tuple[mock.Mock, Result, mock.Mock]:
    """`sh` with stand-ins for the sandbox and the terminal."""
    termios = mock.Mock(error=OSError, tcgetattr=mock.Mock(return_value=["before"]))
    keys, typist = os.pipe()
    stdin = mock.Mock(isatty=lambda: True, fileno=lambda: keys)

    def run() -> None:
        with mock.patch("sys.stdin", stdin):
            assert shell.callback is not None
            shell.callback("sb-1", "bash -l", "side", "gateway")

    with (
        mock.patch("cwsandbox.Sandbox.from_id") as from_id,
        mock.patch.dict(sys.modules, {"termios": termios, "tty": mock.Mock()}),
        mock.patch("cwsandbox.cli.terminal.is_terminal", return_value=True),
        mock.patch(
            "cwsandbox.cli.shell.shutil.get_terminal_size", return_value=os.terminal_size((9, 5))
        ),
    ):
        from_id.return_value.result.return_value.shell.return_value = session
        done = CliRunner().invoke(click.Command("stand-in", callback=run))
    os.close(keys)
    os.close(typist)
    return from_id, done, termios


def test_the_pinned_calls() -> None:
    session = mock.Mock(output=[b"text"], wait=mock.Mock(return_value=42))
    from_id, done, termios = _pretend(session)
    assert done.exit_code == 42, done.output
    assert done.stdout == "text"
    from_id.assert_called_once_with("sb-1", data_plane_mode="gateway")
    asked = from_id.return_value.result.return_value.shell
    asked.assert_called_once_with(["bash", "-l"], width=9, height=5, container="side")
    assert [call.args[2] for call in termios.tcsetattr.call_args_list] == [["before"]]


@pytest.mark.parametrize(
    ("code", "exit_code"), [(0, 0), (255, 255), (256, 255), (300, 255), (-1, 255)]
)
def test_codes(code: int, exit_code: int) -> None:
    session = SimpleNamespace(output=[], wait=lambda timeout: code)
    assert _pretend(session)[1].exit_code == exit_code


def test_an_interrupt_is_130() -> None:
    def interrupted() -> Iterator[bytes]:
        yield b"text"
        raise KeyboardInterrupt

    _, done, termios = _pretend(mock.Mock(output=interrupted()))
    assert done.exit_code == 130
    assert termios.tcsetattr.call_count == 1
