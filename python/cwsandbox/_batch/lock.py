"""What holds a store for one program: a lock on a file beside it, which the kernel frees with the process."""

from __future__ import annotations

import fcntl
import os
from io import FileIO
from pathlib import Path

from cwsandbox.exceptions import BatchError


class Lock:
    """Held from the beginning. Used by one thread at a time."""

    def __init__(self, store: str, name: Path) -> None:
        """Take it. ``store`` is where the store is, without links, ``name`` what messages call it.

        ``BatchError`` if another program has it, or if it cannot be had.
        """
        # A file beside it: SQLite has locks of its own on the database, which closing another descriptor would free.
        self._path = f"{store}-lock"
        self._name = name
        self._file = self._taken()

    def keep(self) -> None:
        """Take it again if its file was removed. ``BatchError`` if another program was faster."""
        if identity(self._path) != self._identity:
            lost, self._file = self._file, self._taken()
            lost.close()

    def close(self) -> None:
        """Let another program have it. In a child of ``fork()`` the parent keeps it."""
        self._file.close()

    def _taken(self) -> FileIO:
        while True:
            try:
                file = open(self._path, "ab+", buffering=0)  # noqa: SIM115
            except OSError as error:
                raise BatchError(f"{self._name} cannot be opened: {error}") from error
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._identity = identity(file.fileno())
                if self._identity == identity(self._path):
                    file.truncate(0)
                    file.write(b"%d" % os.getpid())
                    return file
                file.close()  # somebody has removed it at this moment
            except BlockingIOError:
                file.seek(0)
                holder = file.read(32).decode(errors="replace")
                file.close()
                raise BatchError(
                    f"{self._name} is in use by another batch (process {holder})"
                ) from None
            except OSError as error:
                file.close()
                raise BatchError(f"{self._name} cannot be locked: {error}") from error


def identity(file: str | int) -> tuple[int, int] | None:
    """What tells a file from all others, by its path or its descriptor. None if it cannot be found."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino
