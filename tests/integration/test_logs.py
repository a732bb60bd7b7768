"""Logs of real sandboxes, read by our client."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from conformance.relay import Relay
from cwsandbox import (
    Sandbox,
    SandboxDefaults,
    SandboxFailedError,
    SandboxNotFoundError,
    SandboxNotRunningError,
    SandboxStreamTruncatedError,
)
from integration.env import Daemon, eventually

pytestmark = pytest.mark.usefixtures("base_url")

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z ")


def running(script: str, base_url: str | None = None) -> Sandbox:
    """A sandbox whose main command is this shell script."""
    defaults = None if base_url is None else SandboxDefaults(base_url=base_url)
    return Sandbox.run("/bin/sh", "-c", script, defaults=defaults)


def waits_for(path: str) -> str:
    return f"while ! [ -e {path} ]; do sleep 0.02; done"


def touch(sandbox: Sandbox, path: str) -> None:
    with contextlib.suppress(SandboxNotRunningError):  # it may end with what it ends
        sandbox.exec(["touch", path], check=True).result()


@pytest.fixture(scope="module")
def ended(daemon: Daemon) -> Iterator[Sandbox]:
    """A sandbox that has printed two lines and ended."""
    with running("echo one; echo two >&2; printf rest; exit 3", daemon.base_url) as sandbox:
        with pytest.raises(SandboxFailedError):
            sandbox.wait_until_complete().result()
        yield sandbox


def test_a_command_that_fails_is_seen(ended: Sandbox) -> None:
    assert ended.returncode == 3
    assert sorted(ended.stream_logs()) == ["one\n", "rest", "two\n"]
    assert sorted(ended.stream_logs(follow=True)) == ["one\n", "rest", "two\n"]
    found = Sandbox.from_id(ended.sandbox_id or "").result()
    assert found.returncode == 3
    assert sorted(found.stream_logs()) == ["one\n", "rest", "two\n"]


@pytest.mark.parametrize("follow", [False, True])
def test_asked_for_before_it_runs(follow: bool) -> None:
    """However soon it has ended: what has an exit code has a log."""
    for code in (0, 3):
        with running(f"echo only; exit {code}") as sandbox:
            reader = sandbox.stream_logs(follow=follow)
            if follow:
                assert list(reader) == ["only\n"]
            else:
                assert list(reader) in ([], ["only\n"])


def test_the_window(ended: Sandbox) -> None:
    assert len(list(ended.stream_logs(tail_lines=1))) == 1
    assert len(list(ended.stream_logs(tail_lines=0))) == 3
    assert list(ended.stream_logs(since_time=datetime.now(UTC))) == []
    assert len(list(ended.stream_logs(since_time=datetime(2020, 1, 1, tzinfo=UTC)))) == 3
    stamped = list(ended.stream_logs(timestamps=True, follow=True))
    assert len(stamped) == 3
    assert all(STAMP.match(line) for line in stamped)


def test_following(sandbox: Sandbox) -> None:
    script = f"echo before; {waits_for('/tmp/go')}; echo after; {waits_for('/tmp/end')}"
    with running(script) as followed:
        reader = followed.stream_logs(follow=True)
        assert next(reader) == "before\n"
        touch(followed, "/tmp/go")
        assert next(reader) == "after\n"
        touch(followed, "/tmp/end")
        assert list(reader) == []
        followed.wait_until_complete().result()
    assert list(sandbox.stream_logs()) == []  # one that prints nothing


async def test_following_async() -> None:
    async with running("for i in $(seq 100); do echo $i; sleep 0.001; done") as sandbox:
        lines = [line async for line in sandbox.stream_logs(follow=True)]
    assert lines == [f"{i}\n" for i in range(1, 101)]


async def test_many_followers() -> None:
    async with running(f"{waits_for('/tmp/go')}; seq 20000") as sandbox:
        readers = [sandbox.stream_logs(follow=True) for _ in range(20)]

        async def read(i: int) -> list[str]:
            return [line async for line in readers[i]]

        tasks = [asyncio.create_task(read(i)) for i in range(20)]
        await asyncio.to_thread(touch, sandbox, "/tmp/go")
        for lines in await asyncio.gather(*tasks):
            assert lines == [f"{i}\n" for i in range(1, 20001)]


def test_a_flood_that_is_read_late() -> None:
    """The log is the daemon's, so the command is not held up; the reader gets all of it."""
    with running(f"seq 100000; touch /tmp/done; {waits_for('/tmp/end')}") as sandbox:
        reader = sandbox.stream_logs(follow=True)
        sandbox.exec(["/bin/sh", "-c", waits_for("/tmp/done")], check=True).result()
        touch(sandbox, "/tmp/end")
        assert [int(line) for line in reader] == list(range(1, 100_001))


def test_a_line_that_is_not_finished_is_there_as_a_chunk() -> None:
    with running(f"printf 'name? '; {waits_for('/tmp/go')}; echo Ada") as sandbox:
        reader = sandbox.stream_logs(follow=True)
        assert next(reader.chunks()) == "name? "
        touch(sandbox, "/tmp/go")
        assert list(reader) == ["Ada\n"]


def test_bytes_that_are_no_text() -> None:
    with running(r"printf '\377\303\n\303'; sleep 0.1; printf '\251\n'") as sandbox:
        assert list(sandbox.stream_logs(follow=True)) == ["\ufffd\ufffd\n", "é\n"]


def test_stop_ends_it_with_all_that_was_printed() -> None:
    with running("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done") as sandbox:
        reader = sandbox.stream_logs(follow=True)
        assert next(reader) == "up\n"
        sandbox.stop().result()
        assert list(reader) == ["bye\n"]
        assert list(sandbox.stream_logs(follow=True)) == ["up\n", "bye\n"]


def test_one_that_is_not_there(daemon: Daemon) -> None:
    with running("echo x; sleep 60") as sandbox:
        reader = sandbox.stream_logs(container="nobody")
        with pytest.raises(Exception, match="nobody"):
            list(reader)
    with pytest.raises(SandboxNotFoundError):
        Sandbox.from_id("sb-none").result()


# ---- a connection that breaks ----


@pytest.fixture
def relay(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """The way to a daemon, for new sandboxes."""
    monkeypatch.setenv("CWSANDBOX_API_KEY", "secret-of-this-test")
    with Daemon(short_folder, token="secret-of-this-test") as daemon:
        relay = Relay(daemon.base_url)
        monkeypatch.setenv("CWSANDBOX_BASE_URL", relay.url)
        yield relay
        relay.close()


def test_nothing_twice_and_nothing_lost(relay: Relay) -> None:
    """Each part begins when the connection was cut within the one before: there is always something yet to come."""
    parts, half = 6, 2500
    script = (
        f"for part in $(seq 0 {parts - 1}); do {waits_for('/tmp/go-$part')}; "
        f"seq $((part * {2 * half} + 1)) $(((part + 1) * {2 * half})); done"
    )
    with Sandbox.run("/bin/sh", "-c", script, data_plane_mode="gateway") as sandbox:
        past_the_relay = Sandbox.from_id(
            str(sandbox.sandbox_id), base_url=relay.upstream, data_plane_mode="gateway"
        ).result()
        reader = sandbox.stream_logs(follow=True)
        lines: list[str] = []
        for part in range(parts):
            touch(past_the_relay, f"/tmp/go-{part}")
            lines += itertools.islice(reader, half)
            relay.cut()
            lines += itertools.islice(reader, half)
        assert [int(line) for line in lines] == list(range(1, 2 * half * parts + 1))
        assert list(reader) == []
        assert len(relay.ways) >= parts


def test_a_connection_that_breaks_while_nobody_reads(relay: Relay) -> None:
    with running("seq 500000") as sandbox:
        reader = sandbox.stream_logs(follow=True)
        assert next(reader) == "1\n"
        sandbox.wait_until_complete().result()
        relay.cut()
        assert [int(line) for line in reader] == list(range(2, 500_001))


def test_readers_on_several_threads(relay: Relay) -> None:
    script = f"{waits_for('/tmp/go')}; seq 50000"
    with running(script) as sandbox:
        reader = sandbox.stream_logs(follow=True)
        taken: list[list[int]] = [[] for _ in range(4)]

        def read(into: list[int]) -> None:
            into.extend(int(line) for line in reader)

        threads = [threading.Thread(target=read, args=(into,)) for into in taken]
        for thread in threads:
            thread.start()
        touch(sandbox, "/tmp/go")
        eventually(lambda: sum(map(len, taken)) > 1000, "lines come")
        relay.cut()
        for thread in threads:
            thread.join(30)
        assert sorted(itertools.chain(*taken)) == list(range(1, 50_001))


def test_who_is_too_slow_is_told() -> None:
    """In order and without a line twice up to where output is missing; never as if that were all."""
    with running("seq 3000000; echo the end") as sandbox:
        reader = sandbox.stream_logs(follow=True)
        assert next(reader) == "1\n"
        sandbox.wait_until_complete().result()
        lines: list[str] = []
        with pytest.raises(SandboxStreamTruncatedError) as caught:
            lines.extend(reader)
        # The last one may be the beginning of a line: what has come is not kept back.
        numbers = [int(line) for line in lines if line.endswith("\n")]
        assert len(lines) - len(numbers) <= 1
        assert numbers == list(range(2, len(numbers) + 2))
        assert caught.value.stream_code == "STREAM_TRUNCATED"
        assert list(reader) == []
        assert list(sandbox.stream_logs(tail_lines=1)) == ["the end\n"]
