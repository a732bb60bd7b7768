"""What our client makes of whole connections that misbehave."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import h2.errors
import h2.settings
import pytest

from conformance.h2_peer import H2Peer, Stream
from cwsandbox import Sandbox, SandboxError, SandboxTimeoutError, SandboxUnavailableError
from cwsandbox._cwsandbox import Channel, RpcError, stats
from integration.env import eventually

Hostile = Callable[..., tuple[H2Peer, Sandbox]]
SettingCodes = h2.settings.SettingCodes


async def greet(stream: Stream) -> None:
    init = await stream.init()
    await stream.start()
    await stream.ready()
    await stream.out(init.command[-1].encode())
    await stream.exit()
    await stream.trailers()


def test_goaway_mid_stream_lets_the_stream_finish(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        if len(stream.connection.peer.execs) > 1:
            return await greet(stream)
        await stream.init()
        await stream.start()
        await stream.ready()
        await stream.out(b"one\n")
        await stream.connection.goaway(stream.id)
        await stream.out(b"two\n")
        await stream.exit(4)
        return await stream.trailers()

    peer, sandbox = hostile(script)
    result = sandbox.exec(["first"]).result()
    assert (result.stdout, result.returncode) == ("one\ntwo\n", 4)
    assert sandbox.exec(["later"]).result().stdout == "later"
    assert len(peer.execs) == 2
    assert peer.execs[0].connection is not peer.execs[1].connection


def test_goaway_retries_only_what_was_not_processed(hostile: Hostile) -> None:
    """Two streams; GOAWAY covers the first alone: that one fails with its connection, the other runs elsewhere."""
    both = threading.Event()

    async def script(stream: Stream) -> None:
        peer = stream.connection.peer
        if len(peer.execs) > 2:
            return await greet(stream)
        await stream.init()
        if len(peer.execs) == 2:
            low = min(exec_.id for exec_ in peer.execs)
            await stream.connection.goaway(low)
            both.set()
            stream.connection.drop()
        return None

    peer, sandbox = hostile(script)
    processes = [sandbox.exec([name]) for name in ("a", "b")]
    assert both.wait(20)
    outcomes: list[str] = []
    for process in processes:
        try:
            outcomes.append(process.result().stdout)
        except SandboxUnavailableError:
            outcomes.append("unavailable")
    assert "unavailable" in outcomes
    assert set(outcomes) - {"unavailable"} <= {"a", "b"}
    assert len(outcomes) - outcomes.count("unavailable") == 1
    assert len(peer.execs) == 3


def test_goaway_that_covers_nothing_is_retried_elsewhere(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        if len(stream.connection.peer.execs) == 1:
            await stream.connection.goaway(0)
            stream.connection.drop()
        else:
            await greet(stream)

    peer, sandbox = hostile(script)
    assert sandbox.exec(["again"]).result().stdout == "again"
    assert len(peer.execs) == 2


def test_refused_stream_is_retried(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        if len(stream.connection.peer.execs) <= 2:
            await stream.reset(h2.errors.ErrorCodes.REFUSED_STREAM)
        else:
            await greet(stream)

    peer, sandbox = hostile(script)
    assert sandbox.exec(["again"]).result().stdout == "again"
    assert len(peer.execs) == 3


def test_refused_stream_after_output_is_not_retried(hostile: Hostile) -> None:
    """A server that refuses what it has already answered lies: running the command twice would be worse."""

    async def script(stream: Stream) -> None:
        await stream.init()
        await stream.start()
        await stream.out(b"x")
        await stream.reset(h2.errors.ErrorCodes.REFUSED_STREAM)

    peer, sandbox = hostile(script)
    with pytest.raises(SandboxError):
        sandbox.exec(["x"]).result()
    assert len(peer.execs) == 1


def test_endless_refusal_ends(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        await stream.reset(h2.errors.ErrorCodes.REFUSED_STREAM)

    _, sandbox = hostile(script)
    with pytest.raises((SandboxUnavailableError, SandboxTimeoutError)):
        sandbox.exec(["x"], timeout_seconds=5).result()


def test_connection_closed_between_calls_is_opened_again(hostile: Hostile) -> None:
    peer, sandbox = hostile(greet)
    for round_ in ("one", "two", "three"):
        assert sandbox.exec([round_]).result().stdout == round_

        async def drop_all() -> None:
            for connection in peer.connections:
                connection.drop()

        fewer = range(stats()["connections"])
        peer.thread.run(drop_all())
        # Until the client knows, what it sends may be lost.
        eventually(lambda fewer=fewer: stats()["connections"] in fewer, "the client has noticed")
    assert len(peer.execs) == 3
    assert len({id(stream.connection) for stream in peer.execs}) == 3


def test_tiny_windows(hostile: Hostile) -> None:
    """A server whose streams take 7 bytes at a time still gets all of stdin."""

    async def script(stream: Stream) -> None:
        await stream.init()
        await stream.start()
        await stream.ready()
        received = b""
        while (message := await stream.message()) is not None:
            received += stream.pb.ExecStreamRequest.FromString(message).stdin
        await stream.out(received)
        await stream.exit()
        await stream.trailers()

    _, sandbox = hostile(script, {SettingCodes.INITIAL_WINDOW_SIZE: 7})
    process = sandbox.exec(["x"], stdin=True)
    assert process.stdin is not None
    text = "".join(f"line {n}\n" for n in range(200))
    process.stdin.write(text.encode()).result()
    process.stdin.close().result()
    assert process.result().stdout == text


def test_one_stream_at_a_time(hostile: Hostile) -> None:
    """More commands than connections times streams: the rest wait their turn, and all succeed."""
    peer, sandbox = hostile(greet, {SettingCodes.MAX_CONCURRENT_STREAMS: 1})
    processes = [sandbox.exec([str(n)]) for n in range(200)]
    assert [p.result().stdout for p in processes] == [str(n) for n in range(200)]
    assert len(peer.execs) == 200
    assert not peer.errors  # h2 raises when the client opens more streams than it may


def test_a_connection_whose_limit_drops_to_zero_is_left_alone(hostile: Hostile) -> None:
    async def script(stream: Stream) -> None:
        connection = stream.connection
        connection.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 0})
        await greet(stream)

    peer, sandbox = hostile(script)
    assert sandbox.exec(["first"]).result().stdout == "first"
    # Others may be opened elsewhere; there they are answered.
    assert sandbox.exec(["second"]).result().stdout == "second"
    assert len(peer.execs) == 2


@contextlib.contextmanager
def silent_server(first_bytes: bytes) -> Iterator[str]:
    """Accepts TCP connections, sends ``first_bytes``, and then only listens."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    kept.append(connection)
                    connection.sendall(first_bytes)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        for connection in kept:
            connection.close()


GET = "SandboxService/GetSandbox"


def rpc_failure(url: str, timeout: float) -> RpcError:
    with pytest.raises(RpcError) as caught:
        Channel(url).unary(GET, {"sandbox_id": "x"}, timeout).result(20)
    return caught.value


def test_a_server_that_never_speaks_hits_the_deadline() -> None:
    with silent_server(b"") as url:
        assert rpc_failure(url, 0.3).code_name == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize(
    "garbage",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 64, b"\xff" * 64, b"SSH-2.0-OpenSSH_9.2\r\n"],
    ids=["http1", "zeros", "ones", "ssh"],
)
def test_garbage_instead_of_http2(garbage: bytes) -> None:
    with silent_server(garbage) as url:
        assert rpc_failure(url, 10.0).code_name in {"UNAVAILABLE", "INTERNAL"}


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = rpc_failure(f"http://127.0.0.1:{port}", 10.0)
    assert error.code_name == "UNAVAILABLE"
    assert str(port) in error.message
