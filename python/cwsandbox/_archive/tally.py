"""How much of a tree has been copied so far."""

from __future__ import annotations

import os


class Tally:
    """Counts of one thread. ``last`` is the path of the entry that is, or was, worked on, below the top."""

    __slots__ = ("bytes", "directories", "files", "last", "symlinks")

    def __init__(self) -> None:
        self.files = 0
        self.directories = 0
        self.symlinks = 0
        self.bytes = 0
        self.last: bytes | None = None

    def copy(self) -> Tally:
        """As it is now."""
        copied = Tally()
        for name in self.__slots__:
            setattr(copied, name, getattr(self, name))
        return copied


def shown(path: bytes) -> str:
    """A path as text. Bytes that are no UTF-8 come as ``os.fsdecode`` has them."""
    return os.fsdecode(path)
