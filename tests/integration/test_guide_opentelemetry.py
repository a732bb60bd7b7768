"""The example of docs/guide/opentelemetry.md, in a process of its own: it sets global providers."""

from __future__ import annotations

import subprocess
import sys

from code_blocks import blocks


def test_the_guide(base_url: str) -> None:
    (example,) = blocks("docs/guide/opentelemetry.md", count=1)
    done = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert {"sh", "cwsandbox.create", "cwsandbox.stop"} <= set(lines)
    assert lines[-1] == "evaluate"
