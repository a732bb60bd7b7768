"""The headers of tar archives: making those of GNU tar, and reading those of any.

GNU's, since every tar reads them: busybox ignores the newer kind (pax), and that one has no names that are not UTF-8.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import adler32

from cwsandbox._archive.fault import ArchiveFault
from cwsandbox._archive.tally import shown

BLOCK = 512
REGULAR, LINK, SYMLINK, DIRECTORY = b"0", b"1", b"2", b"5"
LONG_NAME, LONG_LINK = b"L", b"K"
PAX, PAX_GLOBAL = b"x", b"g"
# All archives end with two blocks of zeros. Programs that read whole records get one.
END = bytes(20 * BLOCK)

_NAME_MAX = 100
_SIZE_MAX = 0o77777777777
_GNU = b"ustar  \0"
# Behind the checksum: type, link, magic, and nothing about devices.
_TAIL_LENGTH = BLOCK - 156
_SPACES = 8 * ord(" ")


def _sum(part: bytes) -> int:
    """The sum of up to 256 bytes. The lower half of their Adler-32 is one more, and takes a fifth of the time."""
    return (adler32(part) & 0xFFFF) - 1


def _tail(kind: bytes, link: bytes) -> bytes:
    return (kind + link.ljust(_NAME_MAX, b"\0") + _GNU).ljust(_TAIL_LENGTH, b"\0")


def padding(size: int) -> bytes:
    """What fills the last block of a file of ``size`` bytes."""
    return bytes(-size % BLOCK)


def regular(name: bytes, mode: int, size: int, mtime: int) -> bytes:
    """The header of a file. The extension makes those of small files (``small_file``)."""
    return _any(name, mode, size, mtime, REGULAR, b"")


def directory(name: bytes, mode: int, mtime: int) -> bytes:
    return _any(name + b"/", mode, 0, mtime, DIRECTORY, b"")


def symlink(name: bytes, target: bytes, mtime: int) -> bytes:
    return _any(name, 0o777, 0, mtime, SYMLINK, target)


def _any(name: bytes, mode: int, size: int, mtime: int, kind: bytes, link: bytes) -> bytes:
    """With headers of their own in front for what is too long."""
    long = b""
    if len(link) > _NAME_MAX:
        long += _long(LONG_LINK, link)
    if len(name) > _NAME_MAX:
        long += _long(LONG_NAME, name)
    return long + _block(name[:_NAME_MAX], mode, size, mtime, kind, link[:_NAME_MAX])


def _long(kind: bytes, text: bytes) -> bytes:
    text += b"\0"
    return _block(b"././@LongLink", 0o644, len(text), 0, kind, b"") + text + padding(len(text))


def _block(name: bytes, mode: int, size: int, mtime: int, kind: bytes, link: bytes) -> bytes:
    head = b"%b%07o\x000000000\x000000000\x00%b%b" % (
        name.ljust(_NAME_MAX, b"\0"),
        mode,
        _number(size),
        _number(mtime),
    )
    tail = _tail(kind, link)
    return b"%b%06o\0 %b" % (head, sum(head) + sum(tail) + _SPACES, tail)


def _number(value: int) -> bytes:
    """In octal digits, or what does not fit as a big-endian number with its first bit set."""
    if 0 <= value <= _SIZE_MAX:
        return b"%011o\0" % value
    sign = b"\x80" if value >= 0 else b"\xff"
    return sign + value.to_bytes(11, "big", signed=True)


# ---- reading ----


class Header(NamedTuple):
    """One block, as it stands there. ``kind`` is a byte of the format; files of old programs have ``REGULAR`` too."""

    name: bytes
    mode: int
    size: int
    mtime: int
    kind: bytes
    link: bytes

    @property
    def shown(self) -> str:
        """Its name, for messages."""
        return shown(self.name.removesuffix(b"/"))


def parse(block: bytes) -> Header | None:
    """The header in a block; None for the zeros at the end. ArchiveFault when it is neither."""
    if not block.strip(b"\0"):
        return None
    given = _parsed_number(block[148:156], "checksum", b"")
    if given != _sum(block[:148]) + _sum(block[156:334]) + _sum(block[334:]) + _SPACES:
        raise ArchiveFault("the archive is damaged: a header has the wrong checksum")
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0":
        prefix = block[345:500].partition(b"\0")[0]
        name = prefix + b"/" + name if prefix else name
    kind = block[156:157]
    if kind in (b"\0", b"7"):
        kind = DIRECTORY if kind == b"\0" and name.endswith(b"/") else REGULAR
    size = _parsed_number(block[124:136], "size", name)
    if size < 0:
        raise ArchiveFault(f"its size is said to be {size}", shown(name))
    return Header(
        name,
        _parsed_number(block[100:108], "mode", name),
        size,
        _parsed_number(block[136:148], "time", name),
        kind,
        block[157:257].partition(b"\0")[0],
    )


def _parsed_number(field: bytes, what: str, name: bytes) -> int:
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], "big", signed=field[0] == 0xFF)
    digits = field.rstrip(b"\0 ").lstrip(b" ")
    # int() would also take signs and underscores.
    if digits.strip(b"01234567"):
        where = shown(name) or None
        raise ArchiveFault(f"the archive is damaged: {field!r} is no {what}", where)
    return int(digits or b"0", 8)


def parse_pax(data: bytes) -> dict[bytes, bytes]:
    """The values by name in the body of an extended header. ArchiveFault when it is malformed."""
    values: dict[bytes, bytes] = {}
    while data:
        digits = data[:20].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        record = data[len(digits) + 1 : length]
        name, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n") or length > len(data):
            raise ArchiveFault("the archive is damaged: an extended header is malformed")
        values[name] = value[:-1]
        data = data[length:]
    return values
