"""Whoever waits in a thread while the interpreter ends is told so by an error of this package."""

from __future__ import annotations

import asyncio
import signal
from collections import defaultdict
from typing import Any

import grpc
import pytest

from conformance.grpc_peer import GrpcPeer
from isolated.program import SECONDS, Program

PROGRAM = """
import asyncio, atexit, os, threading

ended = threading.Semaphore(0)
# Before the package's, so that it runs after that: the threads get the time to tell.
atexit.register(lambda: [ended.acquire(timeout=20) for _ in threads])

def run(kind, wait):
    try:
        wait()
    except BaseException as error:
        os.write(1, f"{kind}: {type(error).__name__}: {error}\\n".encode())
    finally:
        ended.release()

async def awaited(operation):
    await operation

session = Session()
@session.function()
def function():
    pass
box = BOX
box.wait()
WAITS
threads = [threading.Thread(target=run, args=each, daemon=True) for each in waits.items()]
for thread in threads:
    thread.start()
ending = []
signal.signal(signal.SIGUSR1, lambda *_: ending.append(1))
wait_for_a_signal(lambda: ending)
"""

WAITS = """
completion = box.wait_until_complete()
waits = {
    "completion": completion.result,
    "completion, awaited": lambda: asyncio.run(awaited(completion)),
    "start": lambda: Sandbox().start().result(),
    "wait": lambda: Sandbox().wait(),
    "from_id": lambda: Sandbox.from_id("sb-7").result(),
    "list": lambda: Sandbox.list().result(),
    "snapshot": lambda: box.snapshot().result(),
    "snapshots": lambda: Sandbox.list_snapshots().result(),
    "volumes": lambda: cwsandbox.Volume.list().result(),
    "runners": lambda: cwsandbox.list_runners(),
    "large read": lambda: box.read_file("/large").result(),
    "large write": lambda: box.write_file("/large", bytes(100 << 20)).result(),
    "stream": lambda: box.write_file_streaming("/x", [b"x"]).result(),
    "upload": lambda: box.upload(__file__, "/x").result(),
    "download": lambda: box.download("/x", __file__ + ".new").result(),
}
"""
# How many of them wait for an answer to a call of each method.
CALLS = {
    "CreateSandbox": 2,
    "GetSandbox": 1,
    "ListSandboxes": 1,
    "CreateFileSystemSnapshot": 1,
    "ListFileSystemSnapshots": 1,
    "ListVolumes": 1,
    "ListAvailableRunners": 1,
    "StreamExec": 5,
}


class Silence:
    """Has calls of the peer's methods never answered, and knows how many there are."""

    def __init__(self, peer: GrpcPeer, calls: dict[str, int]) -> None:
        self._left = dict(calls)
        self._peer = peer
        self._complete = peer.event()
        for method in calls.keys() - {"CreateSandbox", "GetSandbox", "StreamExec"}:
            peer.overrides[method] = self._hanging(method)
        peer.scripts = defaultdict(lambda: self._hanging("StreamExec"))
        # One sandbox can be made, and be asked for.
        peer.overrides["CreateSandbox"] = self._create
        peer.overrides["GetSandbox"] = self._get

    def wait(self) -> None:
        """Until all have arrived."""
        self._peer.wait(self._complete, SECONDS)

    def _hanging(self, method: str) -> Any:
        async def hang(*_: Any) -> None:
            self._left[method] -= 1
            if not any(self._left.values()):
                self._complete.set()
            await asyncio.Event().wait()

        return hang

    async def _create(self, request: Any, context: Any) -> Any:
        if self._peer.created and self._left.get("CreateSandbox"):
            await self._hanging("CreateSandbox")()
        return await self._peer._create(request, context)

    async def _get(self, request: Any, context: Any) -> Any:
        if request.sandbox_id == "sb-7":
            await self._hanging("GetSandbox")()
        return await self._peer._get(request, context)


@pytest.fixture
def told(peer: GrpcPeer) -> Any:
    """What the waits are told, by their kind, when the program ends in which they wait."""

    async def too_large(request: Any, context: Any) -> None:
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
        await peer.fail(context, code, "CWSANDBOX_FILE_TOO_LARGE", size_bytes="5")

    peer.overrides["ReadFile"] = too_large

    def run(box: str, waits: str, calls: dict[str, int]) -> dict[str, str]:
        silence = Silence(peer, calls)
        with Program(peer, PROGRAM.replace("BOX", box).replace("WAITS", waits)) as program:
            silence.wait()
            program.send(signal.SIGUSR1)
            said = program.ends_saying(0)
        return dict(line.split(": ", 1) for line in said.splitlines())

    return run


def test_operations_that_go_on_in_python(told: Any) -> None:
    ended = told("Sandbox()", WAITS, CALLS)
    assert len(ended) == 15
    ending = "SandboxNotRunningError: the program is ending, and gives up what is not done yet"
    assert ended == dict.fromkeys(ended, ending)


OWNED = """
waits = {
    "function": lambda: function.remote().result(),
    "snapshot": lambda: box.snapshot().result(),
    "stream": lambda: box.write_file_streaming("/x", [b"x"]).result(),
}
"""


def test_in_a_session_whose_sandboxes_end_with_the_program(told: Any) -> None:
    ended = told("session.sandbox()", OWNED, {"StreamExec": 2, "CreateFileSystemSnapshot": 1})
    assert {kind: text.partition(":")[0] for kind, text in ended.items()} == dict.fromkeys(
        ("function", "snapshot", "stream"), "SandboxNotRunningError"
    )
