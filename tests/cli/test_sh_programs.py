"""`cwsandbox sh` with real programs, typed into as a person does it.

Full-screen programs in sandboxes of the daemon: tests/integration/test_terminal_programs.py.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import pytest

from cli.program import PATH
from cli.typist import Typist
from conformance.grpc_peer import GrpcPeer
from conformance.host_programs import serve_programs

# On the host it would inherit that SIGINT is ignored, if the tests run in the background of a shell.
BASH = "env --default-signal=INT 'PS1=$ ' bash --norc --noediting"
Start = Callable[[str], Typist]


class Place(NamedTuple):
    """Where the programs run."""

    base_url: str
    sandbox_id: str


@pytest.fixture(params=["daemon", "host"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A sandbox of the daemon; or a service on grpcio whose commands are programs of this host."""
    if request.param == "daemon":
        base_url = request.getfixturevalue("base_url")
        yield Place(base_url, request.getfixturevalue("sandbox_id"))
        return
    with closing(GrpcPeer()) as peer:
        serve_programs(peer, "env", "sh")
        yield Place(peer.base_url, "mine")


@pytest.fixture
def start(place: Place) -> Iterator[Start]:
    started: list[Typist] = []

    def begin(cmd: str) -> Typist:
        words = [PATH, "sh", place.sandbox_id, "--cmd", cmd]
        started.append(Typist(words, CWSANDBOX_BASE_URL=place.base_url))
        return started[-1]

    yield begin
    for one in started:
        with one:
            pass


@pytest.fixture
def bash(start: Start) -> Typist:
    typist = start(BASH)
    typist.see(b"$ ")
    return typist


def assert_ended(typist: Typist, code: int) -> None:
    assert typist.wait() == code
    assert typist.settings() == typist.before


def test_size(bash: Typist) -> None:
    bash.type(b"stty size\r")
    bash.see(b"24 80")
    waiting = "trap 'stty size; exit 5' WINCH; echo o''k; while :; do sleep 0.05; done"
    bash.type(f'exec sh -c "{waiting}"\r'.encode())
    bash.see(b"ok\r\n")
    bash.resize(101, 31)
    bash.see(b"31 101\r\n")
    assert_ended(bash, 5)


def test_interrupt(bash: Typist) -> None:
    bash.type(b"sh -c 'echo started; exec sleep 1000'\r")
    bash.see(b"started\r\n")
    bash.type(b"\x03")
    bash.see(b"$ ")  # the interrupt drops what was typed before
    bash.type(b"echo code=$?\r")
    bash.see(b"code=130")


def test_job_control(bash: Typist) -> None:
    bash.type(b"sh -c 'echo started; exec sleep 1000'\r")
    bash.see(b"started\r\n")
    bash.type(b"\x1a")
    bash.see(b"Stopped")
    bash.type(b"jobs | grep -c started; kill %1; fg\r")
    bash.see(b"1\r\n")
    bash.see(b"Terminated")
    bash.type(b"exit 0\r")
    assert_ended(bash, 0)


def test_end_of_input(bash: Typist) -> None:
    bash.type(b"(exit 6)\r\x04")
    assert_ended(bash, 6)


def test_killed(bash: Typist) -> None:
    bash.type(b"stty -echo; kill -9 $$\r")
    assert_ended(bash, 137)


def test_left_while_it_is_busy(bash: Typist) -> None:
    bash.type(b"yes\r")
    bash.see(b"y\r\ny\r\ny\r\n")
    bash.type(b"\r~.")
    assert_ended(bash, 255)


@pytest.mark.parametrize("place", ["host"], indirect=True)
def test_vim(start: Start) -> None:
    typist = start("sh -c 'cd $(mktemp -d); vim -N -u NONE -i NONE file; cat file'")
    typist.see(b"\x1b[?1049h")
    typist.see(b"~")
    typist.type(b"iHello\x1b:wq\r")
    typist.see(b"\x1b[?1049l")
    typist.see(b"Hello\r\n")
    assert_ended(typist, 0)


class Tmux:
    """A tmux server with one window, in which a shell runs."""

    def __init__(self, folder: str, **env: str) -> None:
        self._command = ["tmux", "-S", f"{folder}/socket"]
        self._env = {**os.environ, "TERM": "xterm-256color", **env}
        words = ("-f", "/dev/null", "new-session", "-d", "-x", "90", "-y", "25")
        self(*words, "env PS1='here> ' bash --norc --noediting")

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            [*self._command, *words],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            env=self._env,
        )
        return done.stdout

    def type(self, line: str) -> None:
        self("send-keys", line, "Enter")

    def see(self, text: str) -> None:
        self._wait(lambda: text in self("capture-pane", "-p", "-J"), text)

    def see_modes(self, modes: str) -> None:
        """Whether the alternate screen is on, a program wants the mouse, and the cursor is shown."""
        asked = "#{alternate_on}#{mouse_any_flag}#{cursor_flag}"
        self._wait(lambda: self("display-message", "-p", asked).strip() == modes, modes)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, f"not {what}:\n{self('capture-pane', '-p', '-J')}"
            time.sleep(0.05)


def test_in_tmux(place: Place) -> None:
    """The shell around it has its terminal back when the one in the sandbox was killed as in an editor."""
    with tempfile.TemporaryDirectory(prefix="tmux-") as folder:
        tmux = Tmux(folder, CWSANDBOX_BASE_URL=place.base_url)
        try:
            tmux.see("here> ")
            tmux.type(f'{PATH} sh {place.sandbox_id} --cmd "{BASH}"'.replace("$", r"\$"))
            tmux.see("\n$ ")
            tmux.type("stty size")
            tmux.see("25 90")
            tmux.type(r"printf '\033[?1049h\033[?1000h\033[?25l'; read; kill -9 $$")
            tmux.see_modes("110")
            tmux.type("")
            tmux.see_modes("001")
            tmux.type("echo code=$?; stty -a")
            tmux.see("code=137")
            tmux.see(" icanon ")
        finally:
            tmux("kill-server")
