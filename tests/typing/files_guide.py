"""What a type checker makes of the verbs for files. Checked by mypy, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import assert_type

from cwsandbox import OperationRef, Sandbox, StreamReader, TransferResult


def views() -> Iterator[memoryview]:
    yield memoryview(b"1")


async def arrays() -> AsyncIterator[bytearray]:
    yield bytearray(b"1")


def main(sandbox: Sandbox) -> None:
    assert_type(sandbox.read_file(Path("/x")), OperationRef[bytes])
    assert_type(sandbox.read_file_streaming("/x"), StreamReader[bytes])
    assert_type(sandbox.write_file("/x", memoryview(b"1")), OperationRef[None])
    assert_type(sandbox.write_file_streaming("/x", bytearray(b"1")), OperationRef[None])
    assert_type(sandbox.write_file_streaming("/x", [b"1", bytearray(b"2")]), OperationRef[None])
    assert_type(sandbox.write_file_streaming("/x", views()), OperationRef[None])
    assert_type(sandbox.write_file_streaming("/x", arrays()), OperationRef[None])
    assert_type(sandbox.upload(Path("x"), "/x").result(), TransferResult)
