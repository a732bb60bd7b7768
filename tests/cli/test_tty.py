"""`exec` and `run` with a terminal."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from cli.program import Program, assert_one_line_error
from cli.typist import Typist
from conformance.grpc_peer import GrpcPeer
from cwsandbox.cli.exec import exec_command

Start = Callable[..., Typist]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-it ID sh", {"tty": True, "interactive": True}),
        ("-ti ID sh", {"tty": True, "interactive": True}),
        ("-i -t ID sh", {"tty": True, "interactive": True}),
        ("-t -i ID sh", {"tty": True, "interactive": True}),
        ("--tty --interactive ID sh", {"tty": True, "interactive": True}),
        ("-t ID sh", {"tty": True}),
        ("-t -w /tmp ID sh", {"tty": True, "cwd": "/tmp"}),
        ("-tw /tmp ID sh", {"tty": True, "cwd": "/tmp"}),
        ("-w /tmp -it ID sh", {"tty": True, "interactive": True, "cwd": "/tmp"}),
        ("-e A=-t -t ID sh", {"tty": True, "variables": {"A": "-t"}}),
        ("-e -t=1 ID sh", {"variables": {"-t": "1"}}),
        ("-t 5 ID sh", {"timeout": 5.0}),
        ("-t 5 --tty ID sh", {"timeout": 5.0, "tty": True}),
        ("-t -t 5 ID sh", {"timeout": 5.0, "tty": True}),
        ("-t5 ID sh", {"timeout": 5.0}),
        ("-it 5 ID sh", {"timeout": 5.0, "interactive": True}),
        ("-it5 ID sh", {"timeout": 5.0, "interactive": True}),
        ("--timeout 5 -t ID sh", {"timeout": 5.0, "tty": True}),
        ("ID -t 5 sh", {"timeout": 5.0}),
    ],
)
def test_what_t_means_to_exec(words: str, expected: dict[str, Any]) -> None:
    params = exec_command.make_context("exec", words.split()).params
    assert (params["sandbox_id"], params["command"]) == ("ID", ("sh",))
    nothing = {"tty": False, "interactive": False, "cwd": None, "timeout": None, "variables": None}
    assert {name: params[name] for name in nothing} == nothing | expected


def test_tty_behind_the_id_is_the_commands() -> None:
    params = exec_command.make_context("exec", ["ID", "docker", "run", "--tty", "x"]).params
    assert params["command"] == ("docker", "run", "--tty", "x")
    assert not params["tty"]


@pytest.mark.parametrize("words", ["exec -it mine /bin/bash", "run -it -- /bin/bash"])
def test_typed_into(start: Start, words: str) -> None:
    typist = start(*words.split())
    typist.see(b"[80x24]$ ")
    typist.until(lambda: typist.is_raw, "it is raw")
    typist.resize(100, 30)
    typist.see(b"[100x30]")
    typist.type(b"\x03exit 7\r")
    typist.see(b"\x03")
    assert typist.wait() == 7
    assert typist.settings() == typist.before


@pytest.mark.parametrize("words", ["exec -t mine cat", "run -t cat"])
def test_not_typed_into(start: Start, words: str) -> None:
    """The input ends at once; keys are left alone."""
    typist = start(*words.split())
    typist.see(b"ready")
    assert typist.wait() == 0
    assert typist.settings() == typist.before


@pytest.mark.parametrize("words", ["exec -t mine cat", "run --tty cat"])
def test_output_need_not_be_a_terminal(shell_peer: GrpcPeer, words: str) -> None:
    done = Program().run(*words.split(), CWSANDBOX_BASE_URL=shell_peer.base_url)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"ready", b"")


@pytest.mark.parametrize("words", ["exec -it mine cat", "run -it cat"])
def test_typing_needs_a_terminal(shell_peer: GrpcPeer, words: str) -> None:
    before = len(shell_peer.created), len(shell_peer.metadata.get("GetSandbox", []))
    done = Program().run(*words.split(), CWSANDBOX_BASE_URL=shell_peer.base_url)
    assert_one_line_error(done, "requires a TTY")
    after = len(shell_peer.created), len(shell_peer.metadata.get("GetSandbox", []))
    assert after == before


@pytest.mark.parametrize(
    ("words", "number", "code"),
    [
        ("exec -it mine /bin/bash", signal.SIGTERM, -signal.SIGTERM),
        ("exec -it mine /bin/bash", signal.SIGQUIT, -signal.SIGQUIT),
        ("run -it /bin/bash", signal.SIGTERM, 128 + signal.SIGTERM),
        ("run -it /bin/bash", signal.SIGQUIT, 128 + signal.SIGQUIT),
    ],
)
def test_a_signal(start: Start, shell_peer: GrpcPeer, words: str, number: int, code: int) -> None:
    stopped = len(shell_peer.deleted)
    typist = start(*words.split())
    typist.see(b"[80x24]$ ")
    typist.until(lambda: typist.is_raw, "it is raw")
    typist.signal(number)
    assert typist.wait() == code
    assert typist.settings() == typist.before
    assert len(shell_peer.deleted) - stopped == words.startswith("run")


def test_leaving_stops_the_sandbox(start: Start, shell_peer: GrpcPeer) -> None:
    stopped = len(shell_peer.deleted)
    typist = start("run", "-it", "/bin/bash")
    typist.see(b"$ ")
    typist.type(b"~.")
    assert typist.wait() == 255
    assert len(shell_peer.deleted) == stopped + 1


def test_the_time_limit(start: Start) -> None:
    typist = start("exec", "-it", "--timeout", "0.3", "mine", "/bin/bash")
    assert typist.wait() == 1
    assert b"timed out after 0.3s" in typist.seen
    assert typist.settings() == typist.before


def test_environment_and_directory(shell_peer: GrpcPeer) -> None:
    seen = []

    @shell_peer.command("env")
    async def env(call: Any) -> None:
        seen.append((dict(call.init.env), list(call.init.command), call.init.container))
        await call.exit(0)

    words = ("exec", "-t", "-e", "A=1", "-w", "/tmp", "--container", "side", "mine", "env")

    # A service without the extension is sent a shell that enters the directory.
    @shell_peer.command("/bin/sh")
    async def sh(call: Any) -> None:
        await env(call)

    done = Program().run(*words, CWSANDBOX_BASE_URL=shell_peer.base_url)
    assert done.returncode == 0, done.stderr
    [(variables, command, container)] = seen
    assert (variables, container) == ({"A": "1"}, "side")
    assert command[-2:] == ["/tmp", "env"]
