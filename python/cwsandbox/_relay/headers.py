"""Header blocks of HTTP/2, read and written by the package hpack, which the extra ``testing`` brings."""

from __future__ import annotations

from collections.abc import Iterable

import hpack

from cwsandbox._relay.frames import Malformed

Field = tuple[bytes, bytes]

# A relay judges nothing: what the service allows its client, it takes.
_NO_LIMIT = (1 << 32) - 1


class Decoder:
    """Reads the blocks of one direction of a connection, all of them and in order."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=_NO_LIMIT)
        self._decoder.max_allowed_table_size = _NO_LIMIT

    def decode(self, block: bytes) -> list[Field]:
        """Raises ``Malformed``."""
        try:
            return [(field[0], field[1]) for field in self._decoder.decode(block, raw=True)]
        except hpack.HPACKError as error:
            raise Malformed(f"not a header block: {error}") from error


def encode(fields: Iterable[Field]) -> bytes:
    """A block that any decoder reads, whatever it has seen before, and that changes nothing for later ones."""
    # A new encoder knows no earlier block, and what is never indexed goes into no table.
    never_indexed = [hpack.NeverIndexedHeaderTuple(*field) for field in fields]
    return hpack.Encoder().encode(never_indexed)
