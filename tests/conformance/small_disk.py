"""File systems that are soon full."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.env import eventually


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A new folder on a file system of its own; a reason to skip where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        # Of a daemon that was killed a process may still be ending.
        unmount = ["umount", str(folder)]
        eventually(
            lambda: subprocess.run(unmount, capture_output=True, check=False).returncode == 0,
            "nobody uses the file system",
        )


def fill(folder: Path) -> Path:
    """Leaves no byte; what is returned is to be removed."""
    stopper = folder / "stopper"
    with contextlib.suppress(OSError), stopper.open("ab", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return stopper
