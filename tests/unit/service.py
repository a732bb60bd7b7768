"""A service that answers as scripted, and time that passes only when everybody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from cwsandbox import _cwsandbox
from cwsandbox._runtime.environment import Environment
from cwsandbox._service.rpc import NO_INFO, Code, ErrorInfo, RpcFailure
from cwsandbox._types.enums import SandboxStatus

T = TypeVar("T")
Message = dict[str, Any]
Reply = Message | BaseException | Callable[[Message], Awaitable[Message]]

PACKAGE = "coreweave.sandbox.v1"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when nothing is left to do."""

    _now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        loop: Any = self
        if not loop._ready and loop._scheduled:
            self._now = max(self._now, loop._scheduled[0]._when)
        super()._run_once()  # type: ignore[misc]


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time that begins at 0."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def now() -> float:
    return asyncio.get_running_loop().time()


def environment(uniform: Callable[[float, float], float] = lambda low, high: high) -> Environment:
    """Virtual time; chance gives the upper end unless told otherwise."""
    return Environment(now, asyncio.sleep, uniform, lambda: EPOCH + timedelta(seconds=now()))


@dataclass
class Sent:
    method: str
    request: Message
    timeout: float
    at: float


class Service:
    """Answers calls from a script per method; the last answer of a script is repeated."""

    def __init__(self, **scripts: list[Reply]) -> None:
        self.scripts = scripts
        self.sent: list[Sent] = []

    async def knows(self, extension: str, timeout: float) -> bool:
        """None of the extensions."""
        return False

    async def call(self, method: str, request: Message, timeout: float) -> Message:
        # As the native layer, which refuses what does not fit the message.
        _cwsandbox._message_pack(f"{PACKAGE}.{method.rpartition('/')[2]}Request", request)
        self.sent.append(Sent(method, request, timeout, now()))
        script = self.scripts[method]
        reply = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(reply, BaseException):
            raise reply
        return await reply(request) if callable(reply) else reply

    def of(self, method: str) -> list[Sent]:
        return [sent for sent in self.sent if sent.method == method]

    def times(self, method: str) -> list[float]:
        return [round(sent.at, 3) for sent in self.of(method)]


def received(name: str, message: Mapping[str, Any]) -> Message:
    """A message as it looks after it went over the wire."""
    full = f"{PACKAGE}.{name}"
    return _cwsandbox._message_unpack(full, _cwsandbox._message_pack(full, message))


def sandbox(state: str | int, sandbox_id: str = "sb-1", **status: Any) -> Message:
    """A Sandbox message in this state."""
    number = state if isinstance(state, int) else SandboxStatus(state).to_proto()
    return received("Sandbox", {"sandbox_id": sandbox_id, "status": {"state": number, **status}})


def deleted(state: str | None = "terminating") -> Message:
    """A DeleteSandboxResponse; None: without the sandbox."""
    return {} if state is None else {"sandbox": sandbox(state)}


def failure(
    code: Code,
    message: str = "scripted",
    *,
    reason: str | None = None,
    domain: str = "cwsandbox.com",
    delay: float | None = None,
    **metadata: str,
) -> RpcFailure:
    info = NO_INFO
    if reason is not None or delay is not None:
        retry = None if delay is None else timedelta(seconds=delay)
        info = ErrorInfo(reason, domain if reason else "", metadata, retry)
    return RpcFailure(code, code.name, message, info)


class Core:
    """Stands for the native side of a sandbox and notes what it is told."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.failures: list[BaseException] = []
        self.evictions: list[BaseException] = []
        self.is_open = False
        self.is_closed = False

    def open(self) -> None:
        self.is_open = True
        self.log.append("open")

    def fail(self, failure: BaseException) -> None:
        self.failures.append(failure)
        self.log.append("fail")

    def evict_refused(self, failure: BaseException) -> None:
        self.evictions.append(failure)

    def close(self, failure: BaseException) -> None:
        self.failures.append(failure)
        self.is_open, self.is_closed = False, True
        self.log.append("close")
