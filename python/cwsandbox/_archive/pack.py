"""Writing an archive of a local file or tree, a piece at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from cwsandbox._archive import header
from cwsandbox._archive.exclude import Excludes
from cwsandbox._archive.fault import ArchiveFault, CallerError, told
from cwsandbox._archive.tally import Tally, shown
from cwsandbox._archive.tree import Entry, walk

# Pieces of an archive have about this size, and files up to it are read at once.
PIECE = 256 * 1024
# Not followed and not waited for, in case that the file has become something else.
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_MODE = 0o7777
# What fills the last block, by the bytes that are in it.
_PADDINGS = [bytes(-size % header.BLOCK) for size in range(header.BLOCK)]
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
            yield from self._large(place, member, _OPEN)
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
        for entry in walk(top, excluded):
            tally.last = entry.path
            try:
                if entry.kind == "file":
                    if not self._small(entry.place, entry.path, flags):
                        yield from self._large(entry.place, entry.path, flags)
                elif entry.kind == "symlink":
                    self._add(_symlink(entry))
                    tally.symlinks += 1
                else:
                    self._add(_directory(entry))
                    tally.directories += entry.kind == "directory"
            except OSError as error:
                raise ArchiveFault(f"cannot be read: {told(error)}", shown(entry.path)) from error
            self._whole = len(self._parts)
            if self._size >= PIECE:
                yield self._piece()

    def _small(self, place: bytes, member: bytes, flags: int) -> bool:
        """Add a file as a whole, unless it is large. No generator: most trees are made of such files."""
        opened = os.open(place, flags)
        try:
            found = os.fstat(opened)
            size = found.st_size
            if size > PIECE:
                return False
            head = _head(found, member)
            # One byte more than there should be shows whether it has grown.
            content = os.read(opened, size + 1)
            if len(content) != size:
                content = _read_on(opened, size, member, content)
        finally:
            os.close(opened)
        pad = _PADDINGS[size % header.BLOCK]
        self._parts += (head, content, pad)
        self._size += len(head) + size + len(pad)
        self._tally.files += 1
        self._tally.bytes += size
        return True

    def _large(self, place: bytes, member: bytes, flags: int) -> Iterator[bytes]:
        """A file in pieces. What comes last is left for the next piece."""
        opened = os.open(place, flags)
        try:
            found = os.fstat(opened)
            size = left = found.st_size
            self._add(_head(found, member))
            while left and (content := os.read(opened, min(left, PIECE))):
                left -= len(content)
                self._add(content)
                self._tally.bytes += len(content)
                if left:
                    yield self._piece()
            if left:
                raise _changed(size, size - left, member)
            if os.read(opened, 1):
                raise _changed(size, None, member)
        finally:
            os.close(opened)
        self._add(_PADDINGS[size % header.BLOCK])
        self._tally.files += 1

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


def _read_on(opened: int, size: int, member: bytes, content: bytes) -> bytes:
    """The content of a small file that did not come at once."""
    while len(content) < size and (more := os.read(opened, size + 1 - len(content))):
        content += more
    if len(content) == size:
        return content
    raise _changed(size, None if len(content) > size else len(content), member)


def _changed(size: int, left: int | None, member: bytes) -> ArchiveFault:
    how = "grew" if left is None else "shrank"
    now = "more" if left is None else str(left)
    return ArchiveFault(f"{how} while it was read, from {size} bytes to {now}", shown(member))


def _symlink(entry: Entry) -> bytes:
    found = os.lstat(entry.place)
    return header.symlink(entry.path, os.readlink(entry.place), seconds(found))


def _directory(entry: Entry) -> bytes:
    """Its header: writable at first, and at its end as it is. Who sets both at once so has both right."""
    found = os.lstat(entry.place)
    mode = found.st_mode & _MODE
    if entry.kind == "directory":
        mode |= _OWNER
    return header.directory(entry.path, mode, seconds(found))
