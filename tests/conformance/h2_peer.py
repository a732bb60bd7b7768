"""A server that speaks HTTP/2 frame by frame, to do what a well-behaved one never does.

It answers CreateSandbox, GetSandbox and DeleteSandbox properly. What happens to StreamExec, StreamLogs and the other
methods in ``scripted`` is a coroutine of the test, which gets a `Stream` and may send whatever it wants on it or on its
connection.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from conformance import protos
from conformance.loop_thread import LoopThread

Script = Callable[["Stream"], Awaitable[None]]
RESPONSE_HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
SERVICE = "/coreweave.sandbox.v1.SandboxService/"


def frame(message: bytes) -> bytes:
    """A gRPC message with its prefix."""
    return struct.pack(">BI", 0, len(message)) + message


class Stream:
    """One stream of one connection."""

    def __init__(self, connection: Connection, stream_id: int, headers: dict[str, str]) -> None:
        self.connection = connection
        self.id = stream_id
        self.headers = headers
        self.path = headers[":path"]
        self.reset_code: int | None = None
        self.ended = asyncio.Event()  # the client's half-close, reset, or loss
        self._data = bytearray()
        self._arrived = asyncio.Event()
        self.pb = protos.messages()

    # -- from the client

    def feed(self, data: bytes) -> None:
        self._data += data
        self._arrived.set()

    def end(self) -> None:
        self.ended.set()
        self._arrived.set()

    async def _take(self, size: int) -> bytes | None:
        while len(self._data) < size:
            if self.ended.is_set():
                return None
            self._arrived.clear()
            await self._arrived.wait()
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken

    async def message(self) -> bytes | None:
        """The next request message; None after the last."""
        prefix = await self._take(5)
        if prefix is None:
            return None
        return await self._take(struct.unpack(">I", prefix[1:])[0])

    async def init(self) -> Any:
        """The init frame of a StreamExec."""
        data = await self.message()
        assert data is not None
        return self.pb.ExecStreamRequest.FromString(data).init

    # -- to the client

    async def start(self) -> None:
        """Response headers."""
        self.connection.h2.send_headers(self.id, RESPONSE_HEADERS)
        await self.connection.flush()

    async def raw(self, data: bytes, chunk: int = 16384) -> None:
        """Bytes in DATA frames of at most ``chunk``, under flow control."""
        while data:
            room = min(chunk, len(data), self.connection.h2.local_flow_control_window(self.id))
            if room <= 0:
                await self.connection.window_opened()
                continue
            self.connection.h2.send_data(self.id, data[:room])
            data = data[room:]
            await self.connection.flush()

    async def send(self, chunk: int = 16384, **fields: Any) -> None:
        """One ExecStreamResponse."""
        await self.raw(frame(self.pb.ExecStreamResponse(**fields).SerializeToString()), chunk)

    async def ready(self) -> None:
        await self.send(ready=self.pb.ExecStreamReady())

    async def out(self, data: bytes, chunk: int = 16384) -> None:
        output = self.pb.ExecStreamOutput(data=data, stream=self.pb.ExecStreamOutput.STREAM_STDOUT)
        await self.send(chunk, output=output)

    async def exit(self, code: int = 0) -> None:
        await self.send(exit=self.pb.ExecStreamExit(exit_code=code))

    async def trailers(self, code: int = 0, *extra: tuple[str, str]) -> None:
        fields = [("grpc-status", str(code)), *extra]
        self.connection.h2.send_headers(self.id, fields, end_stream=True)
        await self.connection.flush()

    async def reply(self, message: Any) -> None:
        """A whole unary answer."""
        await self.start()
        await self.raw(frame(message.SerializeToString()))
        await self.trailers()

    async def end_without_trailers(self) -> None:
        self.connection.h2.end_stream(self.id)
        await self.connection.flush()

    async def reset(self, code: h2.errors.ErrorCodes) -> None:
        self.connection.h2.reset_stream(self.id, code)
        await self.connection.flush()


class Connection:
    """One accepted connection."""

    def __init__(self, peer: H2Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.peer = peer
        self.reader = reader
        self.writer = writer
        self.streams: dict[int, Stream] = {}
        self.client_goaway = False
        self.pings = 0
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self._window = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()

    async def goaway(self, last_stream_id: int, code: int = 0) -> None:
        """A GOAWAY frame, while the connection stays usable for what it does not cover."""
        payload = struct.pack(">II", last_stream_id, code)
        await self.flush()
        self.writer.write(struct.pack(">I", len(payload))[1:] + b"\x07\x00" + b"\x00" * 4 + payload)
        await self.writer.drain()

    async def window_opened(self) -> None:
        self._window.clear()
        await self._window.wait()

    def drop(self) -> None:
        """The connection breaks."""
        self.writer.transport.abort()

    async def serve(self) -> None:
        self.h2.local_settings = h2.settings.Settings(
            client=False, initial_values=self.peer.settings | {}
        )
        self.h2.initiate_connection()
        await self.flush()
        try:
            while data := await self.reader.read(65536):
                for event in self.h2.receive_data(data):
                    self.handle(event)
                await self.flush()
                await self.peer.may_read.wait()
        except (ConnectionError, h2.exceptions.ProtocolError) as error:
            self.peer.errors.append(error)
        finally:
            for stream in self.streams.values():
                stream.end()
            self._window.set()
            self.writer.close()

    def handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            stream = Stream(self, event.stream_id, dict(event.headers))
            self.streams[event.stream_id] = stream
            self._run(stream)
        elif isinstance(event, h2.events.DataReceived):
            self.streams[event.stream_id].feed(event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.streams[event.stream_id].end()
        elif isinstance(event, h2.events.StreamReset):
            self.streams[event.stream_id].reset_code = event.error_code
            self.streams[event.stream_id].end()
        elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            self._window.set()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.client_goaway = True

    def _run(self, stream: Stream) -> None:
        async def guarded() -> None:
            try:
                await self.peer.answer(stream)
            except (ConnectionError, h2.exceptions.ProtocolError) as error:
                self.peer.errors.append(error)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class H2Peer:
    """Listens on a free loopback port. ``script`` answers what is in ``scripted``."""

    def __init__(
        self, script: Script | None = None, settings: dict[int, int] | None = None
    ) -> None:
        self.script = script
        self.scripted = {"StreamExec", "StreamLogs"}
        self.settings = settings or {}
        self.connections: list[Connection] = []
        self.execs: list[Stream] = []
        self.errors: list[Exception] = []
        self.deleted = False
        self.pb = protos.messages()
        self.thread = LoopThread("h2-peer")
        self.base_url = self.thread.run(self._start())

    async def _start(self) -> str:
        self.may_read = asyncio.Event()
        self.may_read.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self, reader, writer)
        self.connections.append(connection)
        await connection.serve()

    async def answer(self, stream: Stream) -> None:
        method = stream.path.removeprefix(SERVICE)
        if method in self.scripted:
            self.execs.append(stream)
            assert self.script is not None
            await self.script(stream)
            return
        request = await stream.message()
        assert request is not None
        if method == "ConnectSandbox":  # an older service, which has no data plane
            await stream.start()
            await stream.trailers(12)
            return
        await stream.reply(self._unary(method, request))

    def _unary(self, method: str, request: bytes) -> Any:
        if method == "CreateSandbox":
            return self._sandbox("sb-1", self.pb.STATE_CREATING)
        if method == "GetSandbox":
            state = self.pb.STATE_TERMINATED if self.deleted else self.pb.STATE_RUNNING
            return self._sandbox("sb-1", state)
        assert method == "DeleteSandbox", method
        self.deleted = True
        sandbox = self._sandbox("sb-1", self.pb.STATE_TERMINATING)
        return self.pb.DeleteSandboxResponse(sandbox=sandbox)

    def _sandbox(self, sandbox_id: str, state: int) -> Any:
        return self.pb.Sandbox(sandbox_id=sandbox_id, status=self.pb.SandboxStatus(state=state))

    def event(self) -> asyncio.Event:
        async def make() -> asyncio.Event:
            return asyncio.Event()

        return self.thread.run(make())

    def wait(self, event: asyncio.Event, seconds: float = 20.0) -> None:
        self.thread.run(event.wait(), seconds)

    def set(self, event: asyncio.Event) -> None:
        self.thread.loop.call_soon_threadsafe(event.set)

    def hold_reading(self, hold: bool) -> None:
        """Stop (or go on) reading from every connection: the client's window and socket fill up."""
        self.thread.loop.call_soon_threadsafe(self.may_read.clear if hold else self.may_read.set)

    def close(self) -> None:
        async def stop() -> None:
            self.may_read.set()
            self._server.close()
            for connection in self.connections:
                connection.drop()

        self.thread.run(stop())
        self.thread.close()
