"""Files with the published SDK. It is imported here, so nothing of ours may be."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator

from cwsandbox import Sandbox
from cwsandbox.exceptions import SandboxFileError

MIB = 1 << 20
UNARY_WRITE = 32 * MIB  # the SDK writes what is larger through a shell in the sandbox
UNARY_READ = 99 * MIB  # our daemon's limit; the SDK reads what is larger through a shell, too


def run(sandbox: Sandbox, script: str) -> str:
    result = sandbox.exec(["sh", "-ec", script], timeout_seconds=30).result()
    assert result.returncode == 0, result
    return result.stdout


def failure(call: Callable[[], object]) -> SandboxFileError:
    try:
        call()
    except SandboxFileError as error:
        return error
    raise AssertionError("it did not fail")


def unary(sandbox: Sandbox) -> None:
    content = bytes(range(256)) * 1000
    for path in ("/tmp/new/deep/file", "relative", "/tmp/empty"):
        data = b"" if path.endswith("empty") else content
        sandbox.write_file(path, data).result()
        assert sandbox.read_file(path).result() == data
    largest = os.urandom(MIB) * 32
    assert len(largest) == UNARY_WRITE
    sandbox.write_file("/tmp/largest", largest).result()
    assert sandbox.read_file("/tmp/largest").result() == largest


def errors(sandbox: Sandbox) -> None:
    run(sandbox, "mkfifo /tmp/fifo")
    for path, reason in (
        ("/tmp/no-such", "CWSANDBOX_FILE_NOT_FOUND"),
        ("/tmp", "CWSANDBOX_FILE_IS_DIRECTORY"),
        ("/tmp/fifo", "CWSANDBOX_FILE_IO_FAILED"),
        ("/dev/zero", "CWSANDBOX_FILE_IO_FAILED"),
        ("", "CWSANDBOX_FILE_NOT_FOUND"),
    ):
        error = failure(sandbox.read_file(path).result)
        assert (error.reason, error.filepath) == (reason, path), error
        assert error.metadata["filepath"] == path
    error = failure(sandbox.write_file("/proc/version", b"x").result)
    assert error.reason == "CWSANDBOX_FILE_PERMISSION_DENIED"
    assert error.filepath == "/proc/version"


def streaming(sandbox: Sandbox) -> None:
    pieces = [os.urandom(100_000) for _ in range(50)]
    for source in (b"".join(pieces), iter(pieces)):
        sandbox.write_file_streaming("/tmp/stream", source).result()
        assert b"".join(sandbox.read_file_streaming("/tmp/stream")) == b"".join(pieces)
    error = failure(lambda: list(sandbox.read_file_streaming("/tmp/no-such")))
    assert error.filepath == "/tmp/no-such"


def over_the_caps(sandbox: Sandbox) -> None:
    """The scripts of the SDK run in the sandbox and find their tools there."""
    block = os.urandom(MIB)
    written = block * 33
    assert len(written) > UNARY_WRITE
    sandbox.write_file("/tmp/over", written).result()
    assert sandbox.read_file("/tmp/over").result() == written

    def blocks() -> Iterator[bytes]:
        for _ in range(101):
            yield block

    sandbox.write_file_streaming("/tmp/huge", blocks()).result()
    read = sandbox.read_file("/tmp/huge").result()
    assert len(read) == 101 * MIB > UNARY_READ
    assert hashlib.sha256(read).digest() == hashlib.sha256(block * 101).digest()
    streamed = sum(len(piece) for piece in sandbox.read_file_streaming("/tmp/huge"))
    assert streamed == 101 * MIB


if __name__ == "__main__":
    with Sandbox.run(container_image="python:3.11") as started:
        globals()[sys.argv[1]](started)
