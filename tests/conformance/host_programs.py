"""A service whose commands are programs of this host, each with a terminal of its own."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import termios
from contextlib import suppress
from typing import Any

from conformance.grpc_peer import Call, GrpcPeer


def serve_programs(peer: GrpcPeer, *names: str) -> None:
    """Commands with these names run what this host has under them."""
    for name in names:
        peer.command(name)(_run)


async def _run(call: Call) -> None:
    master, slave = pty.openpty()
    _resize(master, call.init.tty_width, call.init.tty_height)
    process = await asyncio.create_subprocess_exec(
        *("setsid", "--ctty", *call.argv),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", "PS1": "$ ", **call.init.env},
    )
    os.close(slave)
    await call.ready()
    typing = asyncio.create_task(_type(call, master))
    try:
        await _show(call, master)
        await call.exit(_code(await process.wait()))
    finally:
        typing.cancel()
        os.close(master)  # hangs up


async def _show(call: Call, master: int) -> None:
    loop = asyncio.get_running_loop()
    while True:
        readable = loop.create_future()
        loop.add_reader(master, lambda ready=readable: ready.done() or ready.set_result(None))
        try:
            await readable
        finally:
            loop.remove_reader(master)
        try:
            await call.out(os.read(master, 65536))
        except OSError:  # nobody has the terminal any more
            return


async def _type(call: Call, master: int) -> None:
    async for frame in call.frames():
        kind = frame.WhichOneof("message")
        with suppress(OSError):
            if kind == "stdin":
                os.write(master, frame.stdin)
            elif kind == "resize":
                _resize(master, frame.resize.width, frame.resize.height)
            else:
                os.write(master, b"\x04")


def _resize(master: int, width: int, height: int) -> None:
    size: Any = struct.pack("HHHH", height, width, 0, 0)
    fcntl.ioctl(master, termios.TIOCSWINSZ, size)


def _code(code: int) -> int:
    return code if code >= 0 else 128 - code
