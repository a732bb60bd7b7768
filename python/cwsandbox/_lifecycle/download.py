"""Copying out of a sandbox: the sandbox's own tar makes the archive, and nothing that it says is trusted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from cwsandbox._archive import header
from cwsandbox._archive.extract import Extractor
from cwsandbox._archive.fault import ArchiveCut, ArchiveFault
from cwsandbox._archive.header import Header
from cwsandbox._archive.tally import Tally, shown
from cwsandbox._archive.target import Target
from cwsandbox._archive.unpack import Reader, Source
from cwsandbox._lifecycle.transfer import (
    NO_INPUT,
    PROLOGUE,
    Transfer,
    last_part,
    local_fault,
    word,
)
from cwsandbox.exceptions import SandboxStreamTruncatedError

if TYPE_CHECKING:
    from cwsandbox._cwsandbox import Process

_SCRIPT = (
    PROLOGUE
    + f"""
from=$(given "$1"); from=${{from%x}}
if [ -d "$from" ]; then
    cd "$from" || exit 1
    exec tar -cf - .
fi
[ -e "$from" ] || fail {NO_INPUT} "$from: No such file or directory"
[ -f "$from" ] || fail 1 "$from is neither a file nor a directory"
cd "${{from%/*}}/" || exit 1
exec tar -chf - "./${{from##*/}}"
"""
)


class Download(Transfer):
    def subject(self) -> str:
        return f"Download of {self.order.remote!r} to {self.order.local!r}"

    def counted(self) -> Tally:
        return self.tally

    def copy(self) -> None:
        words = ["/bin/sh", "-c", _SCRIPT, "cwsandbox-download", word(self.order.remote)]
        process = self.begin(words, stdin=False, capture_output=False, max_output_bytes=None)
        source = Source(self._arriving(process))
        try:
            self._unpack(Reader(source))
            source.drain()
        except ArchiveCut:
            # If the command has failed, that is why.
            self._check(process)
            raise
        self._check(process)

    def _arriving(self, process: Process) -> Iterator[bytes]:
        for chunk in process.stdout._bytes():
            yield chunk
            self.tell_progress()

    def _check(self, process: Process) -> None:
        """Raise if the command has failed."""
        result = process.result()
        if result.returncode:
            self.fail_of(result, _rest(process))

    def _unpack(self, reader: Reader) -> None:
        members = reader.members()
        first = next(members, None)
        if first is not None and first.kind == header.DIRECTORY:
            self._unpack_tree(reader, first, members)
        elif first is not None and first.kind == header.REGULAR:
            self._unpack_file(reader, first)
            if (other := next(members, None)) is not None:
                raise ArchiveFault("is in the archive of a single file", other.shown)
        else:
            raise ArchiveFault("the archive does not begin with a file or directory")

    def _unpack_tree(self, reader: Reader, first: Header, members: Iterator[Header]) -> None:
        top = self._place()
        is_new = not os.path.isdir(top)
        with _opened(top) as target:
            extractor = Extractor(reader, target, self.tally, self.order.excluded)
            extractor.member(first)
            for member in members:
                extractor.member(member)
            if is_new:
                target.set_top(first.mode, first.mtime)

    def _unpack_file(self, reader: Reader, member: Header) -> None:
        self.total = member.size
        place = self._place()
        # A device, as /dev/stdout is, must not be replaced by way of its link.
        if os.path.islink(place):
            place = os.path.realpath(place)
        folder, _, name = place.rpartition(b"/")
        folder = folder or (b"/" if place.startswith(b"/") else b".")
        with _opened(folder) as target:
            Extractor(reader, target, self.tally, None).file(member, name)

    def _place(self) -> bytes:
        """Where the copy goes, as ``cp -r`` has it."""
        local = os.fsencode(self.order.local)
        if local.endswith(b"/") or os.path.isdir(local):
            return local.rstrip(b"/") + b"/" + last_part(self.order.remote)
        return local


def _opened(folder: bytes) -> closing[Target]:
    """The local directory to write below, made if it is missing."""
    try:
        os.makedirs(folder, exist_ok=True)
        return closing(Target(folder))
    except OSError as error:
        raise local_fault(shown(folder), error, is_source=False) from error


def _rest(process: Process) -> str:
    """What a command that has ended said on stderr, or the end of that."""
    reader = process.stderr
    lines: list[str] = []
    while True:
        try:
            lines.extend(reader)
        except SandboxStreamTruncatedError:
            continue
        return "".join(lines)
