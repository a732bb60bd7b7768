"""A sandbox with its driver, a scripted service and virtual time, for the tests of its life."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any

from cwsandbox import SandboxDefaults
from cwsandbox._lifecycle.driver import Driver
from cwsandbox._lifecycle.handle import Handle
from cwsandbox._messages import config as _config
from cwsandbox._service.connection import connection as connection_of
from cwsandbox._service.rpc import Code
from cwsandbox._types.enums import SandboxStatus
from unit.service import Core, Service, deleted, environment, failure, run, sandbox

NOT_FOUND = failure(Code.NOT_FOUND)
GONE = failure(Code.INTERNAL, reason="CWSANDBOX_SANDBOX_NOT_FOUND")
LOST = failure(Code.UNAVAILABLE)


def running_handle() -> Any:
    """What the handle of a sandbox says of one that runs, and has not failed so far."""
    return SimpleNamespace(
        state=SimpleNamespace(takes_commands=True, status=SandboxStatus.RUNNING),
        core=SimpleNamespace(is_open=True, stats=lambda: (0, 0, 0, 0)),
    )


class Life:
    """One sandbox: its handle, its driver, its service, its (stand-in) native side."""

    def __init__(
        self,
        found: dict[str, Any] | None = None,
        /,
        given: dict[str, Any] | None = None,
        **scripts: Any,
    ):
        scripts.setdefault("CreateSandbox", [sandbox("creating")])
        scripts.setdefault("GetSandbox", [sandbox("running")])
        scripts.setdefault("DeleteSandbox", [deleted()])
        self.service = Service(**scripts)
        self.core = Core()
        core: Any = self.core
        self.handle = Handle(core)
        self.handle.on_running = self._running
        options = given or {}
        defaults = SandboxDefaults()
        connection = connection_of(options, defaults)
        workload = None if found else _config.workload(options, defaults)
        env = environment()
        self.handle.now = env.now
        self.driver = Driver(
            self.handle, connection, workload, self.service.call, env, self.service.knows
        )
        if found is not None:
            self.handle.discover(found)

    def _running(self) -> None:
        if not self.core.is_closed:
            self.core.open()

    @property
    def state(self) -> Any:
        return self.handle.state

    def methods(self) -> list[str]:
        return [sent.method.removesuffix("Sandbox") for sent in self.service.sent]


def live(
    steps: Callable[[Life], Coroutine[Any, Any, None]], found: Any = None, /, **scripts: Any
) -> Life:
    """A life made and lived inside the virtual loop."""
    lives: list[Life] = []

    async def main() -> None:
        life = Life(found, **scripts)
        lives.append(life)
        await steps(life)

    run(main())
    return lives[0]


def after(seconds: float, reply: Any) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
    """A reply that takes time."""

    async def answer(request: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(seconds)
        if isinstance(reply, BaseException):
            raise reply
        result: dict[str, Any] = reply
        return result

    return answer
