"""Our client's logs against a grpcio server."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from conformance.grpc_peer import GrpcPeer
from cwsandbox import (
    CWSandboxAuthenticationError,
    Sandbox,
    SandboxError,
    SandboxFailedError,
    SandboxNotFoundError,
    SandboxNotRunningError,
    SandboxRequestTimeoutError,
    SandboxResourceExhaustedError,
    SandboxStreamTruncatedError,
)
from integration.env import eventually

Script = Callable[[Any, Any], Awaitable[None]]


def sends(peer: GrpcPeer, *pieces: bytes, then: Script | None = None) -> Script:
    """Each piece as an entry of a session "s", then the end or what ``then`` does."""

    async def script(request: Any, context: Any) -> None:
        offset = request.resume_log_offset
        for piece in pieces:
            offset += len(piece)
            entry = peer.pb.LogEntry(data=piece, log_session_id="s", next_log_offset=offset)
            await context.write(entry)
        if then is not None:
            await then(request, context)

    return script


def in_band(peer: GrpcPeer, code: str, message: str = "in words", data: bytes = b"") -> Script:
    async def script(request: Any, context: Any) -> None:
        error = peer.pb.LogStreamError(code=code, message=message)
        await context.write(peer.pb.LogEntry(error=error, data=data))

    return script


def fails(peer: GrpcPeer, code: grpc.StatusCode, reason: str | None = None, **how: Any) -> Script:
    async def script(request: Any, context: Any) -> None:
        await peer.fail(context, code, reason, **how)

    return script


async def stay(request: Any, context: Any) -> None:
    await asyncio.Event().wait()


def test_what_is_sent(grpc_peer: GrpcPeer) -> None:
    grpc_peer.logs = [sends(grpc_peer)]
    since = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    with Sandbox.run() as sandbox:
        assert list(sandbox.stream_logs()) == []
        reader = sandbox.stream_logs(
            follow=True,
            tail_lines=5,
            since_time=since,
            timestamps=True,
            container=" side ",
            timeout_seconds=1,
        )
        assert list(reader) == []
        assert list(sandbox.stream_logs(timeout_seconds=20)) == []
        assert list(sandbox.stream_logs(timeout_seconds=math.inf)) == []
        assert sandbox.exec_stats["exec_count"] == 0
    first, second, *_ = grpc_peer.log_requests
    assert first == grpc_peer.pb.StreamLogsRequest(sandbox_id=sandbox.sandbox_id)
    assert (second.follow, second.tail_lines, second.timestamps) == (True, 5, True)
    assert second.container == "side"
    assert second.since_time.ToDatetime(UTC) == since
    default, follow, short, unlimited = grpc_peer.deadlines["StreamLogs"]
    assert default is not None
    assert 290 < default <= 300 * 1.02
    assert short is not None
    assert 15 < short <= 20 * 1.02
    assert follow is None
    assert unlimited is None


def test_lines_and_characters_are_whole(grpc_peer: GrpcPeer) -> None:
    text = "a\r\n\n\x0bé€😀\nrest"
    pieces = [text.encode()[i : i + 1] for i in range(len(text.encode()))]
    grpc_peer.logs = [sends(grpc_peer, *pieces)]
    with Sandbox.run() as sandbox:
        assert list(sandbox.stream_logs()) == ["a\r\n", "\n", "\x0bé€😀\n", "rest"]
        chunks = list(sandbox.stream_logs(follow=True).chunks())
    assert "".join(chunks) == text
    assert "\ufffd" not in "".join(chunks)


@pytest.mark.parametrize("follow", [False, True])
def test_long_lines(grpc_peer: GrpcPeer, follow: bool) -> None:
    longest = b"x" * (1024 * 1024 - 1) + b"\n"
    grpc_peer.logs = [sends(grpc_peer, longest[:700_000], longest[700_000:], b"y" + longest, b"z")]
    with Sandbox.run() as sandbox:
        lines = list(sandbox.stream_logs(follow=follow))
    assert [len(line) for line in lines] == [1024 * 1024, 1024 * 1024, 1, 1]
    assert "".join(lines).encode() == longest + b"y" + longest + b"z"


async def test_async(grpc_peer: GrpcPeer) -> None:
    grpc_peer.logs = [sends(grpc_peer, b"one\ntwo\n", b"three")]
    async with Sandbox.run() as sandbox:
        reader = sandbox.stream_logs(follow=True)
        assert [line async for line in reader] == ["one\n", "two\n", "three"]
        assert [line async for line in reader] == []


def test_several_threads_share_a_reader(grpc_peer: GrpcPeer) -> None:
    grpc_peer.logs = [sends(grpc_peer, *(b"%d\n" % i for i in range(20_000)))]
    taken: list[list[str]] = [[] for _ in range(4)]
    with Sandbox.run() as sandbox:
        reader = sandbox.stream_logs(follow=True)

        def read(into: list[str]) -> None:
            into.extend(reader)

        threads = [threading.Thread(target=read, args=(into,)) for into in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(int(line) for into in taken for line in into) == list(range(20_000))
    for into in taken:
        assert into == sorted(into, key=int)


# ---- failures ----

STATUSES = [
    (grpc.StatusCode.NOT_FOUND, None, SandboxNotFoundError),
    (grpc.StatusCode.CANCELLED, None, SandboxNotRunningError),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, None, SandboxResourceExhaustedError),
    (grpc.StatusCode.PERMISSION_DENIED, None, CWSandboxAuthenticationError),
    (
        grpc.StatusCode.FAILED_PRECONDITION,
        "CWSANDBOX_SANDBOX_NOT_RUNNING",
        SandboxNotRunningError,
    ),
    # Not asked again, though the status alone would say so.
    (grpc.StatusCode.UNAVAILABLE, "CWSANDBOX_SANDBOX_NOT_FOUND", SandboxNotFoundError),
]


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize(("code", "reason", "kind"), STATUSES)
def test_final_statuses(
    grpc_peer: GrpcPeer,
    code: grpc.StatusCode,
    reason: str | None,
    kind: type[SandboxError],
    follow: bool,
) -> None:
    grpc_peer.logs = [sends(grpc_peer, b"a\nb", then=fails(grpc_peer, code, reason))]
    with Sandbox.run() as sandbox:
        reader = sandbox.stream_logs(follow=follow)
        assert [next(reader), next(reader)] == ["a\n", "b"]
        with pytest.raises(kind) as caught:
            next(reader)
        assert list(reader) == []  # told once
    assert caught.value.reason == reason
    if isinstance(caught.value, SandboxNotFoundError):
        assert caught.value.sandbox_id == sandbox.sandbox_id
    assert len(grpc_peer.log_requests) == 1


@pytest.mark.parametrize(
    ("code", "follow"),
    [
        *(("STREAM_TRUNCATED", follow) for follow in (False, True)),
        *(("INVALID_RESUME_OFFSET", follow) for follow in (False, True)),
        *((code, False) for code in ("STREAM_INTERRUPTED", "SESSION_NOT_FOUND", "REPLAY_GAP")),
    ],
)
def test_final_codes(grpc_peer: GrpcPeer, code: str, follow: bool) -> None:
    error = in_band(grpc_peer, code, data=b"not this\n")
    grpc_peer.logs = [sends(grpc_peer, b"a\n", then=error)]
    with Sandbox.run() as sandbox:
        reader = sandbox.stream_logs(follow=follow)
        assert next(reader) == "a\n"
        with pytest.raises(SandboxError, match="in words") as caught:
            next(reader)
    assert caught.value.reason == code
    if code == "STREAM_TRUNCATED":
        assert isinstance(caught.value, SandboxStreamTruncatedError)
        assert caught.value.stream_code == code
    assert len(grpc_peer.log_requests) == 1


def test_an_error_without_a_code_is_an_entry(grpc_peer: GrpcPeer) -> None:
    grpc_peer.logs = [
        sends(grpc_peer, b"a\n", then=in_band(grpc_peer, "", data=b"b\n")),
    ]
    with Sandbox.run() as sandbox:
        assert list(sandbox.stream_logs()) == ["a\n", "b\n"]


def test_a_time_limit(grpc_peer: GrpcPeer) -> None:
    grpc_peer.logs = [sends(grpc_peer, b"a\n", then=stay)]
    with Sandbox.run() as sandbox:
        sandbox.wait()
        reader = sandbox.stream_logs(timeout_seconds=3)
        assert next(reader) == "a\n"
        with pytest.raises(SandboxRequestTimeoutError):
            next(reader)


# ---- going on ----


def test_it_goes_on_where_it_was(grpc_peer: GrpcPeer) -> None:
    unavailable = fails(grpc_peer, grpc.StatusCode.UNAVAILABLE)
    grpc_peer.logs = [
        sends(grpc_peer, b"one\ntw", then=unavailable),
        unavailable,
        sends(grpc_peer, b"o\nth", then=in_band(grpc_peer, "STREAM_INTERRUPTED")),
        sends(grpc_peer, b"ree\n"),
    ]
    with Sandbox.run() as sandbox:
        lines = list(sandbox.stream_logs(follow=True, tail_lines=9, timestamps=True))
    assert lines == ["one\n", "two\n", "three\n"]
    asked = [
        (r.resume_log_session_id, r.resume_log_offset, r.tail_lines, r.timestamps)
        for r in grpc_peer.log_requests
    ]
    assert asked == [
        ("", 0, 9, True),
        ("s", 6, 0, False),
        ("s", 6, 0, False),
        ("s", 10, 0, False),
    ]


@pytest.mark.parametrize("code", ["SESSION_NOT_FOUND", "REPLAY_GAP", "RUNNER_DRAINING"])
def test_a_lost_session_drops_the_unfinished_line(grpc_peer: GrpcPeer, code: str) -> None:
    begun = datetime.now(UTC)
    grpc_peer.logs = [
        sends(
            grpc_peer, b"one\npart", then=fails(grpc_peer, grpc.StatusCode.INTERNAL, message="x")
        ),
        in_band(grpc_peer, code),
        sends(grpc_peer, b"two\n"),
    ]
    with Sandbox.run() as sandbox:
        assert list(sandbox.stream_logs(follow=True, tail_lines=3)) == ["one\n", "two\n"]
    last = grpc_peer.log_requests[-1]
    assert (last.resume_log_session_id, last.tail_lines) == ("", 0)
    assert begun <= last.since_time.ToDatetime(UTC) <= datetime.now(UTC)


def test_the_service_says_when(grpc_peer: GrpcPeer) -> None:
    times: list[float] = []

    async def later(request: Any, context: Any) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            await grpc_peer.fail(context, grpc.StatusCode.UNAVAILABLE, retry_after=1.0)

    grpc_peer.logs = [later]
    with Sandbox.run() as sandbox:
        assert list(sandbox.stream_logs(follow=True)) == []
    assert times[1] - times[0] >= 0.95


# ---- its end from this side ----


def test_who_lets_go_ends_the_call(grpc_peer: GrpcPeer) -> None:
    ended: list[str] = []

    async def stay_noted(request: Any, context: Any) -> None:
        try:
            await stay(request, context)
        except asyncio.CancelledError:
            ended.append(request.container)
            raise

    grpc_peer.logs = [sends(grpc_peer, b"a\n", then=stay_noted)]
    with Sandbox.run() as sandbox:
        closed = sandbox.stream_logs(follow=True, container="closed")
        assert next(closed) == "a\n"
        closed.close()
        assert list(closed) == []
        eventually(lambda: ended == ["closed"], "close() ends the call")
        dropped = sandbox.stream_logs(follow=True, container="dropped")
        assert next(dropped) == "a\n"
        del dropped
        gc.collect()
        eventually(lambda: ended == ["closed", "dropped"], "dropping the reader ends the call")
        chunks = sandbox.stream_logs(follow=True, container="chunks").chunks()
        assert next(chunks) == "a\n"  # this reader alone keeps the log
        assert len(ended) == 2
        del chunks
        gc.collect()
        eventually(lambda: len(ended) == 3, "dropping the last reader ends the call")


def test_close_wakes_who_waits(grpc_peer: GrpcPeer) -> None:
    grpc_peer.logs = [stay]
    with Sandbox.run() as sandbox:
        reader = sandbox.stream_logs(follow=True)
        lines: list[str] = ["not yet"]

        def read() -> None:
            lines[:] = list(reader)

        thread = threading.Thread(target=read)
        thread.start()
        eventually(lambda: len(grpc_peer.log_requests) == 1, "it is asked for")
        reader.close()
        thread.join(20)
        assert lines == []


def test_stop_ends_the_reader(grpc_peer: GrpcPeer) -> None:
    """A service that does not end the log is not waited for without end."""
    grpc_peer.logs = [sends(grpc_peer, b"a\n", then=stay)]
    sandbox = Sandbox.run()
    reader = sandbox.stream_logs(follow=True)
    assert next(reader) == "a\n"
    sandbox.stop().result()
    with pytest.raises(SandboxNotRunningError, match="has been stopped"):
        next(reader)
    assert list(reader) == []


def test_what_comes_while_it_is_stopped_is_read(grpc_peer: GrpcPeer) -> None:
    told = grpc_peer.event()

    async def ends_late(request: Any, context: Any) -> None:
        await told.wait()
        await context.write(grpc_peer.pb.LogEntry(data=b"last\n"))

    grpc_peer.logs = [sends(grpc_peer, b"a\n", then=ends_late)]
    sandbox = Sandbox.run()
    reader = sandbox.stream_logs(follow=True)
    assert next(reader) == "a\n"
    sandbox.stop().result()
    grpc_peer.set(told)
    assert list(reader) == ["last\n"]


@pytest.mark.parametrize("follow", [False, True])
def test_a_stopped_sandbox_is_asked(grpc_peer: GrpcPeer, follow: bool) -> None:
    grpc_peer.logs = [sends(grpc_peer, b"old\n")]
    sandbox = Sandbox.run()
    sandbox.wait()
    sandbox.stop().result()
    assert list(sandbox.stream_logs(follow=follow)) == ["old\n"]
    found = Sandbox.from_id(sandbox.sandbox_id or "").result()
    assert list(found.stream_logs(follow=follow)) == ["old\n"]


def test_never_started(grpc_peer: GrpcPeer) -> None:
    grpc_peer.logs = [sends(grpc_peer, b"a\n")]
    sandbox = Sandbox()
    assert list(sandbox.stream_logs()) == ["a\n"]  # it is started for that
    sandbox.stop().result()
    cancelled = Sandbox()
    cancelled.stop().result()
    with pytest.raises(SandboxNotRunningError, match="has been stopped"):
        next(cancelled.stream_logs())


@pytest.mark.parametrize("exit_code", [None, 3])
def test_one_that_fails_before_it_was_seen_to_run(
    grpc_peer: GrpcPeer, exit_code: int | None
) -> None:
    """With an exit code it did run, and its log says why."""

    async def failed(request: Any, context: Any) -> Any:
        status = grpc_peer.pb.SandboxStatus(state=grpc_peer.pb.STATE_FAILED, exit_code=exit_code)
        return grpc_peer.pb.Sandbox(sandbox_id=request.sandbox_id, status=status)

    grpc_peer.logs = [sends(grpc_peer, b"why\n")]
    grpc_peer.overrides["GetSandbox"] = failed
    reader = Sandbox.run("/bin/sh", "-c", "exit 3").stream_logs(follow=True)
    if exit_code is not None:
        assert list(reader) == ["why\n"]
        return
    with pytest.raises(SandboxFailedError):
        next(reader)
    assert list(reader) == []
    assert grpc_peer.log_requests == []


@pytest.mark.parametrize("metadata", [True, False])
def test_a_session_of_another_shard_is_forgotten(grpc_peer: GrpcPeer, metadata: bool) -> None:
    shards = {"owner_shard_id": "a", "local_shard_id": "b"} if metadata else {}
    unavailable = grpc.StatusCode.UNAVAILABLE
    reason = "CWSANDBOX_BACKEND_UNAVAILABLE"
    grpc_peer.logs = [
        sends(grpc_peer, b"one\n", b"half", then=fails(grpc_peer, unavailable)),
        fails(grpc_peer, unavailable, reason, **shards),
        sends(grpc_peer, b"two\n"),
    ]
    with Sandbox.run() as sandbox:
        lines = list(sandbox.stream_logs(follow=True))
    sessions = [request.resume_log_session_id for request in grpc_peer.log_requests]
    if metadata:
        assert (sessions, lines) == (["", "s", ""], ["one\n", "two\n"])
    else:
        assert (sessions, lines) == (["", "s", "s"], ["one\n", "halftwo\n"])
