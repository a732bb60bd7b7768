"""Writing an archive of a local file or tree, a piece at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from cwsandbox._archive import header
from cwsandbox._archive.exclude import Excludes
from cwsandbox._archive.fault import ArchiveFault, CallerError, told
from cwsandbox._archive.tally import Tally, shown
from cwsandbox._archive.tree import walk
from cwsandbox._cwsandbox import small_file

# Pieces of an archive have about this size.
PIECE = 256 * 1024
# Not followed and not waited for, in case that the file has become something else.
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_MODE = 0o7777
# Until a directory has its content: some programs set its mode at once.
_OWNER = 0o700


class Packer:
    """Iterating ``pieces`` reads the tree; the tally counts what the pieces given so far contain."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._parts: list[bytes] = []
        self._size = 0
        self._whole = 0  # the parts of entries that are complete

    def file(self, place: bytes, member: bytes) -> Iterator[bytes]:
        """An archive of one file, under the name ``member``. A symlink is followed."""
        self._tally.last = member
        try:
            yield from self._any(place, member, _OPEN)
        except OSError as error:
            raise ArchiveFault(f"cannot be read: {told(error)}", shown(member)) from error
        yield from self._end()

    def tree(self, top: bytes, excluded: Excludes | None) -> Iterator[bytes]:
        """An archive of what is below a directory. The directory itself is not in it.

        What was whole before a fault is given before that is raised.
        """
        try:
            yield from self._entries(top, excluded)
        except (ArchiveFault, CallerError):
            if self._whole:
                del self._parts[self._whole :]
                yield self._piece()
            raise
        yield from self._end()

    def _entries(self, top: bytes, excluded: Excludes | None) -> Iterator[bytes]:
        tally = self._tally
        flags = _OPEN | os.O_NOFOLLOW
        for kind, path, place in walk(top, excluded):
            tally.last = path
            try:
                if kind == "file":
                    if not self._small(place, path):
                        yield from self._any(place, path, flags)
                elif kind == "symlink":
                    self._add(_symlink(path, place))
                    tally.symlinks += 1
                else:
                    self._add(_directory(path, place, is_whole=kind == "end"))
                    tally.directories += kind == "directory"
            except OSError as error:
                raise ArchiveFault(f"cannot be read: {told(error)}", shown(path)) from error
            self._whole = len(self._parts)
            if self._size >= PIECE:
                yield self._piece()

    def _small(self, place: bytes, path: bytes) -> bool:
        """Add a small file as a whole, unless there is something about it. Most trees are made of such files."""
        made = small_file(place, path)
        if made is None:
            return False
        member, size = made
        self._add(member)
        self._tally.files += 1
        self._tally.bytes += size
        return True

    def _any(self, place: bytes, member: bytes, flags: int) -> Iterator[bytes]:
        """Add any file, or say why that cannot be. What comes last is left for the next piece."""
        content = b""
        opened = os.open(place, flags)
        try:
            found = os.fstat(opened)
            size = left = found.st_size
            self._add(_head(found, member))
            while left and (content := os.read(opened, min(left, PIECE))):
                left -= len(content)
                self._add(content)
                if left:
                    self._tally.bytes += len(content)
                    yield self._piece()
            if left:
                raise _changed(size, size - left, member)
            if os.read(opened, 1):
                raise _changed(size, None, member)
        finally:
            os.close(opened)
        self._add(header.padding(size))
        self._tally.files += 1
        self._tally.bytes += len(content)

    def _end(self) -> Iterator[bytes]:
        self._add(header.END)
        yield self._piece()

    def _add(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)

    def _piece(self) -> bytes:
        piece = b"".join(self._parts)
        self._parts.clear()
        self._size = self._whole = 0
        return piece


def seconds(found: os.stat_result) -> int:
    """The time of the last change, as headers have it."""
    return found.st_mtime_ns // 1_000_000_000


def _head(found: os.stat_result, member: bytes) -> bytes:
    if not stat.S_ISREG(found.st_mode):
        raise ArchiveFault("is no longer a file", shown(member))
    return header.regular(member, found.st_mode & _MODE, found.st_size, seconds(found))


def _changed(size: int, left: int | None, member: bytes) -> ArchiveFault:
    how = "grew" if left is None else "shrank"
    now = "more" if left is None else str(left)
    return ArchiveFault(f"{how} while it was read, from {size} bytes to {now}", shown(member))


def _symlink(path: bytes, place: bytes) -> bytes:
    found = os.lstat(place)
    return header.symlink(path, os.readlink(place), seconds(found))


def _directory(path: bytes, place: bytes, *, is_whole: bool) -> bytes:
    """Its header: writable at first, and at its end as it is. Programs that set modes at once need both."""
    found = os.lstat(place)
    mode = found.st_mode & _MODE
    if not is_whole:
        mode |= _OWNER
    return header.directory(path, mode, seconds(found))
