"""trace(): what Python code is told of operations, and the header fields that it gives them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from types import ModuleType
from typing import Any

import grpc
import pytest

from conformance.grpc_peer import Call, GrpcPeer
from native.conftest import Run

GET = "SandboxService/GetSandbox"


def take(ended: Any) -> Any:
    """The first that has ended, if any."""
    taken = ended.take()
    if taken is not None:
        ended.done()
    return taken


class Tracer:
    """Records what it is told. ``fields`` go with each call."""

    def __init__(self, core: ModuleType) -> None:
        self.fields: Any = (("traceparent", "00-1-2-01"),)
        self.begun: list[tuple[str, Any, Any, int]] = []
        self.calls = 0
        self._queue = core.Ended()

    def begin(self, kind: str, subject: Any, detail: Any) -> Any:
        self.begun.append((kind, subject, detail, threading.get_ident()))
        return len(self.begun), self.fields

    def ended(self) -> None:
        self.calls += 1

    def take(self) -> Any:
        return take(self._queue)

    async def next(self) -> Any:
        """Waits for one to end."""
        async with asyncio.timeout(20):
            async for _ in self._queue:
                if (taken := take(self._queue)) is not None:
                    return taken
        raise AssertionError("the queue has no end")


@pytest.fixture
def tracer(core: ModuleType) -> Iterator[Tracer]:
    made = Tracer(core)
    core.trace(made.begin, made.ended)
    yield made
    core.trace(None, None)


@pytest.fixture
def sandbox(core: ModuleType, channel: Any) -> Any:
    made = core.SandboxCore()
    made.open(channel, "sb-1")
    return made


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: seen.append(what.exc_value))
    return seen


async def three(call: Call) -> None:
    await call.ready()
    await call.out(b"out\n")
    await call.exit(3)


def last(peer: GrpcPeer, method: str) -> dict[str, Any]:
    return dict(peer.metadata[method][-1])


def test_a_call(channel: Any, peer: GrpcPeer, tracer: Tracer) -> None:
    channel.unary(GET, {"sandbox_id": "x"}).result()
    assert tracer.calls == 1
    owner, how, exit_code, code, text, reason, sent, ended = tracer.take()
    assert (owner, how, exit_code, code, text, reason) == (1, "done", 0, 0, None, None)
    assert 0 < sent <= ended
    assert tracer.take() is None
    assert tracer.begun == [("unary", channel, GET, threading.get_ident())]
    assert last(peer, "GetSandbox")["traceparent"] == "00-1-2-01"


def test_each_call_has_its_own_fields(channel: Any, peer: GrpcPeer, tracer: Tracer) -> None:
    for number in range(5):
        tracer.fields = [("number", str(number)), ("trace-bin", bytes([number, 255]))]
        channel.unary(GET, {}).result()
        seen = last(peer, "GetSandbox")
        assert (seen["number"], seen["trace-bin"]) == (str(number), bytes([number, 255]))
        assert "traceparent" not in seen
    while tracer.take():
        pass


def test_a_call_that_fails(channel: Any, peer: GrpcPeer, tracer: Tracer) -> None:
    async def refuse(request: Any, context: Any) -> Any:
        await peer.fail(context, grpc.StatusCode.RESOURCE_EXHAUSTED, message="viel zu groß")

    peer.overrides["GetSandbox"] = refuse
    try:
        with pytest.raises(Exception, match="groß"):
            channel.unary(GET, {}).result()
    finally:
        del peer.overrides["GetSandbox"]
    assert tracer.take()[:6] == (1, "status", 0, 8, "viel zu groß", None)


def test_a_command(sandbox: Any, peer: GrpcPeer, tracer: Tracer) -> None:
    peer.scripts["three"] = three
    assert sandbox.exec(["three", "word"]).result().returncode == 3
    assert tracer.begun[0][:3] == ("exec", sandbox, ("three", "word"))
    assert tracer.take()[:4] == (1, "exited", 3, 0)
    assert sandbox.exec(["three"]).wait() == 3  # which makes no result
    assert tracer.calls == 2
    assert tracer.take()[:3] == (2, "exited", 3)
    assert last(peer, "StreamExec")["traceparent"] == "00-1-2-01"


def test_an_error_in_the_stream(sandbox: Any, peer: GrpcPeer, tracer: Tracer) -> None:
    @peer.command("fail")
    async def fail(call: Call) -> None:
        await call.error("COMMAND_LOST", "it is gone")

    process = sandbox.exec(["fail"])
    with pytest.raises(Exception, match="it is gone"):
        process.result()
    assert tracer.take()[:6] == (1, "frame", 0, 2, "it is gone", "COMMAND_LOST")


def test_commands_that_nobody_asks_for(
    sandbox: Any, peer: GrpcPeer, tracer: Tracer, run: Run
) -> None:
    """The queue wakes who waits for it; the operation's object is long gone."""
    peer.scripts["three"] = three

    async def main() -> Any:
        waiting = asyncio.ensure_future(tracer.next())
        await asyncio.sleep(0)
        sandbox.exec(["three"])
        return await waiting

    assert run(main())[:3] == (1, "exited", 3)


def test_a_command_that_is_cancelled_or_waits_in_vain(
    core: ModuleType, tracer: Tracer, run: Run
) -> None:
    sandbox = core.SandboxCore()

    async def main() -> list[Any]:
        sandbox.exec(["never"]).cancel()
        ends = [await tracer.next()]
        waits = sandbox.exec(["never"])
        sandbox.fail(ValueError("no"))
        ends.append(await tracer.next())
        del waits
        sandbox.close(ValueError("closed"))
        sandbox.exec(["never"])
        return [*ends, await tracer.next()]

    ends = run(main())
    assert [(end[1], end[6]) for end in ends] == [("cancelled", 0), ("not_open", 0), ("closed", 0)]


def test_files_and_logs(sandbox: Any, peer: GrpcPeer, tracer: Tracer, run: Run) -> None:
    async def log(request: Any, context: Any) -> None:
        return

    peer.logs = [log]
    sandbox.write_file("/a", b"content").result()
    sandbox.read_file("/a").result()
    with pytest.raises(Exception, match="no"):
        sandbox.read_file("/none").result()
    list(sandbox.stream_logs(False, 0, None, False))
    assert [kind for kind, *_ in tracer.begun] == [
        *("write_file", "read_file", "read_file", "stream_logs")
    ]
    assert tracer.begun[0][2] == "/a"

    async def rest() -> list[Any]:
        return [await tracer.next() for _ in range(4)]

    assert [end[1] for end in run(rest())] == ["done", "done", "status", "done"]
    for method in ("WriteFile", "ReadFile", "StreamLogs"):
        assert last(peer, method)["traceparent"] == "00-1-2-01"


def test_one_that_is_not_traced(channel: Any, peer: GrpcPeer, core: ModuleType) -> None:
    kinds: list[str] = []
    core.trace(lambda kind, subject, detail: kinds.append(kind), lambda: kinds.append("ended"))
    try:
        channel.unary(GET, {}).result()
    finally:
        core.trace(None, None)
    channel.unary(GET, {}).result()
    assert kinds == ["unary"]
    assert "traceparent" not in last(peer, "GetSandbox")


WRONG: dict[str, Callable[[], Any]] = {
    "raises": lambda: 1 / 0,
    "no pair": lambda: 7,
    "a longer tuple": lambda: (1, (), 3),
    "fields that are none": lambda: (1, 7),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_tracer_that_is_wrong_harms_no_operation(
    channel: Any, core: ModuleType, unraisable: list[Any], wrong: Callable[[], Any]
) -> None:
    core.trace(lambda *_: wrong(), lambda: None)
    try:
        assert channel.unary(GET, {"sandbox_id": "x"}).result()["sandbox_id"] == "x"
    finally:
        core.trace(None, None)
    assert [type(error) for error in unraisable] in ([ZeroDivisionError], [TypeError])
    assert take(core.Ended()) is None


@pytest.mark.parametrize(
    "field",
    [("te", "x"), ("grpc-timeout", "1S"), ("name", "new\nline"), ("b d", "x"), ("x",), 7],
)
def test_a_field_that_cannot_be_sent_is_left_out(
    channel: Any, peer: GrpcPeer, tracer: Tracer, unraisable: list[Any], field: Any
) -> None:
    tracer.fields = [("before", "1"), field, ("after", "2")]
    channel.unary(GET, {}).result()
    seen = last(peer, "GetSandbox")
    assert (seen["before"], seen["after"]) == ("1", "2")
    assert len(unraisable) == 1
    assert tracer.take()[1] == "done"


def test_who_asks_for_what_python_completed(
    core: ModuleType, sandbox: Any, peer: GrpcPeer, tracer: Tracer, run: Run
) -> None:
    """Its span is ended before the outcome is there, as everybody's."""

    async def refuse(request: Any, context: Any) -> None:
        await peer.fail(
            context, grpc.StatusCode.INTERNAL, "CWSANDBOX_FILE_TOO_LARGE", size_bytes="5"
        )

    async def main() -> None:
        operations = [sandbox.read_file(f"/{number}") for number in range(3)]
        unfinished = core.UnfinishedFiles()
        first, second, third = [await anext(unfinished) for _ in operations]
        first._set_result(b"x")
        second._set_exception(KeyError("two"))
        third._cancel()
        for number, operation in enumerate((first, second, third), 1):
            with contextlib.suppress(KeyError, CancelledError):
                operation.result()
            assert tracer.calls == number

    peer.overrides["ReadFile"] = refuse
    try:
        run(main())
    finally:
        del peer.overrides["ReadFile"]
    assert [tracer.take()[1] for _ in range(3)] == ["done", "failed", "cancelled"]


def test_who_asks_waits_for_a_span_that_is_about_to_end(
    core: ModuleType, channel: Any, tracer: Tracer
) -> None:
    call = channel.unary(GET, {})
    call.result()
    ended = core.Ended()
    assert ended.take()[0] == 1
    for count in (2, 3):
        call.result()
        assert tracer.calls == count
    ended.done()
    call.result()
    assert tracer.calls == 3
    with pytest.raises(RuntimeError, match=r"without a take"):
        ended.done()


def test_more_fields_than_a_call_may_have(
    channel: Any, peer: GrpcPeer, tracer: Tracer, unraisable: list[Any]
) -> None:
    tracer.fields = [(f"field-{number}", "x") for number in range(18)]
    channel.unary(GET, {}).result()
    assert sum(name.startswith("field-") for name in last(peer, "GetSandbox")) == 16
    assert [str(error)[:10] for error in unraisable] == ["'field-16'", "'field-17'"]
    tracer.fields = [("large", "x" * 9000)]
    channel.unary(GET, {}).result()
    assert "'large' is too much for one call" in str(unraisable[-1])
    assert tracer.take()[0] == 1
    assert tracer.take()[0] == 2


def test_ctrl_c_in_the_tracer_is_raised(channel: Any, core: ModuleType, sandbox: Any) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    core.trace(interrupted, lambda: None)
    try:
        for begin in (
            lambda: channel.unary(GET, {}),
            lambda: sandbox.exec(["x"]),
            lambda: sandbox.read_file("/x"),
            lambda: sandbox.write_file("/x", b""),
            lambda: sandbox.stream_logs(False, 0, None, False),
        ):
            with pytest.raises(KeyboardInterrupt):
                begin()
    finally:
        core.trace(None, None)


def test_ctrl_c_in_what_ends_is_raised(
    channel: Any, core: ModuleType, sandbox: Any, peer: GrpcPeer
) -> None:
    """To whoever asks for the outcome, which stays as it is."""
    peer.scripts["three"] = three

    def interrupted() -> None:
        core.trace(lambda *_: None, lambda: None)
        raise KeyboardInterrupt

    for begin, ask in (
        (lambda: channel.unary(GET, {"sandbox_id": "x"}), lambda call: call.result()["sandbox_id"]),
        (lambda: sandbox.exec(["three"]), lambda process: process.wait()),
    ):
        core.trace(lambda *_: (1, ()), interrupted)
        try:
            begun = begin()
            with pytest.raises(KeyboardInterrupt):
                ask(begun)
            assert ask(begun) in ("x", 3)
        finally:
            core.trace(None, None)
        assert take(core.Ended())[0] == 1


def test_what_ended_raises_is_reported(
    channel: Any, core: ModuleType, unraisable: list[Any]
) -> None:
    core.trace(lambda *_: (1, ()), lambda: 1 / 0)
    try:
        assert channel.unary(GET, {"sandbox_id": "x"}).result()["sandbox_id"] == "x"
    finally:
        core.trace(None, None)
    assert [type(error) for error in unraisable] == [ZeroDivisionError]
    assert take(core.Ended())[1] == "done"


def test_owners_are_let_go(channel: Any, core: ModuleType) -> None:
    class Owner:
        pass

    owners: list[weakref.ref[Owner]] = []

    def begin(*_: Any) -> Any:
        owner = Owner()
        owners.append(weakref.ref(owner))
        return owner, ()

    core.trace(begin, lambda: None)
    try:
        channel.unary(GET, {}).result()
    finally:
        core.trace(None, None)
    assert owners[0]() is not None
    take(core.Ended())
    gc.collect()
    assert owners[0]() is None


@pytest.mark.parametrize("given", [(None, print), (print, None), (1, 2)])
def test_what_is_no_tracer(core: ModuleType, given: tuple[Any, Any]) -> None:
    with pytest.raises(TypeError, match=r"trace\(\) takes"):
        core.trace(*given)
