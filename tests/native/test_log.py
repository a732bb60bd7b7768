"""The log's face in C, against a grpcio server."""

from __future__ import annotations

import asyncio
import gc
from types import ModuleType
from typing import Any

import pytest

from conformance.grpc_peer import GrpcPeer
from native.conftest import Run
from native.instance import LogError, load
from native.scripts import run_script


@pytest.fixture(autouse=True)
def logs(peer: GrpcPeer) -> None:
    async def log(request: Any, context: Any) -> None:
        """Two lines; with follow, it goes on for ever."""
        await context.write(peer.pb.LogEntry(data=b"one\ntwo\n"))
        if request.follow:
            await asyncio.Event().wait()

    peer.logs = [log]


def everything(sandbox: Any, **options: Any) -> Any:
    given = {"follow": False, "tail_lines": 0, "since": None, "timestamps": False} | options
    return sandbox.stream_logs(**given)


def test_lines_text_and_bytes(sandbox: Any) -> None:
    assert list(everything(sandbox)) == ["one\n", "two\n"]
    assert "".join(everything(sandbox).chunks()) == "one\ntwo\n"
    assert b"".join(everything(sandbox)._bytes()) == b"one\ntwo\n"
    reader = everything(sandbox)
    assert next(reader) == "one\n"
    assert list(reader.chunks()) == ["two\n"]  # the cursor is shared


def test_in_event_loops(sandbox: Any, run: Run) -> None:
    async def main() -> list[str]:
        return [line async for line in everything(sandbox)]

    assert run(main()) == ["one\n", "two\n"]


def test_an_item_is_not_lost_with_the_task_that_waited(sandbox: Any, run: Run) -> None:
    async def main() -> list[str]:
        reader = everything(sandbox, follow=True)
        lines = [await anext(reader), await anext(reader)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(reader), 0.05)
        reader.close()
        return lines + [line async for line in reader]

    assert run(main()) == ["one\n", "two\n"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"tail_lines": -1}, ValueError, "tail_lines must be at least 0 .* got -1"),
        ({"tail_lines": 2**31}, ValueError, "at most 2147483647, got 2147483648"),
        ({"tail_lines": 2**70}, OverflowError, "too large"),
        ({"tail_lines": "1"}, TypeError, "integer"),
        ({"since": 1}, TypeError, "since must be a tuple, got 1"),
        ({"since": (1,)}, TypeError, "2 arguments"),
        ({"timeout": -1.0}, ValueError, "timeout"),
        ({"container": 1}, TypeError, "container"),
        ({"more": 1}, TypeError, "more"),
    ],
)
def test_refused(sandbox: Any, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        everything(sandbox, **options)


def test_what_the_sandbox_was_told(core: ModuleType, channel: Any) -> None:
    sandbox = core.SandboxCore()
    assert sandbox.sandbox_id is None
    reader = everything(sandbox)
    told = RuntimeError("not started")
    sandbox.fail(told)
    with pytest.raises(LogError) as caught:
        next(reader)
    about, error = caught.value.args
    assert (about, error.kind, error.failure) == (sandbox, "not_open", told)
    assert list(reader) == []
    waits = everything(sandbox)
    sandbox.open(channel, "sb-7")
    assert sandbox.sandbox_id == "sb-7"
    assert list(waits) == ["one\n", "two\n"]
    closed = RuntimeError("stopped")
    sandbox.close(closed)
    with pytest.raises(LogError) as caught:
        next(everything(sandbox))
    assert (caught.value.args[1].kind, caught.value.args[1].failure) == ("closed", closed)
    assert sandbox.stats() == (0, 0, 0, 0)


def test_repr(sandbox: Any) -> None:
    reader = everything(sandbox, follow=True)
    assert "log of <Log follow=True state=open>" in repr(reader)
    reader.close()
    assert "closed" in repr(reader)
    assert "chunks of log" in repr(reader.chunks())


def test_the_reader_is_all_that_keeps_it(sandbox: Any, core: ModuleType) -> None:
    before = core.stats()["operations"]
    reader = everything(sandbox, follow=True)
    assert next(reader) == "one\n"
    assert core.stats()["operations"] == before + 1
    del reader
    gc.collect()
    assert core.stats()["operations"] == before


def test_it_keeps_the_sandbox(core: ModuleType, channel: Any) -> None:
    sandbox = core.SandboxCore()
    sandbox.open(channel, "sb-1")
    reader = everything(sandbox)
    del sandbox
    gc.collect()
    assert list(reader) == ["one\n", "two\n"]


def test_garbage_is_collected_while_it_goes(peer: GrpcPeer) -> None:
    """What the log alone still holds may run any code when it goes."""
    body = """
import gc

class Failure(Exception):
    def __del__(self):
        gc.collect()
        print("collected")

channel = core.Channel(sys.argv[1])
sandbox = core.SandboxCore()
sandbox.open(channel, "sb-1")
reader = sandbox.stream_logs(False, 0, None, False)
assert list(reader) == ["one\\n", "two\\n"]
sandbox.fail(Failure())
del reader
"""
    assert run_script(body, peer.base_url) == "collected\n"


def test_not_configured() -> None:
    module = load()
    module.configure("exec", make_value=print, make_error=print)
    with pytest.raises(RuntimeError, match="configure\\(\\) was not called for 'log'"):
        everything(module.SandboxCore())
    with pytest.raises(TypeError, match="kind 'log' has no make_value"):
        module.configure("log", make_value=print, make_error=print)


def test_made_before_fork(peer: GrpcPeer) -> None:
    body = """
channel = core.Channel(sys.argv[1])
sandbox = core.SandboxCore()
sandbox.open(channel, "sb-1")
reader = sandbox.stream_logs(True, 0, None, False)
assert next(reader) == "one\\n"
child = os.fork()
if child == 0:
    for use in (lambda: next(reader), reader.close, lambda: reader.chunks()):
        try:
            use()
        except RuntimeError as error:
            assert "made before fork" in str(error)
        else:
            os._exit(1)
    assert "made before fork" in repr(reader)
    del reader
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert next(reader) == "two\\n"
"""
    run_script(body, peer.base_url)
