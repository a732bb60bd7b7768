"""Terminal sessions of the package in sandboxes of its daemon."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError

import pytest

from cwsandbox import (
    Sandbox,
    SandboxNotRunningError,
    TerminalResult,
    TerminalSession,
)
from integration.env import eventually

PROMPT = {"PS1": "> "}
MEGABYTE = 1_000_000


def shown(session: TerminalSession, end: bytes) -> bytes:
    """What is shown, up to this."""
    seen = b""
    while not seen.endswith(end):
        seen += next(session.output)
    return seen


def test_a_session(sandbox: Sandbox) -> None:
    with sandbox.shell(["sh"], width=101, height=31, env=PROMPT, cwd="/tmp") as session:
        shown(session, b"> ")
        session.write(b"stty size; pwd; tty\n")
        assert shown(session, b"> ").splitlines()[1:3] == [b"31 101", b"/tmp"]
        session.resize(60, 20)
        session.write(b"stty size\n")
        assert b"20 60\r\n" in shown(session, b"> ")
        session.write(b"exit 7\n")
        assert b"".join(session.output).endswith(b"exit 7\r\n")
        assert session.result() == TerminalResult(7, ["sh"])


def test_bash_is_the_default(sandbox: Sandbox) -> None:
    with sandbox.shell(width=80, height=24) as session:
        session.write(b"echo $BASH $TERM; exit\n")
        assert b"/bin/bash " in b"".join(session.output)
        assert session.wait() == 0


def test_a_resize_is_a_signal(sandbox: Sandbox) -> None:
    script = "trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.05; done"
    with sandbox.shell(["sh", "-c", script], width=80, height=24) as session:
        shown(session, b"ready\r\n")
        session.resize(123, 45)
        assert shown(session, b"45 123\r\n")
        assert session.wait(30) == 3


def test_keys_are_signals(sandbox: Sandbox) -> None:
    script = "trap 'echo INT' INT; trap 'echo QUIT' QUIT; echo ready; while :; do sleep 0.05; done"
    with sandbox.shell(["sh", "-c", script]) as session:
        shown(session, b"ready\r\n")
        session.write(b"\x03")
        shown(session, b"INT\r\n")
        session.write(b"\x1c")
        shown(session, b"QUIT\r\n")


def test_every_byte_in_raw_mode(sandbox: Sandbox) -> None:
    keys = bytes(range(256))
    with sandbox.shell(["sh", "-c", "stty raw -echo; echo ready; exec head -c 256"]) as session:
        shown(session, b"ready\n")
        session.write(keys)
        assert b"".join(session.output) == keys
        assert session.wait() == 0


def test_the_end_of_input(sandbox: Sandbox) -> None:
    with sandbox.shell(["sh", "-c", "cat; echo code=$?"]) as session:
        session.write(b"text\n")
        shown(session, b"text\r\ntext\r\n")
        session.stdin.close()
        assert b"code=0" in b"".join(session.output)
        assert session.wait() == 0


def test_a_megabyte_of_a_command_that_exits_at_once(sandbox: Sandbox) -> None:
    command = ["sh", "-c", f"stty -opost; head -c {MEGABYTE} /dev/zero"]
    with sandbox.shell(command) as session:
        assert sum(map(len, session.output)) == MEGABYTE
        assert session.wait() == 0


@pytest.mark.parametrize("how", ["block", "close", "drop"])
def test_hanging_up(sandbox: Sandbox, how: str) -> None:
    """The command gets SIGHUP, however the client goes."""
    mark = f"/tmp/hup-{how}"
    script = f"trap 'touch {mark}; exit' HUP; echo ready; while :; do sleep 0.05; done"
    session = sandbox.shell(["sh", "-c", script])
    shown(session, b"ready\r\n")
    if how == "block":
        with session:
            pass
    elif how == "close":
        session.output.close()
        with pytest.raises(CancelledError):
            session.result()
    del session
    eventually(lambda: sandbox.exec(["test", "-e", mark]).wait() == 0, "it has got SIGHUP")


def test_killed(sandbox: Sandbox) -> None:
    with sandbox.shell(["sh", "-c", "kill -9 $$"]) as session:
        assert b"".join(session.output) == b""
        assert session.wait() == 137


def test_a_command_that_is_not_there(sandbox: Sandbox) -> None:
    with sandbox.shell(["/no/such/program"]) as session:
        assert b"/no/such/program: No such file" in b"".join(session.output)
        assert session.wait() == 127


def test_stopping_the_sandbox(base_url: str) -> None:
    with Sandbox.run() as sandbox:
        session = sandbox.shell(["sh", "-c", "echo ready; exec sleep 1000"])
        shown(session, b"ready\r\n")
        sandbox.stop(graceful_shutdown_seconds=0).result()
        with pytest.raises(SandboxNotRunningError):
            list(session.output)
        with pytest.raises(SandboxNotRunningError):
            session.result()


async def test_many_at_once(base_url: str) -> None:
    async with Sandbox.run() as sandbox:

        async def one(number: int) -> None:
            async with sandbox.shell(["sh"], width=80 + number, height=24, env=PROMPT) as session:
                await session.write(b"stty size; exit %d\n" % number)
                seen = b"".join([data async for data in session.output])
                assert f"24 {80 + number}\r\n".encode() in seen
                assert (await session).returncode == number

        await asyncio.gather(*map(one, range(16)))
