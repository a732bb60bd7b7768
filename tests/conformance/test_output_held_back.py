"""Output that is not captured holds another implementation's server back, by the window of its stream."""

from __future__ import annotations

import threading

import pytest

from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import Sandbox

MESSAGE = 128 * 1024
MESSAGES = 256
LINE = b"x" * 99 + b"\n"


class Flood:
    """A command that sends as fast as it may."""

    def __init__(self, peer: GrpcPeer) -> None:
        self.sent = 0
        data = (LINE * (MESSAGE // len(LINE) + 1))[:MESSAGE]

        @peer.command("flood")
        async def flood(call: Call) -> None:
            await call.ready()
            for _ in range(MESSAGES):
                await call.out(data)
                self.sent += 1
            await call.exit(0)

        @peer.command("tick")
        async def tick(call: Call) -> None:
            await call.exit(0)

    def wait_until_held_back(self, sandbox: Sandbox) -> None:
        """Until nothing is sent while the server's loop has time for twenty other commands."""
        before = -1
        while before != self.sent:
            before = self.sent
            for _ in range(20):
                sandbox.exec(["tick"]).result(30)


def test_a_reader_that_sleeps_holds_the_server_back(grpc_peer: GrpcPeer) -> None:
    flood = Flood(grpc_peer)
    with Sandbox.run() as sandbox:
        process = sandbox.exec(["flood"], capture_output=False)
        out = process.stdout
        size = len(next(out))
        flood.wait_until_held_back(sandbox)
        # The window has 1 MiB, and grpcio a message or two of its own.
        assert 1 <= flood.sent <= 16
        assert size + sum(map(len, out)) == MESSAGE * MESSAGES
        assert process.result().stdout_omitted_bytes == MESSAGE * MESSAGES
    assert flood.sent == MESSAGES


def test_a_terminal_that_nobody_reads_holds_the_server_back(grpc_peer: GrpcPeer) -> None:
    flood = Flood(grpc_peer)
    with Sandbox.run() as sandbox, sandbox.shell(["flood"]) as session:
        flood.wait_until_held_back(sandbox)
        assert 1 <= flood.sent <= 16
        assert sum(map(len, session.output)) == MESSAGE * MESSAGES
        assert session.wait() == 0


@pytest.mark.parametrize("options", [{}, {"max_output_bytes": 1000}])
def test_otherwise_nobody_is_held_back(grpc_peer: GrpcPeer, options: dict[str, int]) -> None:
    Flood(grpc_peer)
    with Sandbox.run() as sandbox:
        process = sandbox.exec(["flood"], **options)
        next(process.stdout)
        result = process.result()
    assert len(result.stdout_bytes) + result.stdout_omitted_bytes == MESSAGE * MESSAGES


def test_two_threads_read_both_streams(grpc_peer: GrpcPeer) -> None:
    @grpc_peer.command("both")
    async def both(call: Call) -> None:
        for _ in range(MESSAGES // 4):
            await call.out(b"o" * MESSAGE)
            await call.err(b"e" * MESSAGE)
        await call.exit(0)

    sizes: dict[str, int] = {}
    with Sandbox.run() as sandbox:
        process = sandbox.exec(["both"], capture_output=False)

        def read(name: str) -> None:
            sizes[name] = sum(map(len, getattr(process, name)))

        readers = [threading.Thread(target=read, args=(name,)) for name in ("stdout", "stderr")]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(60)
    assert sizes == dict.fromkeys(("stdout", "stderr"), MESSAGE * (MESSAGES // 4))
