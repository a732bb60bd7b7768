"""StreamReader.chunks: text as it arrives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from conformance.grpc_peer import GrpcPeer
from native.conftest import Run
from native.instance import ExecError
from native.steps import Steps, collect

TEXT = "prompt? gr\u00fc\u00df \N{SNOWMAN}\U0001f40d\nand on"


@pytest.fixture
def steps(peer: GrpcPeer, sandbox: Any) -> Iterator[Steps]:
    made = Steps(peer, sandbox)
    yield made
    del made.process


def test_a_prompt_is_seen(steps: Steps) -> None:
    chunks = steps.process.stdout.chunks()
    steps.send(b"name? ")
    assert next(chunks) == "name? "
    steps.send(b"colour? ")
    assert next(chunks) == "colour? "
    steps.end()
    assert list(chunks) == []


def test_a_waiting_loop_is_woken_by_any_byte(steps: Steps, run: Run) -> None:
    async def main() -> None:
        chunks = steps.process.stdout.chunks()
        for text in ("a", "b\n", "c"):
            waiting = asyncio.ensure_future(anext(chunks))
            await asyncio.sleep(0)
            steps.send(text.encode())
            assert await waiting == text
        steps.end()
        assert await collect(chunks) == []

    run(main())


def test_characters_are_whole_however_they_are_cut(steps: Steps) -> None:
    chunks = steps.process.stdout.chunks()
    read = ""
    for byte in TEXT.encode():
        steps.send(bytes([byte]))
    while len(read) < len(TEXT):
        read += next(chunks)
    assert read == TEXT
    steps.send(b"\xe2\x98")  # will never be whole
    steps.end()
    assert list(chunks) == ["\ufffd"]


def test_lines_and_chunks_share_the_cursor(steps: Steps) -> None:
    steps.send(b"one\ntwo\nth")
    lines, chunks = steps.process.stdout, steps.process.stdout.chunks()
    assert next(lines) == "one\n"
    assert next(chunks) == "two\nth"
    steps.send(b"ree\nfour")
    assert next(lines) == "ree\n"
    assert next(chunks) == "four"
    steps.end()
    assert [*lines, *chunks] == []


def test_close_ends_chunks_too(steps: Steps) -> None:
    chunks = steps.process.stdout.chunks()
    begun = threading.Event()

    def loop() -> list[str]:
        begun.set()
        return list(chunks)

    with ThreadPoolExecutor(1) as pool:
        looping = pool.submit(loop)
        assert begun.wait(30)
        steps.process.stdout.close()
        assert looping.result(30) == []
    steps.end()


def test_a_failure_is_raised_once_after_what_came(peer: GrpcPeer, sandbox: Any) -> None:
    @peer.command("breaks")
    async def breaks(call: Any) -> None:
        await call.out(b"tw")
        await call.error("EXEC_FAILED", "broken")

    process = sandbox.exec(["breaks"])
    chunks = process.stdout.chunks()
    assert next(chunks) == "tw"
    with pytest.raises(ExecError):
        next(chunks)
    assert [*chunks, *process.stdout] == []


def test_text_of_a_bounded_output_is_whole(peer: GrpcPeer, sandbox: Any) -> None:
    @peer.command("snowmen")
    async def snowmen(call: Any) -> None:
        data = "\N{SNOWMAN}".encode() * 1000
        for at in range(0, len(data), 7):
            await call.out(data[at : at + 7])
        await call.exit(0)

    for options in ({"capture_output": False}, {"max_output_bytes": 100_000}):
        process = sandbox.exec(["snowmen"], **options)
        assert "".join(process.stdout.chunks()) == "\N{SNOWMAN}" * 1000


ALL_BYTES = bytes(range(256)) * 1000


@pytest.mark.parametrize("options", [{}, {"capture_output": False}, {"max_output_bytes": 600_000}])
def test_bytes_come_as_they_are(peer: GrpcPeer, sandbox: Any, options: dict[str, Any]) -> None:
    @peer.command("binary")
    async def binary(call: Any) -> None:
        for at in range(0, len(ALL_BYTES), 9_973):
            await call.out(ALL_BYTES[at : at + 9_973])
        await call.exit(0)

    process = sandbox.exec(["binary"], **options)
    assert b"".join(process.stdout._bytes()) == ALL_BYTES


def test_half_a_character_is_not_waited_for(steps: Steps, run: Run) -> None:
    async def main() -> None:
        raw = steps.process.stdout._bytes()
        for byte in (b"\xe2", b"\x98", b"\x83"):
            waiting = asyncio.ensure_future(anext(raw))
            await asyncio.sleep(0)
            steps.send(byte)
            assert await waiting == byte
        steps.end()
        assert await collect(raw) == []

    run(main())
