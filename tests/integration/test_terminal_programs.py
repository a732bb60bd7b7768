"""Full-screen programs in a sandbox, on the screen of a terminal emulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pyte
import pytest

from cwsandbox import Sandbox, TerminalSession

COLUMNS, ROWS = 80, 24


class Emulator(pyte.Screen):
    """Answers what a program asks of the terminal with ``reply``."""

    def __init__(self, columns: int, rows: int, reply: Callable[[str], None]) -> None:
        super().__init__(columns, rows)
        self._reply = reply

    def write_process_input(self, data: str) -> None:
        self._reply(data)

    def select_graphic_rendition(self, *attributes: int, private: bool = False) -> None:
        """vim sets a key mode with a private form of this sequence, which the emulator does not know."""
        if not private:
            super().select_graphic_rendition(*attributes)


class Screen:
    """What somebody at the terminal sees, and types."""

    def __init__(self, session: TerminalSession) -> None:
        self.session = session
        self._output = iter(session.output)
        self._screen = Emulator(COLUMNS, ROWS, self.type)
        self._stream = pyte.ByteStream(self._screen)

    def type(self, text: str) -> None:
        self.session.stdin.write(text.encode()).result(10)

    def resize(self, columns: int, rows: int) -> None:
        self._screen.resize(rows, columns)
        self.session.resize(columns, rows)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    def see(self, what: Callable[[list[str]], bool]) -> None:
        while not what(self.lines):
            data = next(self._output, None)
            assert data is not None, "ended with\n" + "\n".join(self.lines)
            self._stream.feed(data)

    def end(self) -> int:
        for data in self._output:
            self._stream.feed(data)
        return self.session.wait(10)


@pytest.fixture
def show(sandbox: Sandbox) -> Iterator[Callable[..., Screen]]:
    with ExitStack() as stack:

        def start(*command: str) -> Screen:
            session = stack.enter_context(sandbox.shell(list(command), width=COLUMNS, height=ROWS))
            return Screen(session)

        yield start


def write_lines(sandbox: Sandbox, path: str, count: int) -> None:
    sandbox.write_file(path, "".join(f"line {n}\n" for n in range(count)).encode()).result(10)


def test_vim(sandbox: Sandbox, show: Callable[..., Screen]) -> None:
    screen = show("vim", "-N", "-u", "NONE", "-i", "NONE", "/tmp/file")
    screen.see(lambda lines: lines[1] == "~" and "/tmp/file" in lines[-1])
    screen.type("ihello\rworld\x1b")
    screen.see(lambda lines: lines[:3] == ["hello", "world", "~"])
    screen.type(":wq\r")
    assert screen.end() == 0
    assert sandbox.read_file("/tmp/file").result(10) == b"hello\nworld\n"


def test_less(sandbox: Sandbox, show: Callable[..., Screen]) -> None:
    write_lines(sandbox, "/tmp/lines", 1000)
    screen = show("less", "/tmp/lines")
    screen.see(lambda lines: lines[0] == "line 0" and lines[22] == "line 22")
    screen.type("G")
    screen.see(lambda lines: lines[22] == "line 999")
    screen.type("g")
    screen.see(lambda lines: lines[0] == "line 0" and lines[22] == "line 22")
    screen.type("q")
    assert screen.end() == 0


def test_top(show: Callable[..., Screen]) -> None:
    screen = show("top", "-d", "0.5")
    screen.see(lambda lines: any("cwsandb" in line for line in lines))
    screen.see(lambda lines: lines[0].startswith("top - "))
    screen.type("q")
    assert screen.end() == 0


def await_size(screen: Screen, size: str) -> None:
    """tmux tells the programs in it some time later."""
    screen.type(
        f"until [ \"$(stty size)\" = '{size}' ]; do sleep 0.05; done; clear; echo si''zed\r"
    )
    screen.see(lambda lines: lines[0] == "sized")


def test_tmux(show: Callable[..., Screen]) -> None:
    screen = show(
        *("tmux", "-f", "/dev/null", "new-session", "env PS1='here> ' bash --norc --noediting")
    )
    screen.see(lambda lines: lines[0] == "here>" and "[0]" in lines[-1])
    screen.type("\x02%")  # a second pane beside it
    screen.see(lambda lines: "│" in lines[1])
    screen.type("echo t''wo\r")
    screen.see(lambda lines: any(line.endswith("│two") for line in lines))
    screen.type("exit\r")
    screen.see(lambda lines: lines[:2] == ["here>", ""])
    await_size(screen, "23 80")
    screen.resize(100, 30)
    await_size(screen, "29 100")
    screen.type("exit\r")
    assert screen.end() == 0


def asks(lines: list[str]) -> bool:
    """Python is ready for the next line: it sets the terminal up for each, and shows the prompt when it has."""
    return [line for line in lines if line][-1:] == [">>>"]


def test_python(show: Callable[..., Screen]) -> None:
    screen = show("python3", "-q", "-i")
    screen.see(asks)
    screen.type("6 * 7\r")
    screen.see(lambda lines: lines[1] == "42" and asks(lines))
    # Not at a prompt: Python overlooks a signal between that and its waiting for a key.
    screen.type("print('spin' + 'ning') or any(iter(lambda: 0, 1))\r")
    screen.see(lambda lines: "spinning" in lines)
    screen.type("\x03")
    screen.see(lambda lines: "KeyboardInterrupt" in lines and asks(lines))
    screen.type("input('more? ')\r")
    screen.see(lambda lines: "more?" in lines)
    screen.type("\x04")
    screen.see(lambda lines: "EOFError" in lines and asks(lines))
    screen.type("exit(7)\r")
    assert screen.end() == 7
