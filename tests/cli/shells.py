"""Commands with a terminal, on a service that does what a test needs."""

from __future__ import annotations

import asyncio

import grpc

from conformance.grpc_peer import Call, GrpcPeer


def serve_shells(peer: GrpcPeer) -> None:
    @peer.command("/bin/bash")
    async def bash(call: Call) -> None:
        """Shows what it is told. Words in it: exit 7, fail, vanish, lose."""
        await call.ready()
        await call.out(f"[{call.init.tty_width}x{call.init.tty_height}]$ ".encode())
        typed = b""
        async for frame in call.frames():
            if frame.WhichOneof("message") == "resize":
                await call.out(f"[{frame.resize.width}x{frame.resize.height}]".encode())
            elif frame.WhichOneof("message") == "stdin":
                typed += frame.stdin
                await call.out(b"<" + frame.stdin + b">")
            if b"exit" in typed and typed.endswith(b"\r"):
                await call.exit(int(typed.split()[-1]))
                return
            if typed.endswith(b"fail"):
                await call.error("EXEC_FAILED", "it was killed")
                return
            if typed.endswith(b"vanish"):
                return
            if typed.endswith(b"lose"):
                await call.context.abort(grpc.StatusCode.UNAVAILABLE, "the runner is gone")

    @peer.command("cat")
    async def cat(call: Call) -> None:
        await call.ready()
        await call.out(b"ready")
        async for data in call.stdin():
            await call.out(data)
        await call.exit(0)

    @peer.command("hang")
    async def hang(call: Call) -> None:
        await call.ready()
        await call.out(b"hung")
        await asyncio.Event().wait()

    @peer.command("flood")
    async def flood(call: Call) -> None:
        await call.ready()
        await call.out(b"\x1b[?25lflood")
        while True:
            await call.out(b"x" * 4096)

    @peer.command("vim")
    async def vim(call: Call) -> None:
        await call.ready()
        await call.out(b"\x1b[?1049h\x1b[?25")
        await call.out(b"l\x1b[?1000;2004hediting")
        async for _ in call.frames():
            break
        if call.argv[1:] == ["quit"]:
            await call.out(b"\x1b[?2004l\x1b[?1000l\x1b[?25h\x1b[?1049l")
        await call.exit(137)
