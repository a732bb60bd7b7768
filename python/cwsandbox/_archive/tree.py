"""Going through a local tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal

from cwsandbox._archive.exclude import Excludes
from cwsandbox._archive.fault import ArchiveFault, told
from cwsandbox._archive.tally import shown

Kind = Literal["file", "symlink", "directory", "end"]


# Its kind, its path from the top, and its path from here. An "end" is that of a directory's content. No class: plain
# tuples are made in a tenth of the time.
Entry = tuple[Kind, bytes, bytes]


def walk(top: bytes, excluded: Excludes | None) -> Iterator[Entry]:
    """What is below a directory: each directory, then its content, then its end.

    One directory is open at a time, and only the names of directories yet to be entered are kept. ArchiveFault for
    what cannot be looked at, and for what is neither a file, a directory nor a symlink.
    """
    pending: list[Entry] = [("directory", b"", top)]
    while pending:
        entry = pending.pop()
        kind, path, place = entry
        if path:
            yield entry
        if kind == "end":
            continue
        pending.append(("end", path, place))
        try:
            with os.scandir(place) as found:
                yield from _content(found, path, excluded, pending)
        except OSError as error:
            raise ArchiveFault(f"cannot be read: {told(error)}", shown(path or place)) from error


def _content(
    found: Iterator[os.DirEntry[bytes]],
    parent: bytes,
    excluded: Excludes | None,
    pending: list[Entry],
) -> Iterator[Entry]:
    prefix = parent + b"/" if parent else b""
    for one in found:
        path = prefix + one.name
        is_directory = one.is_dir(follow_symlinks=False)
        if excluded is not None and excluded(path, is_directory):
            continue
        if is_directory:
            pending.append(("directory", path, one.path))
        elif one.is_file(follow_symlinks=False):
            yield "file", path, one.path
        elif one.is_symlink():
            yield "symlink", path, one.path
        else:
            raise ArchiveFault(
                "is neither a file, a directory nor a symlink, and cannot be copied: exclude it",
                shown(path),
            )


def size_of(top: bytes, excluded: Excludes | None) -> int:
    """The bytes in all files below a directory, as of now. ArchiveFault as from ``walk``."""
    total = 0
    for kind, path, place in walk(top, excluded):
        if kind == "file":
            try:
                total += os.lstat(place).st_size
            except OSError as error:
                raise ArchiveFault(f"cannot be read: {told(error)}", shown(path)) from error
    return total
