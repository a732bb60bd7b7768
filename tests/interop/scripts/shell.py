"""Terminals with the published SDK. It is imported here, so nothing of ours may be."""

from __future__ import annotations

import sys

from cwsandbox import Sandbox, TerminalSession

IMAGE = "python:3.11"


class Screen:
    """What came out of a terminal."""

    def __init__(self, session: TerminalSession) -> None:
        self.session = session
        self.text = ""

    def type(self, text: str) -> None:
        self.session.stdin.write(text.encode()).result(20)

    def wait_for(self, text: str) -> None:
        """What came up to there is forgotten."""
        while text not in self.text:
            self.text += next(self.session.output).decode()
        self.text = self.text.partition(text)[2]

    def rest(self) -> str:
        return self.text + b"".join(self.session.output).decode()


def shell(sandbox: Sandbox) -> None:
    screen = Screen(sandbox.shell(["/bin/sh"], width=100, height=30))
    screen.type("stty size; tty; echo TERM=$TERM\n")
    screen.wait_for("30 100\r\n")
    screen.wait_for("/dev/pts/")
    screen.wait_for("TERM=x")
    screen.session.resize(77, 22)
    screen.type("until stty size | grep '^22 77'; do sleep 0.01; done\n")
    screen.wait_for("\n22 77\r\n")
    screen.type("exit 7\n")
    screen.rest()
    assert screen.session.wait(20) == 7
    assert screen.session.result().returncode == 7


def keys(sandbox: Sandbox) -> None:
    """They reach what runs in the foreground."""
    screen = Screen(sandbox.shell(["/bin/bash", "--norc"]))
    # By then the terminal is its own: a key that comes while the shell starts it is the shell's.
    screen.type("sh -c \"echo sle''eps; exec sleep 1000\"\n")
    screen.wait_for("sleeps\r\n")
    screen.type("\x03")
    screen.type("echo code=$?; exit\n")
    screen.wait_for("code=130")
    screen.rest()
    assert screen.session.wait(20) == 0


def everything(sandbox: Sandbox) -> None:
    """What a command writes last arrives, even if it ends at once."""
    size = 1_000_000
    session = sandbox.shell(["python", "-c", f"print('x' * {size})"])
    output = b"".join(session.output)
    assert output == b"x" * size + b"\r\n", len(output)
    assert session.wait(20) == 0


if __name__ == "__main__":
    with Sandbox.run(container_image=IMAGE) as started:
        globals()[sys.argv[1]](started)
