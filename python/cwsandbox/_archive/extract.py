"""Turns the members of an archive into files: decides where each goes, and leaves out what is excluded."""

from __future__ import annotations

from collections.abc import Iterator

from cwsandbox._archive import header
from cwsandbox._archive.exclude import Excludes
from cwsandbox._archive.fault import ArchiveFault
from cwsandbox._archive.header import Header
from cwsandbox._archive.tally import Tally, shown
from cwsandbox._archive.target import Parts, Target
from cwsandbox._archive.unpack import Reader, check_kind

# PATH_MAX of Linux. Nobody could open a longer path, and a tree of that depth is hard to remove.
_PATH_MAX = 4096


def parts_of(member: Header, path: bytes) -> Parts:
    """The components of the path. Raises ArchiveFault, which names the member, if the path leads out of the tree."""
    if path.startswith(b"/"):
        raise ArchiveFault(f"has the absolute path {shown(path)!r} in the archive", member.shown)
    if len(path) > _PATH_MAX:
        raise ArchiveFault(f"has a path of {len(path)} bytes in the archive", member.shown[:200])
    if b"\0" in path:
        raise ArchiveFault("has a name with a NUL in it", member.shown)
    parts = tuple(part for part in path.split(b"/") if part not in (b"", b"."))
    if b".." in parts:
        raise ArchiveFault(f"{shown(path)!r} in the archive leads upwards", member.shown)
    return parts


class Extractor:
    """Puts what a reader has below a target, and counts it in the tally."""

    def __init__(
        self, reader: Reader, target: Target, tally: Tally, excluded: Excludes | None
    ) -> None:
        self._reader = reader
        self._target = target
        self._tally = tally
        self._excludes = excluded
        self._parent: Parts = ()
        self._parent_is_excluded = False

    def file(self, member: Header, name: bytes) -> None:
        """Extract a file, under the given name."""
        self._tally.last = name
        self._target.file((name,), member.mode, member.mtime, self._counted())
        self._tally.files += 1

    def member(self, member: Header) -> None:
        """Extract a member of any kind, under its own name."""
        parts = parts_of(member, member.name)
        is_directory = member.kind == header.DIRECTORY
        if not parts:
            if not is_directory:
                raise ArchiveFault("has no name in the archive", member.shown)
            return
        self._tally.last = b"/".join(parts)
        if self._is_excluded(parts, is_directory):
            return
        check_kind(member)
        if is_directory:
            self._target.directory(parts, member.mode, member.mtime)
            self._tally.directories += 1
        elif member.kind == header.SYMLINK:
            self._target.symlink(parts, member.link, member.mtime)
            self._tally.symlinks += 1
        elif member.kind == header.LINK:
            self._target.link(parts, self._linked(member))
            self._tally.files += 1
        else:
            self._target.file(parts, member.mode, member.mtime, self._counted())
            self._tally.files += 1

    def _counted(self) -> Iterator[bytes]:
        for piece in self._reader.content():
            yield piece
            self._tally.bytes += len(piece)

    def _linked(self, member: Header) -> Parts:
        other = parts_of(member, member.link)
        if not other:
            raise ArchiveFault("is a hard link to nothing", member.shown)
        if self._is_excluded(other, False):
            raise ArchiveFault(
                f"is a hard link to {shown(member.link)}, which is excluded: exclude both or none",
                member.shown,
            )
        return other

    def _is_excluded(self, parts: Parts, is_directory: bool) -> bool:
        excludes = self._excludes
        if excludes is None:
            return False
        parent = parts[:-1]
        if parent != self._parent:
            self._parent = parent
            self._parent_is_excluded = any(
                excludes(b"/".join(parent[:count]), True) for count in range(1, len(parent) + 1)
            )
        return self._parent_is_excluded or excludes(b"/".join(parts), is_directory)
