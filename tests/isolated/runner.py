"""Runs a script in a Python of its own: what happens at its exit must not touch the test run."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

SECONDS = 40
# Development mode without asyncio's remarks on slow callbacks, and without the warning of a sandbox that the script
# leaves to the end of the process on purpose.
# Nor that fork() with threads is risky, since 3.12: what it does to us is what is tested.
CHECKED = (
    *("-X", "faulthandler", "-W", "default", "-W", "ignore:Sandbox:ResourceWarning"),
    *("-W", "ignore:This process:DeprecationWarning"),
)


def run(
    script: str, *arguments: str, seconds: float = SECONDS, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run ``script``; a hang is a failure."""
    return subprocess.run(
        [sys.executable, *CHECKED, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "CWSANDBOX_BASE_URL": "local", "PYTHONMALLOC": "debug", **env},
    )


def run_quietly(script: str, *arguments: str, **env: str) -> str:
    """stdout of a script that must exit 0 and say nothing on stderr."""
    result = run(script, *arguments, **env)
    assert result.stderr == ""
    assert result.returncode == 0
    return result.stdout
