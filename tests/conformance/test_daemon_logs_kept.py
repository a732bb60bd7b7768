"""Logs outlive the daemon, as far as they were written."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from conformance import protos
from conformance.daemon_client import create, get, run, wait_end
from conformance.log_reading import entries, log, open_log, read_until
from integration.env import Daemon, eventually

pb = protos.messages()


def daemon_on(folder: Path, *more: str) -> Daemon:
    return Daemon(folder / "d", arguments=("--data-dir", str(folder / "data"), *more))


@contextlib.contextmanager
def stub_of(daemon: Daemon) -> Iterator[Any]:
    with grpc.insecure_channel(daemon.base_url) as channel:
        grpc.channel_ready_future(channel).result(timeout=20)
        yield protos.stubs().SandboxServiceStub(channel)


@pytest.fixture
def daemon(short_folder: Path) -> Iterator[Daemon]:
    """Not started yet."""
    with contextlib.ExitStack() as stack:
        made = daemon_on(short_folder)
        stack.push(made)
        yield made


def several(stub: Any, *scripts: str) -> str:
    containers = [
        pb.Container(
            name=f"c{i}", image="python:3.11", command="sh", args=["-c", script], primary=i == 0
        )
        for i, script in enumerate(scripts)
    ]
    sandbox = pb.Sandbox(spec=pb.SandboxSpec(containers=containers))
    made: str = stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=sandbox)).sandbox_id
    return made


def test_every_request_is_answered_as_before(daemon: Daemon) -> None:
    with stub_of(daemon.start()) as stub:
        ended = create(stub, "seq 5000; printf 'no end'; exit 3")
        silent = create(stub, "exit 0")
        until = "until test -e /tmp/end; do sleep 0.02; done"
        both = several(stub, f"echo first; {until}", "echo second")
        second = open_log(stub, both, container="c1", follow=True)
        assert read_until(second, b"second\n") == b"second\n"
        with contextlib.suppress(grpc.RpcError):  # it may end with the sandbox
            run(stub, both, "touch /tmp/end")
        for sandbox_id in (ended, silent, both):
            wait_end(stub, sandbox_id)
        stamped = log(stub, ended, timestamps=True)
        half = entries(stub, ended, follow=True)
        session, offset = half[0].log_session_id, len("1\n2\n3\n")
    daemon.stop()
    for _ in range(2):
        with stub_of(daemon.start()) as stub:
            assert log(stub, ended) == b"".join(b"%d\n" % i for i in range(1, 5001)) + b"no end"
            assert log(stub, ended, tail_lines=2) == b"5000\nno end"
            assert log(stub, ended, timestamps=True) == stamped
            times = entries(stub, ended)[0].timestamp
            assert log(stub, ended, since_time=times).endswith(b"no end")
            times.seconds += 3600
            assert log(stub, ended, since_time=times) == b""
            again = log(
                stub, ended, follow=True, resume_log_session_id=session, resume_log_offset=offset
            )
            assert again.startswith(b"4\n5\n")
            assert again.endswith(b"5000\nno end")
            assert log(stub, silent) == b""
            assert log(stub, both) == b"first\n"
            assert log(stub, both, container="c1") == b"second\n"
        daemon.kill()


def test_a_killed_daemon_leaves_what_was_written(daemon: Daemon, short_folder: Path) -> None:
    with stub_of(daemon.start()) as stub:
        living = create(stub, "i=0; while :; do i=$((i+1)); echo line $i; done")
        waiting = create(stub, "echo begun; sleep 300")
        assert read_until(open_log(stub, waiting, follow=True), b"begun\n") == b"begun\n"
        size = short_folder / "data" / "logs" / f"log-{living}"
        eventually(lambda: size.exists() and size.stat().st_size > 200_000, "some output")
    daemon.kill()
    with stub_of(daemon.start()) as stub:
        assert get(stub, living).state == pb.STATE_FAILED
        assert log(stub, waiting, follow=True) == b"begun\n"
        lines = log(stub, living).splitlines(keepends=True)
        assert len(lines) > 5000
        whole = lines if lines[-1].endswith(b"\n") else lines[:-1]
        assert whole == [b"line %d\n" % i for i in range(1, len(whole) + 1)]
        assert log(stub, living, tail_lines=3) == b"".join(lines[-3:])


def test_what_was_overwritten_stays_so(short_folder: Path) -> None:
    with daemon_on(short_folder, "--log-bytes", "1M") as daemon:
        with stub_of(daemon) as stub:
            ended = create(stub, "seq 1000000")
            wait_end(stub, ended)
            before = log(stub, ended)
            session = entries(stub, ended)[0].log_session_id
        assert 900_000 < len(before) < 1 << 20
        daemon.kill()
        with stub_of(daemon.start()) as stub:
            after = log(stub, ended)
            assert after.endswith(before)
            assert len(after) < 1 << 20
            assert log(stub, ended, tail_lines=1) == b"1000000\n"
            resumed = entries(
                stub, ended, follow=True, resume_log_session_id=session, resume_log_offset=0
            )
            assert b"".join(entry.data for entry in resumed) == before


def test_what_was_dropped_or_lost_is_a_gap(short_folder: Path) -> None:
    with daemon_on(short_folder, "--log-bytes", "1M") as daemon:
        with stub_of(daemon) as stub:
            logs = short_folder / "data" / "logs"
            lost = create(stub, "until test -e go; do sleep 0.02; done; echo lost; sleep 300")
            eventually(lambda: get(stub, lost).state == pb.STATE_RUNNING, "it runs")
            usual = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (1000, usual[1]))
            run(stub, lost, ": >go")
            eventually(lambda: (logs / f"log-{lost}").exists(), "the log")
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, usual)
            assert get(stub, lost).state == pb.STATE_RUNNING
            ids = [create(stub, "seq 300000") for _ in range(66)]
            for sandbox_id in ids:
                wait_end(stub, sandbox_id)
            dropped = [i for i in ids if (logs / f"log-{i}").stat().st_size == 0]
            assert 1 <= len(dropped) < 10
            assert sum(file.stat().st_size for file in logs.iterdir()) < 66 << 20
        daemon.kill()
        with stub_of(daemon.start()) as stub:
            for sandbox_id in (lost, dropped[0]):
                (entry,) = entries(stub, sandbox_id)
                assert entry.error.code == "REPLAY_GAP"
            kept = next(i for i in reversed(ids) if i not in dropped)
            assert log(stub, kept, tail_lines=1) == b"300000\n"


def test_a_log_that_cannot_be_read_is_no_empty_one(daemon: Daemon, short_folder: Path) -> None:
    with stub_of(daemon.start()) as stub:
        ended = create(stub, "echo one")
        wait_end(stub, ended)
        eventually(lambda: log(stub, ended) == b"one\n", "the log")
    daemon.kill()
    file = short_folder / "data" / "logs" / f"log-{ended}"
    content = bytearray(file.read_bytes())
    content[3] ^= 1
    file.write_bytes(content)
    (file.parent / "log-sb-0123456789abcdef").write_bytes(content)
    with stub_of(daemon.start()) as stub:
        (entry,) = entries(stub, ended)
        assert entry.error.code == "REPLAY_GAP"
        assert file.exists()
        assert not (file.parent / "log-sb-0123456789abcdef").exists()
