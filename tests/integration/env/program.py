"""Python programs that a test starts and sends signals to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def python_program(text: str, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """This program with these arguments; what still runs at the end of the block is killed."""
    # Python ignores SIGINT where a shell's background does.
    command = ["env", "--default-signal=INT", sys.executable, "-c", text, *words]
    pipes = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipes, stderr=pipes, text=True) as running:
        try:
            yield running
        finally:
            running.kill()
