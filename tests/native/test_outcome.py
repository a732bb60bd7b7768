"""What goes wrong in making a result is told to who asked, and is no result: the next one who asks gets it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import ModuleType
from typing import Any

import pytest

from conformance.grpc_peer import Call, GrpcPeer
from native.conftest import Run
from native.instance import ExecError, Result, WriteError, load
from native.scripts import run_script


class HandlerError(Exception):
    """Raised by a signal handler."""


@pytest.fixture(scope="module", autouse=True)
def commands(peer: GrpcPeer) -> None:
    @peer.command("greet")
    async def greet(call: Call) -> None:
        await call.out(b"hello\n")
        await call.exit(3)

    @peer.command("error")
    async def error(call: Call) -> None:
        await call.out(b"partial\n")
        await call.error("EXEC_FAILED", "no such command")

    @peer.command("much")
    async def much(call: Call) -> None:
        for n in range(32):
            await call.out(bytes([n]) * (1 << 20))
        await call.exit(0)


def interrupt() -> None:
    """A signal arrives, and its handler raises."""
    signal.raise_signal(signal.SIGUSR1)


def exhaust_memory() -> None:
    raise MemoryError


def exhaust_stack() -> None:
    exhaust_stack()


@pytest.fixture(
    params=[
        (interrupt, HandlerError),
        (exhaust_memory, MemoryError),
        (exhaust_stack, RecursionError),
    ],
    ids=["handler", "memory", "stack"],
)
def trouble(request: pytest.FixtureRequest) -> Iterator[tuple[Callable[[], None], type[Exception]]]:
    def handler(number: int, frame: object) -> None:
        raise HandlerError

    before = signal.signal(signal.SIGUSR1, handler)
    yield request.param
    signal.signal(signal.SIGUSR1, before)


class Makers:
    """Hooks of which each works from the second time on."""

    def __init__(self, trouble: Callable[[], None]) -> None:
        self._trouble = trouble
        self._tried: set[str] = set()

    def _try(self, name: str) -> None:
        if name not in self._tried:
            self._tried.add(name)
            self._trouble()

    def result(self, process: Any, returncode: int, check: bool) -> Result:
        self._try("result")
        return Result(process, returncode, check)

    def error(self, process: Any, error: Exception) -> ExecError:
        self._try("error")
        return ExecError(process, error)

    def write_error(self, reason: str, failure: BaseException | None) -> WriteError:
        self._try("write_error")
        return WriteError(reason, failure)


@pytest.fixture
def troubled(trouble: Any, channel: Any) -> tuple[Any, type[Exception]]:
    """A SandboxCore whose results cannot be made at first, and what is raised then."""
    module = load()
    makers = Makers(trouble[0])
    module.configure("exec", make_value=makers.result, make_error=makers.error)
    module.configure("write", make_error=makers.write_error)
    sandbox = module.SandboxCore()
    sandbox.open(module.Channel(channel.target), "sb-1")
    return sandbox, trouble[1]


def test_value(troubled: Any) -> None:
    sandbox, raised = troubled
    process = sandbox.exec(["greet"])
    with pytest.raises(raised):
        process.result(30)
    value = process.result(0)
    assert value.returncode == 3
    assert process.result(0) is value


def test_value_awaited(troubled: Any, run: Run) -> None:
    async def main() -> None:
        sandbox, raised = troubled
        process = sandbox.exec(["greet"])
        with pytest.raises(raised):
            await process
        assert (await process).returncode == 3

    run(main())


def test_error(troubled: Any) -> None:
    sandbox, raised = troubled
    process = sandbox.exec(["error"])
    with pytest.raises(raised):
        process.result(30)
    with pytest.raises(ExecError) as caught:
        process.result(0)
    with pytest.raises(ExecError) as again:
        process.poll()
    assert again.value is caught.value


def test_error_at_the_end_of_lines(troubled: Any) -> None:
    """The reader, too, has yet to tell the failure: a cut-off output must not look whole."""
    sandbox, raised = troubled
    stdout = sandbox.exec(["error"]).stdout
    assert next(stdout) == "partial\n"
    with pytest.raises(raised):
        next(stdout)
    with pytest.raises(ExecError):
        next(stdout)
    assert list(stdout) == []


def test_gap_in_lines(troubled: Any) -> None:
    """Output with a gap must not look whole, either."""
    sandbox, raised = troubled
    process = sandbox.exec(["much"], max_output_bytes=100)
    assert process.wait(30) == 0
    stdout = process.stdout
    assert next(stdout) == "\0" * 50
    with pytest.raises(raised):
        next(stdout)
    with pytest.raises(ExecError):
        next(stdout)
    assert list(stdout) == ["\x1f" * 50]


def test_write(troubled: Any) -> None:
    sandbox, raised = troubled
    process = sandbox.exec(["greet"], stdin=True)
    with pytest.raises(raised):
        process.result(30)
    assert process.result(0).returncode == 3
    written = []
    with pytest.raises(raised):
        written.append(process.stdin.write(b"x"))
    assert written == []
    with pytest.raises(WriteError):
        process.stdin.write(b"x")


def test_wrapped_future(core: ModuleType, trouble: Any, run: Run) -> None:
    cause, raised = trouble

    class Flaky(Future[Any]):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def exception(self, timeout: float | None = None) -> BaseException | None:
            self.calls += 1
            if self.calls == 1:
                cause()
            return super().exception(timeout)

    async def main() -> None:
        for how in ("result", "exception"):
            future = Flaky()
            operation = core.OperationRef(future)
            error = ValueError()
            future.set_result(5) if how == "result" else future.set_exception(error)
            with pytest.raises(raised):
                await operation
            if how == "result":
                assert await operation == 5
                assert operation.result() == 5
            else:
                with pytest.raises(ValueError) as caught:
                    operation.result()
                assert caught.value is error

    run(main())


def test_stack_that_is_just_too_deep(sandbox: Any) -> None:
    process = sandbox.exec(["greet"])
    assert list(process.stdout) == ["hello\n"]
    failed = 0

    def deeper() -> Any:
        """From as deep as possible, then from one level less at a time."""
        nonlocal failed
        try:
            return deeper()
        except RecursionError:
            failed += 1
            return process.result(30)

    assert deeper().returncode == 3
    assert failed > 1


def test_output_is_whole_after_memory_ran_out(
    peer: GrpcPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is freed goes back to the system, and nothing is reserved: so that the limit is one.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    options = os.environ.get("ASAN_OPTIONS", "")
    monkeypatch.setenv("ASAN_OPTIONS", f"{options}:allocator_may_return_null=1".lstrip(":"))
    body = """
import resource
channel = core.Channel(sys.argv[1])
sandbox = core.SandboxCore()
sandbox.open(channel, "sb-1")
expected = b"".join(bytes([n]) * (1 << 20) for n in range(32))
process = sandbox.exec(["much"])
output = process._output
assert process.wait(30) == 0

def limited(work):
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + (8 << 20), before[1]))
    try:
        work()
    except MemoryError:
        return True
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    return False

for _ in range(2):
    assert limited(lambda: output.bytes(False))
assert output.bytes(False) == expected
# From here on the memory is that of the bytes object.
assert not limited(lambda: output.bytes(False))
assert limited(lambda: core.decode(output.bytes(False)))
assert core.decode(output.bytes(False)).encode() == expected
assert output.bytes(False) is output.bytes(False)
"""
    assert run_script(body, peer.base_url) == ""
