"""The services on grpcio: every sandbox runs at once, and what a command does is a coroutine of the test.

peer.command("greet")(script)      # script(call: Call) runs for exec(["greet", ...])
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
from google.protobuf import duration_pb2
from google.protobuf.message_factory import GetMessageClass as message_class
from google.rpc import error_details_pb2, status_pb2

from conformance import protos
from conformance.loop_thread import LoopThread

OTHER_FILES = ("discovery", "runtime_class", "sandbox_template", "settings", "volume")

Script = Callable[["Call"], Awaitable[None]]


class Call:
    """One StreamExec as its script sees it."""

    def __init__(self, requests: AsyncIterator[Any], context: Any, init: Any) -> None:
        self.context = context
        self.argv = list(init.command)
        self.init = init
        self._requests = requests
        self._pb = protos.messages()
        self.closed_by_frame = False

    async def send(self, **frame: Any) -> None:
        await self.context.write(self._pb.ExecStreamResponse(**frame))

    async def ready(self) -> None:
        await self.send(ready=self._pb.ExecStreamReady())

    async def out(self, data: bytes) -> None:
        await self._output(data, self._pb.ExecStreamOutput.STREAM_STDOUT)

    async def err(self, data: bytes) -> None:
        await self._output(data, self._pb.ExecStreamOutput.STREAM_STDERR)

    async def _output(self, data: bytes, stream: int) -> None:
        await self.send(output=self._pb.ExecStreamOutput(data=data, stream=stream))

    async def exit(self, code: int = 0) -> None:
        await self.send(exit=self._pb.ExecStreamExit(exit_code=code))

    async def error(self, code: str, message: str) -> None:
        await self.send(error=self._pb.ExecStreamError(code=code, message=message))

    async def stdin(self) -> AsyncIterator[bytes]:
        """The client's input, frame by frame, up to its close frame or half-close."""
        async for request in self._requests:
            kind = request.WhichOneof("message")
            if kind == "close":
                self.closed_by_frame = True
                return
            assert kind == "stdin", kind
            yield request.stdin

    async def frames(self) -> AsyncIterator[Any]:
        """All that comes after init, up to the half-close."""
        async for request in self._requests:
            yield request


class GrpcPeer:
    """A grpcio server on a free loopback port or a Unix socket."""

    # Whose methods it has, in the package of the service.
    service = "SandboxService"

    def __init__(
        self,
        address: str = "127.0.0.1:0",
        *,
        max_concurrent_streams: int | None = None,
        min_ping_interval_ms: int | None = None,
        tls: tuple[bytes, bytes] | None = None,
        client_roots: bytes | None = None,
    ) -> None:
        self.scripts: dict[str, Script] = {}
        self.metadata: dict[str, list[tuple[tuple[str, str | bytes], ...]]] = {}
        self.deadlines: dict[str, list[float | None]] = {}
        self.created: list[Any] = []
        self.deleted: list[str] = []
        # What ReadFile gives and WriteFile leaves, by path, and their requests.
        self.files: dict[str, bytes] = {}
        self.file_requests: list[Any] = []
        # A coroutine (request, context) for each StreamLogs in turn, the last one also for those that come after it.
        self.logs: list[Callable[[Any, Any], Awaitable[None]]] = []
        self.log_requests: list[Any] = []
        # Replaces the reply to a unary method: a coroutine (request, context) -> message. Most methods have no other.
        self.overrides: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {}
        self.pb = protos.messages()
        self._ids = itertools.count(1)
        self._thread = LoopThread("grpc-peer")
        self._options = []
        if max_concurrent_streams is not None:
            self._options.append(("grpc.max_concurrent_streams", max_concurrent_streams))
        if min_ping_interval_ms is not None:
            name = "grpc.http2.min_ping_interval_without_data_ms"
            self._options.append((name, min_ping_interval_ms))
        self._thread.run(self._start(address, tls, client_roots))

    async def _start(
        self, address: str, tls: tuple[bytes, bytes] | None, client_roots: bytes | None
    ) -> None:
        self._server = grpc.aio.server(options=self._options)
        handlers = self._handlers()
        name = f"{self.pb.DESCRIPTOR.package}.{self.service}"
        generic = grpc.method_handlers_generic_handler(name, handlers)
        self._server.add_generic_rpc_handlers((generic, *self._other_services()))
        if tls is None:
            port = self._server.add_insecure_port(address)
        else:
            credentials = grpc.ssl_server_credentials([tls], client_roots, client_roots is not None)
            port = self._server.add_secure_port(address, credentials)
        await self._server.start()
        scheme = "http" if tls is None else "https"
        self.base_url = address if address.startswith("unix:") else f"{scheme}://localhost:{port}"

    def _handlers(self) -> dict[str, Any]:
        unary: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
            "CreateSandbox": self._create,
            "GetSandbox": self._get,
            "ListSandboxes": self._list,
            "DeleteSandbox": self._delete,
            "ReadFile": self._read_file,
            "WriteFile": self._write_file,
        }
        handlers: dict[str, Any] = {}
        methods = self.pb.DESCRIPTOR.services_by_name["SandboxService"].methods_by_name
        for name, method in methods.items():
            handlers[name] = grpc.unary_unary_rpc_method_handler(
                self._recorded(name, unary.get(name, self._unimplemented)),
                request_deserializer=message_class(method.input_type).FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
        handlers["StreamExec"] = grpc.stream_stream_rpc_method_handler(
            self._stream_exec,
            request_deserializer=self.pb.ExecStreamRequest.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        handlers["StreamLogs"] = grpc.unary_stream_rpc_method_handler(
            self._stream_logs,
            request_deserializer=self.pb.StreamLogsRequest.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        return handlers

    def _other_services(self) -> Iterator[Any]:
        for file in OTHER_FILES:
            for service in protos.messages(file).DESCRIPTOR.services_by_name.values():
                handlers = {
                    method.name: grpc.unary_unary_rpc_method_handler(
                        self._recorded(method.name, self._unimplemented),
                        request_deserializer=message_class(method.input_type).FromString,
                        response_serializer=lambda message: message.SerializeToString(),
                    )
                    for method in service.methods
                }
                yield grpc.method_handlers_generic_handler(service.full_name, handlers)

    async def _unimplemented(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not scripted")

    def _record(self, method: str, context: Any) -> None:
        self.metadata.setdefault(method, []).append(context.invocation_metadata())
        self.deadlines.setdefault(method, []).append(context.time_remaining())

    def _recorded(
        self, name: str, behaviour: Callable[[Any, Any], Awaitable[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        async def run(request: Any, context: Any) -> Any:
            self._record(name, context)
            return await self.overrides.get(name, behaviour)(request, context)

        return run

    def _sandbox(self, sandbox_id: str, state: int) -> Any:
        return self.pb.Sandbox(sandbox_id=sandbox_id, status=self.pb.SandboxStatus(state=state))

    async def _create(self, request: Any, context: Any) -> Any:
        self.created.append(request)
        return self._sandbox(f"sb-{next(self._ids)}", self.pb.STATE_CREATING)

    async def _get(self, request: Any, context: Any) -> Any:
        gone = request.sandbox_id in self.deleted
        state = self.pb.STATE_TERMINATED if gone else self.pb.STATE_RUNNING
        return self._sandbox(request.sandbox_id, state)

    async def _list(self, request: Any, context: Any) -> Any:
        return self.pb.ListSandboxesResponse()

    async def _delete(self, request: Any, context: Any) -> Any:
        self.deleted.append(request.sandbox_id)
        sandbox = self._sandbox(request.sandbox_id, self.pb.STATE_TERMINATING)
        return self.pb.DeleteSandboxResponse(sandbox=sandbox)

    async def _read_file(self, request: Any, context: Any) -> Any:
        self.file_requests.append(request)
        content = self.files.get(request.path)
        if content is None:
            await self.fail(context, grpc.StatusCode.NOT_FOUND, "CWSANDBOX_FILE_NOT_FOUND")
        return self.pb.ReadFileResponse(content=content)

    async def _write_file(self, request: Any, context: Any) -> Any:
        self.file_requests.append(request)
        self.files[request.path] = request.content
        return self.pb.WriteFileResponse()

    async def fail(
        self,
        context: Any,
        code: grpc.StatusCode,
        reason: str | None = None,
        *,
        message: str = "no",
        retry_after: float | None = None,
        **metadata: str,
    ) -> None:
        """End the call with a status and its details."""
        status = status_pb2.Status(code=code.value[0], message=message)
        if reason is not None:
            status.details.add().Pack(
                error_details_pb2.ErrorInfo(
                    reason=reason, domain="cwsandbox.com", metadata=metadata
                )
            )
        if retry_after is not None:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(int(retry_after * 1e9))
            status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        trailers = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(code, message, trailers if status.details else ())

    async def _stream_exec(self, requests: AsyncIterator[Any], context: Any) -> None:
        self._record("StreamExec", context)
        first = await anext(aiter(requests))
        assert first.WhichOneof("message") == "init"
        call = Call(aiter(requests), context, first.init)
        await self.scripts[call.argv[0]](call)

    async def _stream_logs(self, request: Any, context: Any) -> None:
        self._record("StreamLogs", context)
        self.log_requests.append(request)
        script = self.logs.pop(0) if len(self.logs) > 1 else self.logs[0]
        await script(request, context)

    def command(self, name: str) -> Callable[[Script], Script]:
        """Make ``exec([name, ...])`` run the decorated coroutine."""

        def add(script: Script) -> Script:
            self.scripts[name] = script
            return script

        return add

    def event(self) -> asyncio.Event:
        """An event of the peer's loop, for its scripts; set it from the test with `set`."""

        async def make() -> asyncio.Event:
            return asyncio.Event()

        return self._thread.run(make())

    def set(self, event: asyncio.Event) -> None:
        self._thread.loop.call_soon_threadsafe(event.set)

    def wait(self, event: asyncio.Event, seconds: float = 20.0) -> None:
        self._thread.run(event.wait(), seconds)

    def close(self) -> None:
        self._thread.run(self._server.stop(0))
        self._thread.close()
