"""Copying into a sandbox: the archive is made here and unpacked by the sandbox's own tar."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

from cwsandbox._archive.fault import ArchiveFault, CallerError
from cwsandbox._archive.pack import Packer, seconds
from cwsandbox._archive.tally import Tally
from cwsandbox._archive.tree import size_of
from cwsandbox._lifecycle.transfer import (
    PROLOGUE,
    Order,
    Transfer,
    escaped,
    last_part,
    local_fault,
    word,
)
from cwsandbox.exceptions import CWSandboxError

if TYPE_CHECKING:
    from cwsandbox._cwsandbox import OperationRef, Process, SandboxCore

# Pieces that were written and have not left yet.
_WINDOW = 4
_OUTPUT_MAX = 64 * 1024

# Arguments: the target, the name inside of it, then the mode and the time of a directory, or a temporary name.
_TARGET = """
to=$(given "$1"); to=${to%x}
name=$(given "$2"); name=${name%x}
case $to in */) mkdir -p "$to" || exit 1 ;; esac
[ -d "$to" ] && to=${to%/}/$name
"""
_TREE = (
    PROLOGUE
    + _TARGET
    + """
if [ -d "$to" ]; then
    was_there=yes
elif [ -e "$to" ] || [ -L "$to" ]; then
    fail 1 "$to is there already, and is not a directory"
else
    was_there=
    mkdir -p "$to" || exit 1
fi
tar -xpof - -C "$to" || exit $?
[ "$was_there" ] || { touch -d "@$4" "$to" 2>/dev/null; chmod "$3" "$to"; }
"""
)
# Whole or not there: what tar has made is renamed.
_FILE = (
    PROLOGUE
    + _TARGET
    + """
if [ -L "$to" ]; then
    to=$(readlink -f "$to" && echo x) || fail 1 "$to is a symlink that leads nowhere"
    to=${to%??}
fi
[ ! -d "$to" ] || fail 1 "$to is a directory"
[ ! -e "$to" ] || [ -f "$to" ] || fail 1 "$to is there already, and is not a file"
folder=${to%/*}/
mkdir -p "$folder" || exit 1
temporary=$folder.cwsandbox-$3
mkdir "$temporary" || exit 1
trap 'rm -rf "$temporary"' EXIT
trap 'exit 1' HUP INT TERM
tar -xpof - -C "$temporary" || exit $?
mv -f "$temporary/$name" "$to"
"""
)


class Upload(Transfer):
    def __init__(self, core: SandboxCore, order: Order) -> None:
        super().__init__(core, order)
        self._sent = Tally()
        # What was written, and what was copied when it has left.
        self._pending: deque[tuple[OperationRef[None], Tally]] = deque()

    def subject(self) -> str:
        return f"Upload of {self.order.local!r} to {self.order.remote!r}"

    def counted(self) -> Tally:
        return self._sent

    def copy(self) -> None:
        order = self.order
        place, name = os.fsencode(order.local), last_part(order.local)
        try:
            found = os.stat(place)
        except OSError as error:
            raise local_fault(order.local, error, is_source=True) from error
        packer = Packer(self.tally)
        common = ["/bin/sh", "-c", "", "cwsandbox-upload", word(order.remote), escaped(name)]
        if stat.S_ISDIR(found.st_mode):
            if order.progress is not None:
                self.total = size_of(place, order.excluded)
            common[2] = _TREE
            mode, mtime = stat.S_IMODE(found.st_mode), seconds(found)
            words = [*common, f"{mode:o}", str(mtime)]
            pieces = packer.tree(place, order.excluded)
        elif stat.S_ISREG(found.st_mode):
            self.total = found.st_size
            common[2] = _FILE
            words = [*common, os.urandom(6).hex()]
            pieces = packer.file(place, name)
        else:
            raise ArchiveFault("is neither a file nor a directory", order.local)
        self._send(words, pieces)

    def _send(self, words: list[str], pieces: Iterator[bytes]) -> None:
        process = self.begin(words, stdin=True, capture_output=True, max_output_bytes=_OUTPUT_MAX)
        try:
            is_sent = self._is_sent(process, pieces)
        except (ArchiveFault, CallerError):
            _end_early(process)
            raise
        result = process.result()
        if result.returncode:
            self.fail_of(result, result.stderr)
        if not is_sent:
            self.fail("tar ended before it had read all")
        self._sent = self.tally

    def _is_sent(self, process: Process, pieces: Iterator[bytes]) -> bool:
        """Send the archive. False when the command takes no more; its outcome then says why."""
        stdin = process.stdin
        assert stdin is not None
        self.tell_progress()
        for piece in pieces:
            try:
                self._pending.append((stdin.write(piece), self.tally.copy()))
                while len(self._pending) > _WINDOW:
                    self._settle()
            except CWSandboxError:
                return False
            self.tell_progress()
        try:
            while self._pending:
                self._settle()
            stdin.close().result()
        except CWSandboxError:
            return False
        return True

    def _settle(self) -> None:
        write, sent = self._pending.popleft()
        write.result()
        self._sent = sent


def _end_early(process: Process) -> None:
    """Let tar come to the end of what it has, so that the script can remove what is not whole."""
    assert process.stdin is not None
    with contextlib.suppress(CWSandboxError, CancelledError):
        process.stdin.close()
        process.wait()
