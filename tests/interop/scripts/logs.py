"""Logs with the published SDK. It is imported here, so nothing of ours may be."""

from __future__ import annotations

import contextlib
import sys
from datetime import UTC, datetime, timedelta

from cwsandbox import Sandbox, SandboxError

IMAGE = "python:3.11"
LINES = [f"line {n}\n" for n in range(1000)]
SCRIPT = (
    "import sys\n"
    "for n in range(1000): print('line', n, flush=n % 100 == 99)\n"
    "print('the rest', end='', flush=True)\n"
    "open('/tmp/written', 'w').close()\n"
    "sys.stdin = open('/tmp/fifo')\n"
    "for line in sys.stdin: print('', line, end='', flush=True)\n"
)


def chatty() -> Sandbox:
    """Writes a thousand lines and half a line, then what it reads from a FIFO."""
    command = ["sh", "-c", 'mkfifo /tmp/fifo; exec python -c "$0"', SCRIPT]
    sandbox = Sandbox.run(*command, container_image=IMAGE)
    sandbox.wait()
    sandbox.exec(["sh", "-c", "until [ -e /tmp/written ]; do sleep 0.01; done"]).result()
    return sandbox


def feed(sandbox: Sandbox, text: str) -> None:
    """The main command ends with its input, and the sandbox with that, perhaps before this exec."""
    with contextlib.suppress(SandboxError):
        sandbox.exec(["sh", "-c", 'printf %s "$0" > /tmp/fifo', text]).result()


def window() -> None:
    with chatty() as sandbox:
        followed = sandbox.stream_logs(follow=True)
        assert [next(followed) for _ in LINES] == LINES
        assert list(sandbox.stream_logs()) == [*LINES, "the rest"]
        assert list(sandbox.stream_logs(tail_lines=3)) == [*LINES[-2:], "the rest"]
        assert list(sandbox.stream_logs(container="main", tail_lines=1)) == ["the rest"]
        hour = timedelta(hours=1)
        now = datetime.now(UTC)
        assert list(sandbox.stream_logs(since_time=now - hour)) == [*LINES, "the rest"]
        assert list(sandbox.stream_logs(since_time=now + hour)) == []
        for line in sandbox.stream_logs(timestamps=True):
            time, _, text = line.partition(" ")
            assert abs(datetime.fromisoformat(time) - now) < hour
            assert text in {*LINES, "the rest"}


def follow() -> None:
    with chatty() as sandbox:
        reader = sandbox.stream_logs(follow=True, tail_lines=2)
        assert next(reader) == LINES[-1]
        feed(sandbox, "comes later\nand ends\n")
        assert list(reader) == ["the rest comes later\n", " and ends\n"]
        sandbox.wait_until_complete().result()
        assert sandbox.returncode == 0


def silent() -> None:
    """The command that the SDK sends where there is none."""
    with Sandbox.run(container_image=IMAGE) as sandbox:
        sandbox.wait()
        assert list(sandbox.stream_logs()) == []


if __name__ == "__main__":
    globals()[sys.argv[1]]()
