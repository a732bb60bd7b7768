"""FileOperation and UnfinishedFiles: reading and writing whole files with the core alone."""

from __future__ import annotations

import asyncio
import gc
import weakref
from concurrent.futures import CancelledError
from types import ModuleType
from typing import Any

import grpc
import pytest

from conformance.grpc_peer import GrpcPeer
from native.conftest import Run
from native.instance import FileError
from native.scripts import run_script

Status = grpc.StatusCode
TOO_LARGE = "CWSANDBOX_FILE_TOO_LARGE"


@pytest.fixture
def refusing(peer: GrpcPeer) -> Any:
    """Every call is refused because of the file's size."""

    async def refuse(request: Any, context: Any) -> None:
        await peer.fail(context, Status.INTERNAL, TOO_LARGE, size_bytes="5")

    peer.overrides.update(ReadFile=refuse, WriteFile=refuse)
    yield
    peer.overrides.clear()


@pytest.fixture
def holding(peer: GrpcPeer) -> Any:
    """Calls begin, and go on when the event is set."""
    go_on = peer.event()

    async def hold(request: Any, context: Any) -> Any:
        await go_on.wait()
        if hasattr(request, "content"):
            return await peer._write_file(request, context)
        return await peer._read_file(request, context)

    peer.overrides.update(ReadFile=hold, WriteFile=hold)
    yield go_on
    peer.overrides.clear()


def test_bad_arguments(sandbox: Any) -> None:
    for text, call in {
        "path must be a str": lambda: sandbox.read_file(1),
        "path must not contain a NUL": lambda: sandbox.write_file("a\0", b""),
        "contents must be bytes": lambda: sandbox.write_file("/x", "text"),
        "container must be a str": lambda: sandbox.read_file("/x", None, 5),
        "timeout must be a number": lambda: sandbox.read_file("/x", "1"),
        "missing the argument 'contents'": lambda: sandbox.write_file("/x"),
    }.items():
        with pytest.raises((TypeError, ValueError), match=text):
            call()
    with pytest.raises(BufferError):
        sandbox.write_file("/x", memoryview(bytes(10))[::2])


def test_no_constructor(core: ModuleType) -> None:
    with pytest.raises(TypeError):
        core.FileOperation()


@pytest.mark.parametrize("size", [0, 1000, 200_000])
def test_there_and_back(sandbox: Any, run: Run, size: int) -> None:
    content = b"x" * size

    async def main() -> None:
        operation = sandbox.write_file("/x", content, 5, "side")
        attributes = (operation._is_write, operation._path, operation._container)
        assert attributes == (True, "/x", "side")
        assert (operation._timeout, operation._failure) == (5.0, None)
        assert await operation is None
        assert operation._contents is None  # it is let go at once
        reading = sandbox.read_file("/x")
        assert (await reading, await reading) == (content, content)
        assert (await reading) is reading.result()
        assert reading._timeout is None

    run(main())


def test_a_failure(sandbox: Any) -> None:
    operation = sandbox.read_file("/missing")
    for _ in range(2):
        with pytest.raises(FileError) as caught:
            operation.result()
        assert caught.value.args[0] is operation
        assert caught.value.args[1].code_name == "NOT_FOUND"


def test_fail_and_close(core: ModuleType) -> None:
    sandbox = core.SandboxCore()
    operations = [sandbox.read_file("/x"), sandbox.write_file("/x", b"")]
    sandbox.fail(OSError("not open"))
    sandbox.close(OSError("closed"))
    operations += [sandbox.read_file("/x"), sandbox.write_file("/x", bytes(100_000))]
    for operation, kind in zip(
        operations, ("not_open", "not_open", "closed", "closed"), strict=True
    ):
        with pytest.raises(FileError) as caught:
            operation.result()
        error = caught.value.args[1]
        assert (error.kind, str(error.failure)) == (kind, kind.replace("_", " "))


def test_what_is_unfinished_is_completed_by_python(
    core: ModuleType, sandbox: Any, run: Run, refusing: None
) -> None:
    async def main() -> None:
        operations = [sandbox.read_file("/1"), sandbox.read_file("/2", 60.0)]
        operations += [sandbox.write_file("/3", b"three")]
        unfinished = core.UnfinishedFiles()
        taken = [await anext(unfinished) for _ in operations]
        assert {one._path for one in taken} == {"/1", "/2", "/3"}
        assert all(one in operations for one in taken)
        first, second, third = sorted(taken, key=lambda one: str(one._path))
        assert (first._time_left, third._contents) == (None, b"three")
        assert 50 < second._time_left < 60
        assert second._failure.code_name == "INTERNAL"
        assert not first._done()
        assert first._set_result(b"one")
        assert not first._set_result(b"again")
        assert second._set_exception(KeyError("two"))
        assert await operations[0] == b"one"
        with pytest.raises(KeyError, match="two"):
            await operations[1]
        cancelled: list[bool] = []
        third._when_cancelled(lambda: cancelled.append(True))
        assert operations[2]._cancel()
        assert operations[2]._cancel()
        assert cancelled == [True]
        assert not third._set_result(None)

    run(main())


def test_what_is_under_way_cannot_be_completed(sandbox: Any, holding: Any) -> None:
    operation = sandbox.read_file("/x")
    assert not operation._set_result(b"")
    assert not operation._set_exception(KeyError())
    assert operation._cancel()
    with pytest.raises(CancelledError):
        operation.result()


def test_who_blocks_is_woken_by_python(core: ModuleType, sandbox: Any, refusing: None) -> None:
    async def complete() -> None:
        operation = await anext(core.UnfinishedFiles())
        await asyncio.sleep(0.05)
        operation._set_result(b"made here")

    async def main() -> bytes:
        operation = sandbox.read_file("/x")
        task = asyncio.create_task(complete())
        content: bytes = await asyncio.to_thread(operation.result)
        await task
        return content

    assert asyncio.run(main()) == b"made here"


def test_cancelled_while_it_waits_to_be_completed(
    core: ModuleType, sandbox: Any, refusing: None
) -> None:
    operation = sandbox.read_file("/1")
    with pytest.raises(TimeoutError):
        operation.result(timeout=0.2)
    assert operation._cancel()
    other = sandbox.read_file("/2")

    async def main() -> None:
        taken = await anext(core.UnfinishedFiles())
        assert taken is other
        taken._set_result(b"")

    asyncio.run(main())


class Content(bytearray):
    """With weak references."""


def test_a_dropped_write_keeps_its_content_until_it_has_ended(
    core: ModuleType, peer: GrpcPeer, sandbox: Any, run: Run, holding: Any
) -> None:
    content = Content(b"x" * 200_000)
    seen = weakref.ref(content)
    sandbox.write_file("/dropped", content)
    del content
    gc.collect()
    assert seen() is not None

    async def main() -> None:
        left = await anext(core.UnfinishedFiles())
        assert (left._path, left._failure) == ("/dropped", None)
        peer.set(holding)
        assert await left is None

    run(main())
    gc.collect()
    assert seen() is None
    assert peer.files["/dropped"] == b"x" * 200_000


def test_a_dropped_write_that_is_not_enough(
    core: ModuleType, sandbox: Any, run: Run, refusing: None
) -> None:
    sandbox.write_file("/dropped", b"content")
    gc.collect()

    async def main() -> None:
        unfinished = core.UnfinishedFiles()
        operation = await anext(unfinished)
        while operation._failure is None:  # it came out for being dropped first
            operation = await anext(unfinished)
        assert operation._contents == b"content"
        operation._set_result(None)
        del operation
        gc.collect()

    run(main())


class Purpose:
    def value(self, process: Any, code: int) -> Any:
        return code if code < 5 else KeyError(code)

    def error(self, error: Any) -> BaseException:
        return OSError(error.kind)


def test_a_helper_command(peer: GrpcPeer, sandbox: Any) -> None:
    @peer.command("helper")
    async def helper(call: Any) -> None:
        await call.out(b"some\nbytes")
        await call.exit(int(call.argv[1]))

    purpose = Purpose()
    before = sandbox.stats()
    process = sandbox.exec(["helper", "3"], purpose=purpose)
    assert process._purpose is purpose
    assert process.result() == 3
    assert b"".join(process.stdout) == b"some\nbytes"
    failing = sandbox.exec(["helper", "7"], capture_output=False, purpose=purpose)
    reader = failing.stdout
    assert next(reader) == b"some\nbytes"
    with pytest.raises(KeyError):  # an exit code may be a failure to its readers, too
        next(reader)
    assert list(reader) == []
    assert sandbox.stats() == before


@pytest.mark.parametrize("how", ["drop", "close"])
def test_a_helper_ends_with_its_reader(peer: GrpcPeer, sandbox: Any, how: str) -> None:
    ended = peer.event()

    @peer.command("endless")
    async def endless(call: Any) -> None:
        try:
            while True:
                await call.out(b"x" * 10_000)
        finally:
            ended.set()

    process = sandbox.exec(["endless"], capture_output=False, purpose=Purpose())
    reader = process.stdout
    assert next(reader)
    if how == "close":
        reader.close()
    del process, reader
    gc.collect()
    peer.wait(ended)


def test_fork(peer: GrpcPeer) -> None:
    run_script(
        """
sandbox = core.SandboxCore()
sandbox.open(core.Channel(sys.argv[1]), "sb-1")
before = sandbox.read_file("/x")
written = sandbox.write_file("/y", bytes(200_000))
unfinished = core.UnfinishedFiles()

def child():
    raises(RuntimeError, "made before fork", before.result)
    raises(RuntimeError, "made before fork", sandbox.read_file, "/x")
    global written
    del written
    fresh = core.SandboxCore()
    fresh.open(core.Channel(sys.argv[1]), "sb-1")
    fresh.write_file("/z", b"from the child").result()
    assert fresh.read_file("/z").result() == b"from the child"

    async def main():
        raises(RuntimeError, "made before fork", unfinished.__anext__().__await__().send, None)
        core.UnfinishedFiles()
    asyncio.run(main())

assert in_child(child) == 0
written.result()
""",
        peer.base_url,
    )
