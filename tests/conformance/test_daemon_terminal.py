"""grpcio's generated client against our daemon's terminals."""

from __future__ import annotations

import hashlib
import queue
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from hyperframe.frame import DataFrame

from conformance import protos
from conformance.h2_peer import frame as grpc_message
from conformance.raw_client import SERVICE, Peer
from integration.env import Daemon, eventually
from integration.host import resident_bytes

pb = protos.messages()
SIGHUP = 1
LEFT = object()  # half-close without a close frame
UNREAD_MAX = 64 << 20  # what 200 terminals may hold, each 256 KiB of output and what belongs to it


class Terminal:
    """One call of StreamExec with a terminal, frame by frame."""

    def __init__(self, stub: Any, sandbox_id: str, *command: str, **init: Any) -> None:
        self._frames: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._frames.put(
            pb.ExecStreamRequest(
                init=pb.ExecStreamInit(
                    sandbox_id=sandbox_id, command=command, **{"tty": True, **init}
                )
            )
        )
        self.call = stub.StreamExec(iter(self._frames.get, LEFT), timeout=30)
        self.output = b""
        self.exit_code: int | None = None
        self.ready = False

    def type(self, text: bytes) -> None:
        self._frames.put(pb.ExecStreamRequest(stdin=text))

    def resize(self, width: int, height: int) -> None:
        self._frames.put(
            pb.ExecStreamRequest(resize=pb.ExecStreamResize(width=width, height=height))
        )

    def close(self) -> None:
        self._frames.put(pb.ExecStreamRequest(close=pb.ExecStreamClose()))

    def leave(self) -> None:
        self._frames.put(LEFT)

    def _take(self) -> bool:
        frame = next(self.call, None)
        if frame is None:
            return False
        assert self.exit_code is None, "a frame behind exit"
        kind = frame.WhichOneof("message")
        if kind == "ready":
            self.ready = True
        elif kind == "output":
            assert frame.output.stream == pb.ExecStreamOutput.STREAM_STDOUT
            self.output += frame.output.data
        else:
            assert kind == "exit", frame
            self.exit_code = frame.exit.exit_code
        return True

    def until(self, text: bytes) -> bytes:
        """What came up to and with the text. The rest stays."""
        while text not in self.output:
            assert self._take(), self.output
        at = self.output.index(text) + len(text)
        seen, self.output = self.output[:at], self.output[at:]
        return seen

    def end(self) -> tuple[bytes, int | None]:
        while self._take():
            pass
        return self.output, self.exit_code


@pytest.fixture
def open_terminal(stub: Any, sandbox_id: str) -> Iterator[Callable[..., Terminal]]:
    with ExitStack() as stack:

        def start(*command: str, **init: Any) -> Terminal:
            terminal = Terminal(stub, sandbox_id, *command, **init)
            stack.callback(terminal.leave)
            stack.callback(terminal.call.cancel)
            return terminal

        yield start


@pytest.fixture
def run(stub: Any, sandbox_id: str) -> Callable[[str], str]:
    def start(script: str) -> str:
        request = pb.ExecRequest(sandbox_id=sandbox_id, command=["sh", "-c", script])
        reply = stub.Exec(request, timeout=30)
        assert reply.exit_code == 0, reply
        out: bytes = reply.stdout
        return out.decode()

    return start


def test_a_terminal_of_the_sandboxs_own(open_terminal: Callable[..., Terminal]) -> None:
    script = "tty; test -t 0 -a -t 1 -a -t 2 && echo three; ps -o tty=,tpgid=,pgid=,sid= -p $$; : > /dev/tty"
    terminal = open_terminal("sh", "-c", script)
    output, exit_code = terminal.end()
    lines = output.decode().split("\r\n")
    assert re.fullmatch(r"/dev/pts/\d+", lines[0])
    assert lines[1] == "three"
    name, *groups = lines[2].split()
    assert "/dev/" + name == lines[0]
    assert len(set(groups)) == 1, "the command leads the session, in the foreground"
    assert (exit_code, terminal.ready) == (0, True)


@pytest.mark.parametrize(
    ("init", "size"),
    [
        ({}, "24 80"),
        ({"tty_width": 132, "tty_height": 50}, "50 132"),
        ({"tty_width": 132}, "24 132"),
        ({"tty_width": 65535, "tty_height": 65535}, "65535 65535"),
    ],
)
def test_size_at_the_start(
    open_terminal: Callable[..., Terminal], init: dict[str, int], size: str
) -> None:
    assert open_terminal("stty", "size", **init).end() == (f"{size}\r\n".encode(), 0)


SAYS_SIZES = """
import os, signal
changes = [signal.SIGWINCH]
signal.pthread_sigmask(signal.SIG_BLOCK, changes)
print("on", flush=True)
for _ in range(2):
    signal.sigwait(changes)
    print(*os.get_terminal_size(), flush=True)
"""


def test_resize(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("python3", "-c", SAYS_SIZES)
    terminal.until(b"on\r\n")
    terminal.resize(100, 40)
    assert terminal.until(b"\r\n") == b"100 40\r\n"
    terminal.resize(0, 0)  # tells nothing
    terminal.resize(101, 41)
    assert terminal.end() == (b"101 41\r\n", 0)


def test_resize_before_the_command_has_started(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("sh", "-c", "read x; stty size")
    terminal.resize(90, 30)
    terminal.type(b"go\n")
    assert terminal.end()[0].endswith(b"30 90\r\n")


@pytest.mark.parametrize("when", ["init", "resize"])
def test_impossible_sizes(open_terminal: Callable[..., Terminal], when: str) -> None:
    terminal = open_terminal("cat", **({"tty_width": 65536} if when == "init" else {}))
    if when == "resize":
        terminal.resize(65536, 1)
    with pytest.raises(grpc.RpcError) as caught:
        terminal.end()
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "65536" in caught.value.details()


def test_resize_of_a_command_without_terminal(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("cat", tty=False)
    terminal.resize(80, 24)
    with pytest.raises(grpc.RpcError) as caught:
        terminal.end()
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_term(open_terminal: Callable[..., Terminal]) -> None:
    assert open_terminal("sh", "-c", "echo $TERM").end()[0] == b"xterm-256color\r\n"
    own = open_terminal("sh", "-c", "echo $TERM", env={"TERM": "dumb"})
    assert own.end()[0] == b"dumb\r\n"


def test_all_that_a_command_wrote_before_its_end(open_terminal: Callable[..., Terminal]) -> None:
    script = "stty raw; head -c 1000000 /dev/zero | tr '\\0' x; exit 7"
    output, exit_code = open_terminal("sh", "-c", script).end()
    assert (len(output), exit_code) == (1_000_000, 7)


def test_who_stays_in_the_background_does_not_hold_the_end_back(
    open_terminal: Callable[..., Terminal], run: Callable[[str], str]
) -> None:
    script = "trap '' HUP; sleep 1000 & echo $!; head -c 60000 /dev/zero | tr '\\0' x; kill -9 $$"
    output, exit_code = open_terminal("sh", "-c", script).end()
    assert (output.count(b"x"), exit_code) == (60_000, 128 + 9)
    run(f"kill -9 {output.split()[0].decode()}")


def test_a_terminal_that_its_command_gives_up(open_terminal: Callable[..., Terminal]) -> None:
    """Nothing is heard of it until the end."""
    script = (
        "import os, fcntl, termios; fcntl.ioctl(0, termios.TIOCNOTTY); os.write(1, b'last');"
        "[os.close(fd) for fd in range(3)]; os._exit(3)"
    )
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
    assert open_terminal("python3", "-c", ignoring + script).end() == (b"last", 3)


def test_closing_and_opening_it_again(open_terminal: Callable[..., Terminal]) -> None:
    script = "exec 3<&- 0<&- 1>&- 2>&-; sleep 0.1; echo again > /dev/tty"
    assert open_terminal("sh", "-c", script).end() == (b"again\r\n", 0)


def test_job_control(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("bash", "--norc", "--noprofile", env={"PS1": "@ "})
    terminal.until(b"@ ")
    # What it says is not in the echo of what is typed.
    terminal.type(
        b'bash -c \'trap "echo go"on CONT; echo sta""rted; while :; do sleep 0.05; done\'\n'
    )
    terminal.until(b"started\r\n")
    terminal.type(b"\x1a")
    terminal.until(b"Stopped")
    terminal.until(b"@ ")
    terminal.type(b"fg\n")
    terminal.until(b"goon\r\n")
    terminal.type(b"\x03")
    terminal.until(b"@ ")
    terminal.type(b"echo $?; exit 4\n")
    terminal.until(b"130\r\n")
    assert terminal.end()[1] == 4


def test_the_key_that_quits(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("sh", "-c", "echo on; exec sleep 1000")
    terminal.until(b"on")
    terminal.type(b"\x1c")
    assert terminal.end()[1] == 128 + 3


def test_close_types_the_end_of_input(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("sh", "-c", "stty -echo; echo on; cat; echo and more")
    terminal.until(b"on\r\n")
    terminal.type(b"line\n")
    terminal.close()
    assert terminal.end() == (b"line\r\nand more\r\n", 0)


@pytest.mark.parametrize("command", [("bash", "--norc"), ("python3", "-i"), ("sh",)])
@pytest.mark.parametrize("prompted", [False, True])
def test_close_ends_a_shell(
    open_terminal: Callable[..., Terminal], command: tuple[str, ...], prompted: bool
) -> None:
    """It reads keys one by one, and from its prompt on only."""
    terminal = open_terminal(*command)
    if prompted:
        terminal.until(b">>> " if "python3" in command else b"# ")
    terminal.close()
    assert terminal.end()[1] == 0


def test_close_ends_a_shell_and_what_runs_in_it(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("bash", "--norc")
    terminal.until(b"# ")
    terminal.type(b"cat; echo $((6 * 7))\n")
    terminal.close()
    output, code = terminal.end()
    assert b"42\r\n" in output
    assert code == 0


def test_close_types_its_key_once_as_long_as_the_mode_is_the_same(
    open_terminal: Callable[..., Terminal],
) -> None:
    script = (
        "import fcntl, os, struct, termios, tty; tty.setraw(0); print('on', flush=True)\n"
        "print(os.read(0, 9), flush=True)\n"
        "for line in range(1000): print(line, flush=True)\n"
        "print('left', struct.unpack('i', fcntl.ioctl(0, termios.FIONREAD, bytes(4))))"
    )
    terminal = open_terminal("python3", "-c", script)
    terminal.until(b"on")
    terminal.close()
    output, code = terminal.end()
    assert rb"b'\x04'" in output
    assert output.strip().endswith(b"left (0,)")
    assert code == 0


def test_what_is_typed_early_is_not_lost(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("sh", "-c", "stty -echo; read a; read b; echo $b $a")
    terminal.type(b"one\n")
    terminal.type(b"two\n")
    assert b"two one\r\n" in terminal.end()[0]


def test_input_is_held_back_and_not_lost(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("sh", "-c", "stty raw -echo; echo on; head -c 2000000 | md5sum")
    terminal.until(b"on")
    for _ in range(20):
        terminal.type(b"0123456789" * 10_000)
    expected = hashlib.md5(b"0123456789" * 200_000).hexdigest()
    terminal.until(expected.encode())
    assert terminal.end()[1] == 0


HANGS_UP: dict[str, Callable[[Terminal], object]] = {
    "leave": lambda terminal: terminal.leave(),
    "cancel": lambda terminal: terminal.call.cancel(),
}


@pytest.mark.parametrize("how", HANGS_UP)
def test_hang_up(
    open_terminal: Callable[..., Terminal], run: Callable[[str], str], how: str
) -> None:
    """What runs in the foreground hears of it, and so does the shell."""
    run("rm -f /tmp/heard*")
    script = (
        "trap 'echo shell >> /tmp/heard-1; exit' HUP;"
        "set -m; bash -c 'trap \"echo child > /tmp/heard-2; exit\" HUP; echo on; while :; do sleep 0.05; done';"
        "while :; do sleep 0.05; done"
    )
    terminal = open_terminal("bash", "-c", script)
    terminal.until(b"on")
    HANGS_UP[how](terminal)
    eventually(
        lambda: run("cat /tmp/heard-* 2>/dev/null || :").split() == ["shell", "child"],
        "both have been hung up",
    )


@pytest.mark.parametrize("how", HANGS_UP)
def test_who_ignores_the_hang_up_is_killed(
    open_terminal: Callable[..., Terminal], run: Callable[[str], str], how: str
) -> None:
    terminal = open_terminal(
        "bash", "-c", "trap '' HUP; echo $$ on; while :; do sleep 0.05 || :; done"
    )
    pid = terminal.until(b"on").split()[0].decode()
    HANGS_UP[how](terminal)
    eventually(lambda: run(f"kill -0 {pid} 2>/dev/null || echo gone"), "it is gone")
    if how == "leave":
        assert terminal.end()[1] == 128 + 9


def test_the_end_by_a_hang_up_is_told(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("sh", "-c", "echo on; exec sleep 1000")
    terminal.until(b"on")
    terminal.leave()
    assert terminal.end()[1] == 128 + SIGHUP


def test_a_client_that_left_at_once(
    open_terminal: Callable[..., Terminal], run: Callable[[str], str]
) -> None:
    terminal = open_terminal("sleep", "1000")
    terminal.leave()
    assert terminal.end()[1] == 128 + SIGHUP


def test_nothing_is_left(open_terminal: Callable[..., Terminal], run: Callable[[str], str]) -> None:
    terminals = [open_terminal("sh", "-c", "echo on; exec cat") for _ in range(100)]
    for terminal in terminals:
        terminal.until(b"on")
    assert len(run("ls /dev/pts").split()) >= 101
    for terminal in terminals:
        terminal.leave()
        assert terminal.end()[1] == 128 + SIGHUP
    assert run("ls /dev/pts; ps -o pid= --ppid 1 | wc -l").split() == ["ptmx", "1"]


def test_clients_that_never_read(
    sandbox_id: str, run: Callable[[str], str], default_daemon: Daemon
) -> None:
    """Their commands are held back, the daemon does not grow, the others go on, and nothing is left of them."""
    connections, terminals = 2, 100
    before = resident_bytes(default_daemon.pid)
    states = "cat /proc/[0-9]*/stat | grep -c '(yes) %s'; true"
    init = pb.ExecStreamInit(sandbox_id=sandbox_id, command=["yes", "x" * 1000], tty=True)
    request = grpc_message(pb.ExecStreamRequest(init=init).SerializeToString())
    with ExitStack() as stack:
        for _ in range(connections):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(20)
            connection.connect(default_daemon.base_url.removeprefix("unix://"))
            peer = Peer(connection)
            for stream_id in range(1, 2 * terminals, 2):
                head = peer.headers(stream_id, path=SERVICE + "StreamExec")
                peer.send(head, DataFrame(stream_id, request))
        asleep = f"{connections * terminals}\n"
        eventually(lambda: run(states % "S") == asleep, "all wait for their terminals")
        assert resident_bytes(default_daemon.pid) - before < UNREAD_MAX
    eventually(lambda: run(states % ".") == "0\n", "all were hung up")


def test_no_more_terminals(
    open_terminal: Callable[..., Terminal], run: Callable[[str], str]
) -> None:
    """They are the sandbox's own: it may use them up, and hears of it."""
    script = "import os; fds = [os.open('/dev/ptmx', os.O_RDWR) for _ in range(255)]"
    holder = open_terminal("python3", "-c", script + "; print('on', flush=True); input()")
    holder.until(b"on\r\n")
    with pytest.raises(grpc.RpcError) as caught:
        open_terminal("true").end()
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "no more terminals" in caught.value.details()
    holder.type(b"\n")
    assert holder.end()[1] == 0
    assert open_terminal("true").end() == (b"", 0)


def test_a_relay_that_is_killed_is_a_hang_up(
    open_terminal: Callable[..., Terminal], run: Callable[[str], str]
) -> None:
    terminal = open_terminal("sh", "-c", "echo on; exec sleep 1000")
    terminal.until(b"on")
    run("kill -9 -1")
    assert terminal.end()[1] in (128 + SIGHUP, 128 + 9)


def test_a_flood_and_the_key_that_ends_it(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("yes")
    terminal.until(b"y\r\n" * 1000)
    terminal.type(b"\x03")
    assert terminal.end()[1] == 128 + 2


def test_no_program_and_no_folder(open_terminal: Callable[..., Terminal]) -> None:
    output, exit_code = open_terminal("no-such-program").end()
    assert (b"No such file" in output, exit_code) == (True, 127)
    output, exit_code = open_terminal("true", cwd="/no-such-folder").end()
    assert (b"cannot change to directory" in output, exit_code) == (True, 126)
