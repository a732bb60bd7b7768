"""Header blocks of HTTP/2 (RFC 7541): reading them, and writing them so that they refer to nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

Field = tuple[bytes, bytes]

# The static table (appendix A): a name, or a name and a value. "_" is a space.
_STATIC_TEXT = """
:authority :method=GET :method=POST :path=/ :path=/index.html :scheme=http :scheme=https
:status=200 :status=204 :status=206 :status=304 :status=400 :status=404 :status=500
accept-charset accept-encoding=gzip,_deflate accept-language accept-ranges accept
access-control-allow-origin age allow authorization cache-control content-disposition
content-encoding content-language content-length content-location content-range
content-type cookie date etag expect expires from host if-match if-modified-since
if-none-match if-range if-unmodified-since last-modified link location max-forwards
proxy-authenticate proxy-authorization range referer refresh retry-after server
set-cookie strict-transport-security transfer-encoding user-agent vary via
www-authenticate
"""
_STATIC = [
    (name.encode(), value.replace("_", " ").encode())
    for name, _, value in (entry.partition("=") for entry in _STATIC_TEXT.split())
]
# The length of each symbol's code in bits, "a" for 5 (appendix B). The code is canonical: these say all.
_LENGTHS = (
    "isxxxxxxxtzxxzxxxxxxxxzxxxxxxxxxbffhibdgffdgdbbbaaabbbbbbbcdkbhfibcccccccccccccccccccc"
    "ccdcdioijbkabababbbaccbbbabcbaabccccckgjixprpprrrsrssssststtrstssssqrsrsstrqprrssqsrrt"
    "qrssqqrqsrssprrrsrrsvvporsruvvvwwvtuoqvwwvwtqqvvxwwwptpqrqqsrruuttvsvwvvwwwwwxwwwwwvz"
)
_TABLE_MAX = 4096
_ENTRY_COST = 32


def _codes() -> dict[tuple[int, int], int]:
    """The symbol of each code, by its length and bits."""
    lengths = {symbol: ord(letter) - ord("a") + 5 for symbol, letter in enumerate(_LENGTHS)}
    codes: dict[tuple[int, int], int] = {}
    code = before = 0
    for symbol in sorted(lengths, key=lambda symbol: (lengths[symbol], symbol)):
        code <<= lengths[symbol] - before
        before = lengths[symbol]
        codes[before, code] = symbol
        code += 1
    return codes


_CODES = _codes()


class Malformed(Exception):
    """It is no header block."""


class Decoder:
    """Reads the blocks of one direction of a connection, all of them and in order."""

    def __init__(self) -> None:
        self._dynamic: deque[Field] = deque()
        self._size = 0
        self._max = _TABLE_MAX

    def decode(self, block: bytes) -> list[Field]:
        """Raises ``Malformed``."""
        try:
            return list(self._fields(block))
        except IndexError as error:
            raise Malformed("a header block ends too early, or refers to nothing") from error

    def _fields(self, block: bytes) -> Iterator[Field]:
        at = 0
        while at < len(block):
            first = block[at]
            if first & 0x80:
                index, at = _integer(block, at, 7)
                yield self._entry(index)
            elif first & 0xE0 == 0x20:
                self._max, at = _integer(block, at, 5)
                self._evict(0)
            else:
                is_kept = first & 0x40
                index, at = _integer(block, at, 6 if is_kept else 4)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = _text(block, at)
                value, at = _text(block, at)
                if is_kept:
                    self._keep((name, value))
                yield name, value

    def _entry(self, index: int) -> Field:
        if index == 0:
            raise Malformed("a header block refers to the entry 0")
        if index <= len(_STATIC):
            return _STATIC[index - 1]
        return self._dynamic[index - len(_STATIC) - 1]

    def _keep(self, field: Field) -> None:
        cost = _cost(field)
        self._evict(cost)
        if cost <= self._max:
            self._dynamic.appendleft(field)
            self._size += cost

    def _evict(self, room: int) -> None:
        while self._dynamic and self._size + room > self._max:
            self._size -= _cost(self._dynamic.pop())


def _cost(field: Field) -> int:
    return len(field[0]) + len(field[1]) + _ENTRY_COST


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """A number that begins in the last bits of a byte, and where it ends."""
    limit = (1 << bits) - 1
    value = block[at] & limit
    at += 1
    if value < limit:
        return value, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
        if shift > 28:
            raise Malformed("a header block has too large a number")


def _text(block: bytes, at: int) -> tuple[bytes, int]:
    is_huffman = block[at] & 0x80
    length, at = _integer(block, at, 7)
    if at + length > len(block):
        raise Malformed("a header block ends within a text")
    text = block[at : at + length]
    return _unpacked(text) if is_huffman else text, at + length


def _unpacked(text: bytes) -> bytes:
    """Huffman's code undone. What is left at the end pads the last byte."""
    plain = bytearray()
    length = code = 0
    for byte in text:
        for bit in range(7, -1, -1):
            code = code << 1 | byte >> bit & 1
            length += 1
            symbol = _CODES.get((length, code))
            if symbol is not None:
                if symbol == 256:
                    raise Malformed("a header block has an end within a text")
                plain.append(symbol)
                length = code = 0
    if length > 7 or code != (1 << length) - 1:
        raise Malformed("a text of a header block is padded wrongly")
    return bytes(plain)


def encode(fields: Iterable[Field]) -> bytes:
    """A block that any decoder reads, whatever it has seen before, and that changes nothing for later ones."""
    block = bytearray()
    for name, value in fields:
        block.append(0x10)  # literal, and never to be indexed
        for text in (name, value):
            block += _length(len(text)) + text
    return bytes(block)


def _length(value: int) -> bytes:
    if value < 127:
        return bytes([value])
    rest = value - 127
    coded = bytearray([127])
    while rest >= 128:
        coded.append(rest & 0x7F | 0x80)
        rest >>= 7
    coded.append(rest)
    return bytes(coded)
