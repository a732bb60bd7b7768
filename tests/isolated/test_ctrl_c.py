"""Ctrl-C while a thread is blocked in C: KeyboardInterrupt at once, whatever it waits for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.env import eventually
from isolated import runner

SCRIPT = """
import signal
# A test run in the background of a shell is started with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from cwsandbox import Sandbox
import cwsandbox
sandbox = Sandbox.run()
for _ in range({before}):
    sandbox.exec(["true"]).result()
process = sandbox.exec(["sh", "-c", "echo begun; sleep 300"])
assert next(process.stdout) == "begun\\n"
try:
    print("waiting", flush=True)
    {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
sandbox.stop(graceful_shutdown_seconds=0).result()
print("stopped", flush=True)
"""


def is_sleeping(pid: int) -> bool:
    """Its main thread has nothing to do."""
    stat = Path(f"/proc/{pid}/task/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "S"


@contextlib.contextmanager
def killed_at_the_end(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


# A thread that has waited alone before runs the I/O itself while it waits (docs/threading.md).
@pytest.mark.parametrize("before", [0, 50], ids=["at first", "after others"])
@pytest.mark.parametrize(
    "wait",
    [
        "process.result()",
        "process.result(250)",
        "process.wait()",
        "next(process.stdout)",
        "list(process.stderr)",
        "cwsandbox.wait([process])",
        "sandbox.exec(['sleep', '300']).result()",
    ],
)
def test_interrupt(wait: str, before: int) -> None:
    env = {**os.environ, "CWSANDBOX_BASE_URL": "local", "CWSANDBOX_DISABLE_SIGNAL_HANDLERS": "1"}
    command = [sys.executable, "-c", SCRIPT.format(wait=wait, before=before)]
    with killed_at_the_end(command, env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "waiting\n"
        eventually(lambda: is_sleeping(process.pid), "the main thread waits")
        process.send_signal(signal.SIGINT)
        # 300 s would pass before anything else could wake it.
        assert process.stdout.readline() == "interrupted\n"
        assert process.stdout.readline() == "stopped\n"
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


ASYNC_SCRIPT = """
import asyncio, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from cwsandbox import Sandbox

async def main():
    async with Sandbox.run() as sandbox:
        count = 0
        async for line in sandbox.exec(["yes"]).stdout:
            count += 1
            if count == 1000:
                print("reading", flush=True)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_interrupt_of_a_loop_that_reads_without_end() -> None:
    """asyncio.run() cancels the main task, which has to suspend for that though there is always a line."""
    env = {**os.environ, "CWSANDBOX_BASE_URL": "local", "CWSANDBOX_DISABLE_SIGNAL_HANDLERS": "1"}
    with killed_at_the_end([sys.executable, "-c", ASYNC_SCRIPT], env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert process.wait(30) == 0


IMPORTING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from cwsandbox import Sandbox

class Typist:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(Typist)
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Typist)
try:
    {create}
except KeyboardInterrupt as error:
    print("interrupted", error.__context__)
print(Typist in sys.meta_path)
"""


# What a package has imported stays when its own import is cut short; some, such as asyncio, then fail for good.
@pytest.mark.parametrize("module", ["asyncio.sslproto", "asyncio", "cwsandbox._runtime.policy"])
@pytest.mark.parametrize("create", ["Sandbox().__enter__()", "Sandbox.run()"])
def test_interrupt_while_the_first_operation_imports(module: str, create: str) -> None:
    script = IMPORTING.format(module=module, create=create)
    assert runner.run_quietly(script) == "interrupted None\nFalse\n"
