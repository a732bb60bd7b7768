"""Archives that Linux takes for its first file system (the "newc" format of cpio)."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import BinaryIO

END = "TRAILER!!!"


def aligned(size: int) -> int:
    return -size % 4


def write_header(into: BinaryIO, name: str, number: int, mode: int, size: int) -> None:
    nlink, uid, gid, mtime, device, check = 1, 0, 0, 0, 0, 0
    encoded = name.encode("utf-8", "surrogateescape") + b"\0"
    fields = (number, mode, uid, gid, nlink, mtime, size, *[device] * 4, len(encoded), check)
    header = b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
    into.write(header + b"\0" * aligned(len(header)))


def write_file(into: BinaryIO, path: Path, name: str, number: int) -> None:
    """A hard link becomes a file of its own; sockets and devices are left out."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        target = os.fsencode(os.readlink(path))
        write_header(into, name, number, status.st_mode, len(target))
        into.write(target + b"\0" * aligned(len(target)))
    elif stat.S_ISDIR(status.st_mode):
        write_header(into, name, number, status.st_mode, 0)
    elif stat.S_ISREG(status.st_mode):
        write_header(into, name, number, status.st_mode, status.st_size)
        with path.open("rb") as file:
            shutil.copyfileobj(file, into)
        into.write(b"\0" * aligned(status.st_size))


def pack(tree: Path, archive: Path) -> None:
    """Everything below `tree`, owned by root."""
    with archive.open("wb") as into:
        for number, path in enumerate(sorted(tree.rglob("*")), start=1):
            write_file(into, path, str(path.relative_to(tree)), number)
        write_header(into, END, 0, 0, 0)
