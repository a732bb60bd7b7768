"""Draws docs/cli.svg from what `cwsandbox run`, `cp` and `top` really show in a terminal, which tmux is.

python tools/render_cli.py > docs/cli.svg    (with the package in this Python's environment)
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from terminal_svg import picture

COLUMNS, LINES = 86, 24
SECONDS = 30.0
PROMPT = "\x1b[32m$\x1b[39m "
ROOT = Path(__file__).parents[1]
COMMANDS = (
    "cwsandbox run -- python3 -c 'print(6 * 7)'",
    "echo some text | cwsandbox run -i -- tr a-z A-Z",
    "cwsandbox run --keep true",
    "cwsandbox cp -x '*.o' src $ID:/work/",
    "cwsandbox exec $ID -- sh -c 'find /work -name \"*.c\" | wc -l'",
)


class Terminal:
    """A shell in tmux."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def tmux(self, *words: str) -> str:
        command = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def screen(self, *options: str) -> list[str]:
        return self.tmux("capture-pane", "-p", *options).rstrip("\n").split("\n")

    def run(self, command: str) -> list[str]:
        """Type a command and wait for the next prompt; what it has shown."""
        before = len(self.screen())
        self.enter(command)
        self.wait(lambda screen: len(screen) > before and screen[-1].strip() == "$")
        return self.screen()[before - 1 :]

    def enter(self, command: str) -> None:
        self.tmux("send-keys", "-l", command)
        self.tmux("send-keys", "Enter")

    def wait(self, is_there: Callable[[list[str]], bool]) -> None:
        end = time.monotonic() + SECONDS
        while not is_there(self.screen()):
            if time.monotonic() > end:
                raise TimeoutError("\n".join(self.screen()))
            time.sleep(0.05)


@contextmanager
def terminal() -> Iterator[Terminal]:
    """A shell with a daemon of its own, in the folder of this project."""
    with tempfile.TemporaryDirectory() as folder:
        startup = Path(folder) / "startup"
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        startup.write_text(f"PATH='{path}'\nPS1='{PROMPT}'\ncd '{ROOT}'\nunset HISTFILE\n")
        one = Terminal(Path(folder) / "tmux")
        shell = f"{sys.executable} -m cwsandbox local -- bash --noprofile --rcfile {startup}"
        one.tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), shell)
        try:
            one.wait(lambda screen: screen[-1].strip() == "$")
            yield one
        finally:
            one.tmux("kill-server")


def main() -> None:
    with terminal() as shell:
        for command in COMMANDS:
            shown = shell.run(command)
            if kept := [line.split()[1] for line in shown if line.endswith("is kept.")]:
                shell.run(f"ID={kept[0]}")
        session = shell.screen("-e")[:-1]
        shell.run("cwsandbox run --keep true")
        shell.enter("cwsandbox top -n 1")
        shell.wait(lambda screen: "AGE" in screen[2])
        top = shell.screen("-e")
        shell.tmux("send-keys", "C-c")
    sys.stdout.write(picture([session, top], "cwsandbox run, cp and top in a terminal"))


if __name__ == "__main__":
    main()
