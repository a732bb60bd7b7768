"""The installed ``cwsandbox`` as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS = 40
PATH = Path(sys.executable).parent / "cwsandbox"


class Program:
    """Runs it with this process's environment, as it is then."""

    def run(
        self, *words: str, stdin: bytes = b"", **env: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it to its end; a hang is a failure."""
        return subprocess.run(
            [PATH, *words],
            input=stdin,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env={**os.environ, **env},
        )

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Ctrl-C and Ctrl-\\ reach it, even if this process ignores them, as in the background of a shell."""
        return subprocess.Popen(["env", "--default-signal=INT,QUIT", PATH, *words], **options)


def assert_one_line_error(done: subprocess.CompletedProcess[bytes], *parts: str) -> None:
    """It failed with one line that has all of these."""
    text = done.stderr.decode()
    assert done.returncode == 1, text
    assert text.startswith("Error: "), text
    assert text.count("\n") == 1, text
    for part in parts:
        assert part in text
