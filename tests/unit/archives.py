"""Archives for tests: made by tarfile, unpacked by ours."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cwsandbox._archive.exclude import Excludes
from cwsandbox._archive.extract import Extractor
from cwsandbox._archive.tally import Tally
from cwsandbox._archive.target import Target
from cwsandbox._archive.unpack import Reader, Source


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **fields: Any) -> bytes:
    """One member, as GNU tar writes it; ``fields`` are those of TarInfo."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(content)
    format_ = fields.pop("format", tarfile.GNU_FORMAT)
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(format_) + content + bytes(-len(content) % 512)


def archive(*members: bytes) -> bytes:
    return b"".join(members) + bytes(1024)


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def unpack(data: bytes, top: Path, excluded: Excludes | None = None, size: int = 1000) -> Tally:
    """Take an archive that arrives in chunks below a directory."""
    tally = Tally()
    reader = Reader(Source(chunks(data, size)))
    target = Target(bytes(top))
    try:
        extractor = Extractor(reader, target, tally, excluded)
        for found in reader.members():
            extractor.member(found)
    finally:
        target.close()
    return tally
