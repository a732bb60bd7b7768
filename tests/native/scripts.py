"""Scripts run in a Python of their own, since they fork or end it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]

PRELUDE = """
import asyncio, concurrent.futures, logging, os, signal, sys, threading, time
from native.instance import ExecError, load_configured
core = load_configured()
# In development mode asyncio logs every step that takes a tenth of a second, as any may on a slow machine.
logging.getLogger("asyncio").addFilter(lambda record: not record.msg.startswith("Executing "))

def in_child(work):
    "The exit code of a forked child that runs `work`; -9 if it hangs."
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(20)
            work()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def raises(kind, text, function, *arguments):
    try:
        function(*arguments)
    except kind as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"{function} did not raise {kind}")

def started(process):
    "Waits for the first line of the process, so that it is known to run."
    assert next(process.stdout)
    return process
"""

OPEN_SANDBOX = """
channel = core.Channel(sys.argv[1])
sandbox = core.SandboxCore()
sandbox.open(channel, "sb-1")
"""


def run_script(body: str, *arguments: str, returncode: int = 0, seconds: float = 40) -> str:
    """stdout of the script, which must exit with ``returncode`` and say nothing on stderr. A hang is a failure."""
    result = subprocess.run(
        [
            sys.executable,
            "-X",
            "dev",
            "-W",
            "ignore::DeprecationWarning",
            "-c",
            PRELUDE + body,
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        },
    )
    assert (result.stderr, result.returncode) == ("", returncode), (
        result.returncode,
        result.stderr,
    )
    return result.stdout
