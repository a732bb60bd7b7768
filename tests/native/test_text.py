"""Output as text: what is decoded in one piece, in several, and in the quick way for much of it."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from conformance.grpc_peer import Call, GrpcPeer

LARGE = 4 << 20
"""From here on ASCII is decoded in the quick way."""

PIECE = 32 << 10
"""What goes into one message."""

WORDS = b"The quick brown fox jumps over the lazy dog; 0123456789.\x00\x7f "


def ascii_text(size: int) -> bytes:
    return (WORDS * (size // len(WORDS) + 1))[:size]


OUTPUTS = {
    "empty": b"",
    "short": b"abc",
    "not UTF-8": b"a\xff\xfe\xc3(\xe2\x82",
    "small": ascii_text(100_000),
    "just too small": ascii_text(LARGE - 1),
    "just large": ascii_text(LARGE),
    "large": ascii_text(2 * LARGE + 12_345),
    "large, a character at its start": "ß".encode() + ascii_text(LARGE),
    "large, a character in its midst": ascii_text(3_000_001) + "€".encode() + ascii_text(LARGE),
    "large, a character at its end": ascii_text(LARGE + 7) + "\U0001f40d".encode(),
    "large, cut off in a character": ascii_text(LARGE + 7) + "\U0001f40d".encode()[:3],
    "large, not UTF-8 anywhere": b"\x80" * LARGE,
    "large, of characters of four bytes": "\U0001f40d".encode() * (LARGE // 2),
    "large, of characters of three bytes": b"x" + "€".encode() * (LARGE // 2),
}


@pytest.fixture(scope="module", autouse=True)
def commands(peer: GrpcPeer) -> Iterator[None]:
    @peer.command("output")
    async def output(call: Call) -> None:
        data = OUTPUTS[call.argv[1]] + call.argv[2].encode()
        for at in range(0, len(data), PIECE):
            await call.out(data[at : at + PIECE])
        await call.exit(0)

    yield


@pytest.mark.parametrize("name", OUTPUTS)
def test_decode(core: ModuleType, name: str) -> None:
    raw = OUTPUTS[name]
    text = core.decode(raw)
    assert type(text) is str
    assert text == raw.decode("utf-8", "replace")
    assert hash(text) == hash(raw.decode("utf-8", "replace"))
    assert (text + "!")[: len(text)] == text


def test_each_text_is_its_own(core: ModuleType) -> None:
    first, second = core.decode(b"x" * LARGE), core.decode(b"y" * LARGE)
    assert set(first) == {"x"}
    assert set(second) == {"y"}
    assert core.decode(b"??") == "??"


def test_decode_takes_bytes(core: ModuleType) -> None:
    for wrong in ("text", bytearray(b"x"), None, 1):
        with pytest.raises(TypeError):
            core.decode(wrong)


def run(sandbox: Any, name: str, end: str) -> Any:
    argv = ["output", name, end]
    return sandbox.exec(argv)


@pytest.mark.parametrize("end", ["", "\n", "\nand\nmore"])
@pytest.mark.parametrize("name", OUTPUTS)
def test_one_line_of_many_pieces(sandbox: Any, name: str, end: str) -> None:
    process = run(sandbox, name, end)
    expected = (OUTPUTS[name] + end.encode()).decode("utf-8", "replace")
    lines = list(process.stdout)
    assert "".join(lines) == expected
    assert len(lines) == len(expected.splitlines())
    assert all(line.endswith("\n") for line in lines[:-1])
    raw = process._output.bytes(False)
    assert raw == OUTPUTS[name] + end.encode()
    assert process._output.bytes(False) is raw or len(raw) < 64 << 10


def test_lines_taken_before_and_after_the_bytes(sandbox: Any) -> None:
    process = run(sandbox, "large", "\none\n" + "two" * 10_000 + "\nthree")
    lines = iter(process.stdout)
    first = next(lines)
    process.result()
    raw = process._output.bytes(False)
    rest = list(lines)
    assert [len(line) for line in rest] == [4, 30_001, 5]
    assert (first + "".join(rest)).encode() == raw
