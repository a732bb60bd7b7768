"""Connections that fail, for tests of programs that use sandboxes."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterable
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from cwsandbox import _cwsandbox
from cwsandbox._relay.frames import Malformed
from cwsandbox._relay.methods import METHODS
from cwsandbox._relay.plain import Plain
from cwsandbox._service import local
from cwsandbox._service.rpc import TRUSTED_DOMAIN, Code
from cwsandbox._types import check

if TYPE_CHECKING:
    from cwsandbox._relay.calls import Calls, Status

__all__ = ["Faults"]

_PIECE = 65536


class Faults:
    """A relay in front of a service, whose connections break, are late or are refused as a test asks.

    What the program meets are real faults of a connection, and answers as a service gives them. Only in a ``with``
    block. ``upstream`` is the service's address: ``unix:///path`` or ``http://host:port``. All methods may be called
    from any thread, and what they ask for is in force when they return.

    Faults of single calls, which are ``refuse(code)`` and ``cut(after_messages=...)``, need the package ``hpack``
    (``pip install 'cwsandbox[testing]'``), and raise ``ImportError`` without it.

    ::

        with Faults("unix:///run/cwsandboxd.sock") as faults:
            defaults = SandboxDefaults(base_url=faults.url)
            with Session(defaults) as session:
                process = session.sandbox().exec(["sleep", "60"])
                faults.cut()
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        if not (parts.scheme == "unix" and parts.path) and not (
            parts.scheme == "http" and parts.hostname
        ):
            raise ValueError(f"upstream must be unix:///path or http://host:port, got {upstream!r}")
        self._upstream = parts
        self._ways: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: set[asyncio.Future[None]] = set()
        self._late = 0.0
        self._left: int | None = None
        self._refuses = False
        # A connection's calls are understood from its beginning or not at all, so this is known before there are any.
        self._sees_calls = find_spec("hpack") is not None
        # How calls of a method end, None: of any other; and how many messages come before the cut, and whose.
        self._answers: dict[str | None, Status] = {}
        self._messages_left: int | None = None
        self._counted: frozenset[str] | None = None

    @property
    def url(self) -> str:
        """The address to be used in the place of the service's."""
        return f"unix://{self._folder / 'sock'}"

    def cut(
        self,
        *,
        after_bytes: int | None = None,
        after_messages: int | None = None,
        methods: Iterable[str] | None = None,
    ) -> None:
        """Break every connection: now, or once the service has sent so many bytes or messages more.

        What the service sends after that is lost. New connections work. With ``methods``, such as ``["StreamExec"]``,
        only messages in calls of these count. A command's output comes in messages, and its exit code is one.
        """
        if after_bytes is not None and after_messages is not None:
            raise ValueError("cut() takes after_bytes or after_messages, not both")
        for name, number in (("after_bytes", after_bytes), ("after_messages", after_messages)):
            if number is not None and (type(number) is not int or number < 1):
                raise ValueError(f"{name} must be an int of at least 1, got {number!r}")
        if methods is not None and after_messages is None:
            raise ValueError("cut() takes methods only with after_messages")
        counted = None if methods is None else frozenset(_checked(methods))
        if after_messages is not None:
            self._check_sees_calls("cut(after_messages=...)")

        def do() -> None:
            self._left = after_bytes
            self._messages_left, self._counted = after_messages, counted
            if after_bytes is None and after_messages is None:
                self._break()

        self._call(do)

    def delay(self, seconds: float) -> None:
        """Hold each piece of what the service sends, of 64 KiB at most, back for so long; 0: no longer.

        What is held back already is passed on.
        """
        late = check.budget(seconds, "seconds")

        def do() -> None:
            self._late = late
            self._release()

        self._call(do)

    def refuse(
        self,
        code: str | None = None,
        *,
        message: str = "",
        reason: str | None = None,
        methods: Iterable[str] | None = None,
    ) -> None:
        """Refuse connections, or calls, until ``heal()``.

        Without arguments every connection breaks, and each new one as soon as it is made. With ``code``, the name of a
        gRPC status such as ``"UNAVAILABLE"``, new calls end with this status instead, and the service does not hear of
        them. Calls that have begun go on.

        - ``message``: what the status says.
        - ``reason``: what the service gives as the reason, such as ``"CWSANDBOX_FILE_NOT_FOUND"``. Default: none.
        - ``methods``: the methods of these calls, such as ``["CreateSandbox", "StreamExec"]``. Default: all that no
          other ``refuse()`` names.
        """
        if code is None:
            if message or reason is not None or methods is not None:
                raise ValueError("refuse() takes message, reason and methods only with a code")
            self._call(self._refuse_connections)
            return
        if code not in Code.__members__:
            raise ValueError(f"code must be one of {', '.join(Code.__members__)}, got {code!r}")
        check.optional_text(reason, "reason")
        if type(message) is not str:
            raise TypeError(f"message must be a str, got {message!r}")
        names = [None] if methods is None else _checked(methods)
        self._check_sees_calls("refuse(code)")
        status = _status(Code[code], message, reason)
        self._call(lambda: self._answers.update(dict.fromkeys(names, status)))

    def heal(self) -> None:
        """No more faults. Connections that are broken stay so; new ones work."""

        def do() -> None:
            self._refuses, self._late, self._left = False, 0.0, None
            self._answers.clear()
            self._messages_left = None
            self._release()

        self._call(do)

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="cws-faults-", dir=local.short_base()))
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="cwsandbox-faults", daemon=True
        )
        self._thread.start()
        begun = asyncio.start_unix_server(self._serve, self._folder / "sock")
        self._server = asyncio.run_coroutine_threadsafe(begun, self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _call(self, function: Callable[[], None]) -> None:
        async def do() -> None:
            function()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result()

    async def _close(self) -> None:
        self._server.close()
        self._break()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _check_sees_calls(self, what: str) -> None:
        if not self._sees_calls:
            raise ImportError(
                f"{what} needs the package hpack: pip install 'cwsandbox[testing]'", name="hpack"
            )

    def _calls(self) -> Calls | Plain:
        """For one connection."""
        if not self._sees_calls:
            return Plain()
        from cwsandbox._relay.calls import Calls

        return Calls(self._refusal, self._count)

    def _refuse_connections(self) -> None:
        self._refuses = True
        self._break()

    def _refusal(self, method: str) -> Status | None:
        return self._answers.get(method, self._answers.get(None))

    def _count(self, method: str) -> bool:
        """Whether this message of the service was the last one to pass."""
        if self._messages_left is None or (self._counted and method not in self._counted):
            return False
        self._messages_left -= 1
        if self._messages_left:
            return False
        self._messages_left = None
        return True

    def _break(self) -> None:
        for way in self._ways:
            way.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends = [writer]
        try:
            if not self._refuses:
                far_reader, far = await self._dial()
                ends.append(far)
                self._ways.update(ends)
                calls = self._calls()
                await _both(
                    self._forward(reader, far, calls, writer),
                    self._back(far_reader, writer, calls),
                )
        except (OSError, asyncio.CancelledError, Malformed):
            pass  # the service is not there, or the test is over: the connection breaks
        finally:
            for end in ends:
                end.transport.abort()
            self._ways.difference_update(ends)
            self._tasks.discard(task)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._upstream.scheme == "unix":
            return await asyncio.open_unix_connection(self._upstream.path)
        return await asyncio.open_connection(self._upstream.hostname, self._upstream.port or 80)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        calls: Calls | Plain,
        client: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                writer.write(calls.to_service(data))
                client.write(calls.answers())
                await writer.drain()
        writer.close()

    async def _back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, calls: Calls | Plain
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                if self._late:
                    await self._hold()
                # No await until it is written: answers may come in between.
                data = calls.to_client(data)
                if self._left is not None and len(data) >= self._left:
                    await self._end_with(data[: self._left], writer)
                    return
                if calls.is_over:
                    await self._end_with(data, writer)
                    return
                if self._left is not None:
                    self._left -= len(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _hold(self) -> None:
        timer = asyncio.ensure_future(asyncio.sleep(self._late))
        self._held.add(timer)
        try:
            await asyncio.wait({timer})
        finally:
            timer.cancel()
            self._held.discard(timer)

    def _release(self) -> None:
        for timer in self._held:
            timer.cancel()

    async def _end_with(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        """The last bytes before the cut: on this connection they arrive."""
        self._left = None
        writer.write(data)
        # Not abort(), which would drop them; on a Unix socket what was written is read before the end is seen.
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self._break()


async def _both(*works: Coroutine[Any, Any, None]) -> None:
    """Run them at the same time. When one has failed, the others are cancelled and have ended, too."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _checked(methods: Iterable[str]) -> list[str]:
    names = list(check.strings(methods, "methods"))
    for name in names:
        if name not in METHODS:
            near = get_close_matches(name, METHODS, 1)
            hint = f". Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"methods has {name!r}, which the service does not have{hint}")
    return names


def _status(code: Code, message: str, reason: str | None) -> Status:
    from cwsandbox._relay.calls import Status

    if reason is None:
        return Status(code, message, None)
    info = _cwsandbox._message_pack(
        "google.rpc.ErrorInfo", {"reason": reason, "domain": TRUSTED_DOMAIN}
    )
    detail = {"type_url": "type.googleapis.com/google.rpc.ErrorInfo", "value": info}
    details = {"code": int(code), "message": message, "details": [detail]}
    return Status(code, message, _cwsandbox._message_pack("google.rpc.Status", details))
