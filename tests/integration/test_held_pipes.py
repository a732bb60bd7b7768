"""A pipe between a command and the daemon is not locked against the daemon, whatever the command does."""

from __future__ import annotations

import contextlib
import errno
import platform

import pytest

from cwsandbox import Sandbox, SandboxExecutionError
from integration.test_isolation import INT_80, has_32_bit_calls

# Each holds a pipe if it can: it first fills stdout, which is larger than what is read at once, and then waits for what
# never comes; or it moves what comes through stdin to where there is no room.
HOLD = """
import ctypes, errno, fcntl, os, pty, socket, sys, tty
F_SETPIPE_SZ = 1031
call, source = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
near, far = pty.openpty() if source == "terminal" else (s.detach() for s in socket.socketpair())
def fill(fd):
    os.set_blocking(fd, False)
    try:
        while os.write(fd, bytes(65536)): pass
    except BlockingIOError: pass
    os.set_blocking(fd, True)
if call == "splice-in":
    tty.setraw(far) if source == "terminal" else None
    fill(far)
    print("full", flush=True)
    moved = libc.splice(0, None, far, None, ctypes.c_size_t(1 << 20), 0)
else:
    fcntl.fcntl(1, F_SETPIPE_SZ, 1 << 20)
    fill(1)
    rest = {"splice": (None, 1, None), "sendfile": (None,)}[call]
    files = (far,) if call == "splice" else (1, far)
    last = (ctypes.c_size_t(65536), 0) if call == "splice" else (ctypes.c_size_t(65536),)
    moved = getattr(libc, call)(*files, *rest, *last)
print(moved, errno.errorcode.get(ctypes.get_errno()), file=sys.stderr)
"""

SENDFILE = """
import os
with open("/tmp/from", "wb") as f: f.write(b"abc" * 1000)
with open("/tmp/from", "rb") as f: print(os.sendfile(1, f.fileno(), 0, 3000), flush=True)
with open("/tmp/from", "rb") as f:
    try: print(os.sendfile(1, f.fileno(), None, 3000), flush=True)
    except OSError as e: print(e.errno, flush=True)
"""


@pytest.mark.parametrize("source", ["socket", "terminal"])
@pytest.mark.parametrize("call", ["splice", "splice-in", "sendfile"])
def test_nobody_waits_for_a_pipe(base_url: str, call: str, source: str) -> None:
    """Neither the daemon, with all its other sandboxes, nor the init, which has to end its own."""
    with Sandbox.run() as holder, Sandbox.run() as other:
        command = ["python3", "-c", HOLD, call, source]
        process = holder.exec(command, stdin=True, timeout_seconds=8)
        if call == "splice-in":
            next(iter(process.stdout))
            with contextlib.suppress(SandboxExecutionError):  # refused at once, and ended
                process.stdin.write(bytes(1 << 20))
        assert other.exec(["echo", "fine"], timeout_seconds=8).result().stdout == "fine\n"
        process.stdin.close()
        result = process.result()
        assert result.stderr.split() == ["-1", "EINVAL"]
        assert other.exec(["echo", "fine"], timeout_seconds=8).result().stdout == "fine\n"


def test_files_can_be_sent_from_an_offset(sandbox: Sandbox) -> None:
    """What servers do. Without an offset they are told that it is not possible, and read and write instead."""
    result = sandbox.exec(["python3", "-c", SENDFILE]).result()
    assert result.stdout == "abc" * 1000 + f"3000\n{errno.EINVAL}\n"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="int 0x80 is x86's")
def test_32_bit_calls_hold_no_pipe_either(sandbox: Sandbox) -> None:
    """Of descriptors that are not there: so it is the number of the call that is refused."""
    if not has_32_bit_calls():
        pytest.skip("this kernel has no 32-bit calls")
    splice, sendfile, sendfile64 = "313,999,0,999", "187,999,999,0", "239,999,999,0"
    result = sandbox.exec(["python3", "-c", INT_80, splice, sendfile, sendfile64]).result()
    assert result.stdout.split() == [str(-errno.EINVAL)] * 3
