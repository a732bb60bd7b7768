"""Reading an archive as it arrives. Its members are what a stranger says: bounded, checked, and not yet acted upon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cwsandbox._archive import header
from cwsandbox._archive.fault import ArchiveCut, ArchiveFault
from cwsandbox._archive.header import BLOCK, Header

# Of a name, a link or an extended header.
_LONG_MAX = 1024 * 1024
_KNOWN = (header.REGULAR, header.LINK, header.SYMLINK, header.DIRECTORY)
_KINDS = {b"3": "a device", b"4": "a device", b"6": "a FIFO"}


class Source:
    """Bytes as they arrive, to be taken in any sizes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self._at = 0

    def take(self, size: int) -> bytes | None:
        """So many bytes; None at the end."""
        end = self._at + size
        if end <= len(self._rest):
            taken = self._rest[self._at : end]
            self._at = end
            return taken
        parts = list(self.pieces(size))
        return b"".join(parts) if sum(map(len, parts)) == size else None

    def pieces(self, size: int) -> Iterator[bytes]:
        """So many bytes as they come; fewer at the end."""
        while size:
            if self._at == len(self._rest):
                chunk = next(self._chunks, None)
                if chunk is None:
                    return
                self._rest, self._at = chunk, 0
            piece = self._rest[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            yield piece

    def drain(self) -> None:
        """Drop what is left."""
        self._at = len(self._rest)
        for _ in self._chunks:
            continue


class Reader:
    """Iterates the members; the content of a file is to be taken before the next one."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = 0  # of the content, with its padding
        self._padding = 0
        self._member: Header | None = None

    def members(self) -> Iterator[Header]:
        """Each member's header, with its whole name and link. ArchiveFault when it is none that can be copied."""
        while (found := self._next()) is not None:
            yield found
            for _ in self.content():
                continue
            if self._padding and self._source.take(self._padding) is None:
                raise self._cut()

    def content(self) -> Iterator[bytes]:
        """What is left of the current file's content, as it comes. ArchiveFault when the archive ends before."""
        for piece in self._source.pieces(self._left):
            self._left -= len(piece)
            yield piece
        if self._left:
            raise self._cut()

    def _next(self) -> Header | None:
        """The next member with what headers in front of it say of it."""
        changes: dict[str, Any] = {}
        while (found := self._header()) is not None:
            if found.kind == header.LONG_NAME:
                changes["name"] = self._text(found).partition(b"\0")[0]
            elif found.kind == header.LONG_LINK:
                changes["link"] = self._text(found).partition(b"\0")[0]
            elif found.kind == header.PAX:
                changes.update(_of_pax(self._text(found)))
            elif found.kind == header.PAX_GLOBAL:
                self._text(found)
            else:
                return self._begin(found._replace(**changes) if changes else found)
        return None

    def _cut(self) -> ArchiveCut:
        return ArchiveCut(self._member.shown if self._member else None)

    def _header(self) -> Header | None:
        block = self._source.take(BLOCK)
        if block is None:
            raise ArchiveCut()
        return header.parse(block)

    def _text(self, found: Header) -> bytes:
        if found.size > _LONG_MAX:
            raise ArchiveFault(f"the archive has a name or header of {found.size} bytes")
        text = self._source.take(found.size + -found.size % BLOCK)
        if text is None:
            raise ArchiveCut()
        return text[: found.size]

    def _begin(self, found: Header) -> Header:
        # Only files have content. Some programs give a hard link the size of its file all the same.
        self._left = found.size if found.kind not in _KNOWN[1:] else 0
        self._padding = -self._left % BLOCK
        self._member = found
        return found


def check_kind(member: Header) -> None:
    """ArchiveFault when a member is of a kind that cannot be copied."""
    if member.kind not in _KNOWN:
        what = _KINDS.get(member.kind, f"of the unknown kind {member.kind!r}")
        raise ArchiveFault(f"is {what} and cannot be copied: exclude it", member.shown)


def _of_pax(data: bytes) -> dict[str, Any]:
    values = header.parse_pax(data)
    if any(name.startswith(b"GNU.sparse.") for name in values):
        raise ArchiveFault("the archive has sparse files, which are not supported")
    changes: dict[str, Any] = {}
    for name, field in ((b"path", "name"), (b"linkpath", "link")):
        if name in values:
            changes[field] = values[name]
    if b"size" in values:
        changes["size"] = _whole_number(values[b"size"], "size")
    if b"mtime" in values:
        changes["mtime"] = _whole_number(values[b"mtime"].partition(b".")[0], "time")
    return changes


def _whole_number(digits: bytes, what: str) -> int:
    if not digits.removeprefix(b"-").isdigit() or len(digits) > 20:
        raise ArchiveFault(f"the archive is damaged: {digits!r} is no {what}")
    return int(digits)
