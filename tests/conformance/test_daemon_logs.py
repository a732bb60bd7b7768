"""grpcio's generated client against our daemon: StreamLogs."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from conformance import protos
from conformance.daemon_client import (
    SECONDS,
    create,
    delete,
    failure,
    get,
    run,
    spec,
    stub_of,
    wait_end,
)
from conformance.log_reading import entries, log, open_log, read_until
from integration.env import Daemon, eventually

pb = protos.messages()

STAMPED = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (.*\n?)")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cwsd-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def daemon(folder: Path) -> Iterator[Daemon]:
    with Daemon(folder / "d") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def small_daemon(folder: Path) -> Iterator[Daemon]:
    """Its logs are as small as they can be. With the address sanitizer it gives memory back, too."""
    options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
    env = {**os.environ, "ASAN_OPTIONS": options}
    with Daemon(folder / "s", arguments=("--log-bytes", "1M"), env=env) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def stub(daemon: Daemon) -> Any:
    return stub_of(daemon)


@pytest.fixture(scope="module")
def small_stub(small_daemon: Daemon) -> Any:
    return stub_of(small_daemon)


@pytest.fixture
def make(stub: Any) -> Iterator[Callable[[str], str]]:
    made: list[str] = []

    def make_one(script: str) -> str:
        made.append(create(stub, script))
        return made[-1]

    yield make_one
    for sandbox_id in made:
        delete(stub, sandbox_id)


# ---- commands that end ----------------------------------------------------------------------------


def test_a_main_command_that_ends_at_once_is_seen(stub: Any, make: Callable[[str], str]) -> None:
    sandbox_id = make("exit 3")
    status = wait_end(stub, sandbox_id)
    assert (status.state, status.exit_code) == (pb.STATE_FAILED, 3)
    assert entries(stub, sandbox_id) == []
    assert entries(stub, sandbox_id, follow=True) == []


def test_both_streams_are_kept_in_order(stub: Any, make: Callable[[str], str]) -> None:
    sandbox_id = make("for i in 1 2 3; do echo out $i; echo err $i >&2; done; exit 3")
    assert wait_end(stub, sandbox_id).exit_code == 3
    wanted = b"".join(b"out %d\nerr %d\n" % (i, i) for i in (1, 2, 3))
    assert log(stub, sandbox_id) == wanted
    assert log(stub, sandbox_id, follow=True) == wanted


def test_all_of_what_was_written_at_once_is_there(stub: Any, make: Callable[[str], str]) -> None:
    sandbox_id = make("head -c 1000000 /dev/zero | tr '\\0' x; echo; exit 0")
    assert log(stub, sandbox_id, follow=True) == b"x" * 1000000 + b"\n"
    assert wait_end(stub, sandbox_id).exit_code == 0
    assert log(stub, sandbox_id) == b"x" * 1000000 + b"\n"


def test_the_streams_can_be_opened_by_name(stub: Any, make: Callable[[str], str]) -> None:
    sandbox_id = make("echo a >/dev/stdout; echo b >/dev/stderr; echo c >/proc/self/fd/1")
    assert log(stub, sandbox_id, follow=True) == b"a\nb\nc\n"


def test_a_process_in_the_background_does_not_hold_up_the_end(
    stub: Any, make: Callable[[str], str]
) -> None:
    sandbox_id = make("sleep 1000 & setsid sleep 1000 & echo done")
    assert log(stub, sandbox_id, follow=True) == b"done\n"


def test_a_command_that_closes_its_output_keeps_the_log_open(
    stub: Any, make: Callable[[str], str]
) -> None:
    sandbox_id = make(
        "echo before; exec >/dev/null 2>&1; until test -e /tmp/end; do sleep 0.05; done"
    )
    stream = open_log(stub, sandbox_id, follow=True)
    assert read_until(stream, b"before\n") == b"before\n"
    assert log(stub, sandbox_id) == b"before\n"
    with contextlib.suppress(grpc.RpcError):  # it may end with the sandbox
        run(stub, sandbox_id, "touch /tmp/end")
    assert list(stream) == []


def test_a_command_that_cannot_be_executed_says_so(stub: Any) -> None:
    wanted = pb.Sandbox(spec=spec(command="/no/such/program"))
    sandbox_id = stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=wanted)).sandbox_id
    assert wait_end(stub, sandbox_id).state == pb.STATE_FAILED
    assert log(stub, sandbox_id) == b"cwsandbox: /no/such/program: No such file or directory\n"


def test_the_keep_alive_command_logs_nothing(stub: Any) -> None:
    script = 'trap "exit 0" TERM INT; sleep infinity & wait'
    sandbox_id = create(stub, script)
    assert entries(stub, sandbox_id) == []
    stream = open_log(stub, sandbox_id, follow=True)
    delete(stub, sandbox_id)
    assert list(stream) == []


# ---- following ------------------------------------------------------------------------------------

# Writes each line that is put into the pipe /tmp/say, as printf's format.
TALKER = 'mkfifo /tmp/say; while :; do read -r line </tmp/say && printf "$line"; done'


def say(stub: Any, sandbox_id: str, text: str) -> None:
    script = f"until test -p /tmp/say; do sleep 0.02; done; printf '%s\\n' '{text}' >/tmp/say"
    run(stub, sandbox_id, script)


def test_follow_gets_each_line_as_it_comes(stub: Any, make: Callable[[str], str]) -> None:
    sandbox_id = make(TALKER)
    streams = [open_log(stub, sandbox_id, follow=True) for _ in range(3)]
    for word in ("one", "two", "three"):
        say(stub, sandbox_id, word + "\\n")
        for stream in streams:
            assert read_until(stream, word.encode() + b"\n") == word.encode() + b"\n"
    delete(stub, sandbox_id)
    assert [list(stream) for stream in streams] == [[], [], []]


def test_what_has_been_written_can_be_read(stub: Any, make: Callable[[str], str]) -> None:
    """Without a wait in between: the daemon counts what is still in the pipe."""
    sandbox_id = make("echo $$ >/tmp/pid; exec sleep 1000")
    run(stub, sandbox_id, "until test -s /tmp/pid; do sleep 0.02; done")
    for i in range(50):
        run(stub, sandbox_id, f"echo {i} >/proc/$(cat /tmp/pid)/fd/1")
        assert log(stub, sandbox_id, tail_lines=1) == b"%d\n" % i


def test_a_line_without_end_is_followed_and_no_character_is_cut(
    stub: Any, make: Callable[[str], str]
) -> None:
    sandbox_id = make(TALKER)
    stream = open_log(stub, sandbox_id, follow=True)
    say(stub, sandbox_id, "prompt> \\303")
    assert next(stream).data == b"prompt> "
    say(stub, sandbox_id, "\\244\\342\\202")
    assert next(stream).data == "ä".encode()
    delete(stub, sandbox_id)
    assert [entry.data for entry in stream] == [b"\xe2\x82"]


def test_offsets_and_session_of_a_stream(stub: Any, make: Callable[[str], str]) -> None:
    sandbox_id = make("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done")
    wait_end(stub, sandbox_id)
    for timestamps in (False, True):
        got = entries(stub, sandbox_id, follow=True, timestamps=timestamps)
        sessions = {entry.log_session_id for entry in got}
        assert len(sessions) == 1
        assert sessions != {""}
        offset = 0
        for entry in got:
            assert entry.data
            assert entry.data.endswith(b"\n")
            offset += len(entry.data)
            assert entry.next_log_offset == offset


def test_followers_that_go_leave_nothing(
    stub: Any, make: Callable[[str], str], daemon: Daemon
) -> None:
    descriptors = Path(f"/proc/{daemon.pid}/fd")
    sandbox_id = make("yes")
    quiet = make("echo x; sleep 1000")
    for wanted in (sandbox_id, quiet):
        first = open_log(stub, wanted, follow=True)
        assert next(first).data
        first.cancel()
    before = len(list(descriptors.iterdir()))
    streams = [open_log(stub, wanted, follow=True) for wanted in [sandbox_id, quiet] * 100]
    for stream in streams:
        assert next(stream).data
    for stream in streams:
        stream.cancel()
    assert log(stub, quiet) == b"x\n"
    eventually(lambda: len(list(descriptors.iterdir())) <= before, "descriptors are closed")


def test_requests_of_the_wrong_number(
    daemon: Daemon, stub: Any, make: Callable[[str], str]
) -> None:
    sandbox_id = make("echo x")
    path = "/coreweave.sandbox.v1.SandboxService/StreamLogs"
    request = pb.StreamLogsRequest(sandbox_id=sandbox_id, follow=True).SerializeToString()
    with grpc.insecure_channel(daemon.base_url) as channel:
        for count in (0, 2, 3):
            call = channel.stream_stream(path)
            with pytest.raises(grpc.RpcError) as caught:
                list(call(iter([request] * count), timeout=SECONDS))
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_logs_without_isolation(folder: Path) -> None:
    with Daemon(folder / "i", arguments=("--isolation", "none")) as daemon:
        stub = stub_of(daemon)
        sandbox_id = create(stub, "setsid sleep 1000 & echo out; echo err >&2; exit 3")
        assert log(stub, sandbox_id, follow=True) == b"out\nerr\n"
        assert wait_end(stub, sandbox_id).exit_code == 3


# ---- the window -----------------------------------------------------------------------------------


def test_tail(stub: Any, make: Callable[[str], str]) -> None:
    sandbox_id = make("for i in 1 2 3 4 5; do echo $i; done; printf end")
    wait_end(stub, sandbox_id)
    everything = b"1\n2\n3\n4\n5\nend"
    assert log(stub, sandbox_id) == everything
    assert log(stub, sandbox_id, tail_lines=0) == everything
    assert log(stub, sandbox_id, tail_lines=1) == b"end"
    assert log(stub, sandbox_id, tail_lines=3, follow=True) == b"4\n5\nend"
    assert log(stub, sandbox_id, tail_lines=2**31 - 1) == everything


def test_timestamps_and_since(stub: Any, make: Callable[[str], str]) -> None:
    before = datetime.datetime.now(datetime.UTC)
    sandbox_id = make(TALKER)
    stream = open_log(stub, sandbox_id, follow=True)
    for word in ("one", "two", "three"):
        say(stub, sandbox_id, word + "\\n")
        read_until(stream, word.encode() + b"\n")
    stamped = log(stub, sandbox_id, timestamps=True)
    lines = STAMPED.findall(stamped)
    assert b"".join(b"%s %s" % line for line in lines) == stamped
    assert [text for _, text in lines] == [b"one\n", b"two\n", b"three\n"]
    times = [datetime.datetime.fromisoformat(text.decode()) for text, _ in lines]
    assert before <= times[0] < times[1] < times[2] <= datetime.datetime.now(datetime.UTC)

    def since(moment: datetime.datetime, **fields: Any) -> bytes:
        request = pb.StreamLogsRequest()
        request.since_time.FromDatetime(moment)
        return log(stub, sandbox_id, since_time=request.since_time, **fields)

    microsecond = datetime.timedelta(microseconds=1)
    assert since(before) == b"one\ntwo\nthree\n"
    assert since(times[1]) == b"two\nthree\n"
    assert since(times[1] + microsecond) == b"three\n"
    assert since(times[0], tail_lines=1) == b"three\n"
    assert since(times[2], tail_lines=3) == b"three\n"
    assert since(times[2] + microsecond) == b""
    assert since(datetime.datetime(9999, 1, 1)) == b""
    assert since(datetime.datetime(1, 1, 1)) == b"one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tail_lines": -1}, "tail_lines"),
        ({"since_time": {"nanos": -1}}, "since_time.nanos"),
        ({"container": "other"}, "container"),
        ({"resume_log_offset": 5}, "resume_log_offset"),
        ({"resume_log_session_id": "x"}, "resume_log_session_id"),
        ({"resume_log_session_id": "x", "follow": True, "tail_lines": 1}, "resume_log_session_id"),
        (
            {"resume_log_session_id": "x", "follow": True, "timestamps": True},
            "resume_log_session_id",
        ),
    ],
)
def test_bad_requests(
    stub: Any, make: Callable[[str], str], fields: dict[str, Any], field: str
) -> None:
    sandbox_id = make("echo x")
    with pytest.raises(grpc.RpcError) as caught:
        entries(stub, sandbox_id, **fields)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith(field + ":")


def test_an_unknown_sandbox(stub: Any) -> None:
    code, reason, _ = failure(lambda: entries(stub, "sb-0"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "CWSANDBOX_SANDBOX_NOT_FOUND")


# ---- resumption -----------------------------------------------------------------------------------


@pytest.mark.parametrize("timestamps", [False, True])
def test_a_session_is_resumed_after_every_byte(
    stub: Any, make: Callable[[str], str], timestamps: bool
) -> None:
    sandbox_id = make("echo one; echo; echo three; printf four")
    wait_end(stub, sandbox_id)
    for tail in (0, 2):
        got = entries(stub, sandbox_id, follow=True, tail_lines=tail, timestamps=timestamps)
        data = b"".join(entry.data for entry in got)
        session = got[-1].log_session_id
        for offset in range(len(data) + 1):
            rest = entries(
                stub,
                sandbox_id,
                follow=True,
                resume_log_session_id=session,
                resume_log_offset=offset,
            )
            assert b"".join(entry.data for entry in rest) == data[offset:]
            assert {entry.log_session_id for entry in rest} <= {session}
            assert not rest or rest[-1].next_log_offset == len(data)


def error_of(got: list[Any]) -> str:
    """The code of the one entry, which is an error."""
    assert len(got) == 1
    assert not got[0].data
    assert got[0].error.message
    code: str = got[0].error.code
    return code


def test_sessions_that_cannot_be_resumed(stub: Any, make: Callable[[str], str]) -> None:
    mine, other = make("echo mine; sleep 1000"), make("echo other; sleep 1000")
    entry = next(open_log(stub, mine, follow=True))

    def resume(sandbox_id: str, session: str, offset: int = 0) -> str:
        fields = {"resume_log_session_id": session, "resume_log_offset": offset}
        return error_of(entries(stub, sandbox_id, follow=True, **fields))

    session = entry.log_session_id
    assert resume(mine, "no-session") == "SESSION_NOT_FOUND"
    assert resume(mine, session + "0") == "SESSION_NOT_FOUND"
    assert resume(mine, session[:-1] + ("1" if session[-1] == "0" else "0")) == "SESSION_NOT_FOUND"
    assert resume(other, session) == "SESSION_NOT_FOUND"
    assert resume(mine, session, 6) == "INVALID_RESUME_OFFSET"
    assert resume(mine, session, 2**64 - 1) == "INVALID_RESUME_OFFSET"


# ---- more than is kept ----------------------------------------------------------------------------


def test_the_newest_lines_are_kept(small_stub: Any) -> None:
    sandbox_id = create(small_stub, "seq 1000000; echo end")
    first = next(open_log(small_stub, sandbox_id, follow=True))
    assert wait_end(small_stub, sandbox_id).exit_code == 0
    kept = log(small_stub, sandbox_id)
    assert kept.endswith(b"\n999999\n1000000\nend\n")
    assert 900_000 < len(kept) < 1 << 20
    lines = kept.splitlines()
    assert lines[:-1] == [b"%d" % i for i in range(int(lines[0]), 1000001)]
    assert log(small_stub, sandbox_id, tail_lines=2) == b"1000000\nend\n"
    resumed = entries(
        small_stub, sandbox_id, follow=True, resume_log_session_id=first.log_session_id
    )
    assert error_of(resumed) == "REPLAY_GAP"


def disk_use(daemon: Daemon, sandbox_id: str = "*") -> int:
    """Bytes that logs take."""
    files = daemon.state_dir.glob(f"d*/log-{sandbox_id}")
    return sum(file.stat().st_blocks * 512 for file in files)


def test_a_flood_that_nobody_reads_goes_on(small_stub: Any, small_daemon: Daemon) -> None:
    """And does not keep others waiting, nor make the daemon grow."""
    flood = create(small_stub, "yes")
    other = create(small_stub, "sleep 1000")
    eventually(lambda: get(small_stub, other).state == pb.STATE_RUNNING, "the other one runs")

    def memory() -> int:
        status = Path(f"/proc/{small_daemon.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    before = memory()
    for _ in range(50):
        run(small_stub, other, "true")
    assert memory() - before < 4096
    assert disk_use(small_daemon, flood) <= 1 << 20
    delete(small_stub, flood)
    wait_end(small_stub, flood)


GAPS = ("REPLAY_GAP", "STREAM_TRUNCATED")


# A gap at the end, too, if it comes up before: grpcio enlarges its window though nobody reads.
@pytest.mark.parametrize(("then", "codes"), [("exit", GAPS), ("sleep 1000", GAPS[:1])])
def test_a_follower_that_is_too_slow_is_told(small_stub: Any, then: str, codes: Any) -> None:
    """As a gap, after which clients go on with what comes, or as the end, if nothing comes."""
    wait = "until test -e /tmp/go; do sleep 0.02; done"
    sandbox_id = create(small_stub, f"{wait}; seq 3000000; touch /tmp/done; {then}")
    stream = open_log(small_stub, sandbox_id, follow=True)
    eventually(lambda: get(small_stub, sandbox_id).state == pb.STATE_RUNNING, "it runs")
    run(small_stub, sandbox_id, "touch /tmp/go")
    if then == "exit":
        assert wait_end(small_stub, sandbox_id).exit_code == 0
    else:
        run(small_stub, sandbox_id, "until test -e /tmp/done; do sleep 0.02; done")
    got = list(stream)  # nobody has read meanwhile
    delete(small_stub, sandbox_id)
    data = b"".join(entry.data for entry in got)
    assert data.startswith(b"1\n2\n")
    assert not data.endswith(b"3000000\n")
    assert got[-1].error.code in codes
    assert not [entry for entry in got[:-1] if entry.HasField("error")]


def test_finished_logs_take_no_more_than_so_much(folder: Path) -> None:
    """The oldest ones go first, and their readers are told."""
    count, most = 70, 64
    with Daemon(folder / "l", arguments=("--log-bytes", "1M")) as daemon:
        stub = stub_of(daemon)
        made = [create(stub, "seq 200000") for _ in range(count)]
        for sandbox_id in made:
            assert wait_end(stub, sandbox_id).exit_code == 0
        eventually(lambda: disk_use(daemon) <= most << 20, "the oldest logs are gone")
        assert disk_use(daemon) > (most - 2) << 20
        ends = {sandbox_id: entries(stub, sandbox_id, tail_lines=1)[-1] for sandbox_id in made}
        gone = [end for end in ends.values() if end.error.code == "REPLAY_GAP"]
        assert count - most <= len(gone) <= count - most + 2
        kept = [end for end in ends.values() if end.data == b"200000\n"]
        assert len(kept) + len(gone) == count


# ---- the disk is full -----------------------------------------------------------------------------


def test_a_full_disk_keeps_the_newest_lines(folder: Path) -> None:
    """A limit on the size of files acts like a disk that gets full, but for the daemon alone."""
    limited = ("prlimit", "--fsize=300000:unlimited")
    with Daemon(folder / "n", command_prefix=limited) as daemon:
        stub = stub_of(daemon)
        sandbox_id = create(stub, "seq 200000; echo end")
        stream = open_log(stub, sandbox_id, follow=True)
        assert wait_end(stub, sandbox_id).exit_code == 0
        kept = log(stub, sandbox_id)
        assert kept.endswith(b"\n200000\nend\n")
        assert 100_000 < len(kept) <= 300_000
        first = kept.split(b"\n", 1)[0]
        assert kept == b"".join(b"%d\n" % i for i in range(int(first), 200001)) + b"end\n"
        got = list(stream)
        written = b"".join(b"%d\n" % i for i in range(1, 200001)) + b"end\n"
        data = b"".join(entry.data for entry in got)
        assert written.startswith(data)
        assert data == written or got[-1].error.code in GAPS


def test_a_log_that_cannot_be_written_at_all(folder: Path) -> None:
    """The command goes on, a reader is told that there was more, and a finished log makes room."""
    with Daemon(folder / "x") as daemon:
        stub = stub_of(daemon)
        state = next(daemon.state_dir.glob("d*"))
        finished = create(stub, "echo x")
        assert log(stub, finished, follow=True) == b"x\n"
        wait_end(stub, finished)
        os.rename(state, state.with_name("moved"))
        sandbox_id = create(stub, "seq 100000; echo $$ >/tmp/pid; sleep 1000")
        eventually(lambda: get(stub, sandbox_id).state == pb.STATE_RUNNING, "it runs")
        run(stub, sandbox_id, "until test -s /tmp/pid; do sleep 0.02; done")
        assert error_of(entries(stub, sandbox_id)) == "REPLAY_GAP"
        assert error_of(entries(stub, sandbox_id, follow=True)) == "REPLAY_GAP"
        os.rename(state.with_name("moved"), state)
        assert error_of(entries(stub, finished)) == "REPLAY_GAP"
        run(stub, sandbox_id, "echo again >/proc/$(cat /tmp/pid)/fd/1")
        assert log(stub, sandbox_id) == b"again\n"


# ---- files ----------------------------------------------------------------------------------------


def test_the_file_goes_with_the_daemon(folder: Path) -> None:
    with Daemon(folder / "f") as daemon:
        stub = stub_of(daemon)
        quiet = create(stub, "exit 0")
        sandbox_id = create(stub, "echo x")
        assert wait_end(stub, sandbox_id).exit_code == 0
        wait_end(stub, quiet)
        files = list(daemon.state_dir.glob("d0/log-*"))
        assert [file.name for file in files] == [f"log-{sandbox_id}"]
        assert files[0].stat().st_mode & 0o777 == 0o600
        assert log(stub, sandbox_id) == b"x\n"
        descriptors = Path(f"/proc/{daemon.pid}/fd")

        def is_closed() -> bool:
            return str(files[0]) not in [os.readlink(fd) for fd in descriptors.iterdir()]

        eventually(is_closed, "nobody holds the file of a finished log open")
    assert not daemon.state_dir.exists()


def test_when_the_daemon_ends_followers_get_all(folder: Path) -> None:
    with Daemon(folder / "e") as daemon:
        stub = stub_of(daemon)
        script = "head -c 300000 /dev/zero | tr '\\0' x; echo; echo bye; exit"
        script = f"end() {{ {script}; }}; trap end TERM; echo hello; while :; do sleep 0.05; done"
        sandbox_id = create(stub, script)
        stream = open_log(stub, sandbox_id, follow=True)
        assert next(stream).data == b"hello\n"
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.extend(entry.data for entry in stream))
        reader.start()
    reader.join()
    assert b"".join(got) == b"x" * 300000 + b"\nbye\n"
    assert stream.code() == grpc.StatusCode.OK


def test_a_deadline_ends_a_follower(stub: Any, make: Callable[[str], str]) -> None:
    sandbox_id = make("echo x; sleep 1000")
    request = pb.StreamLogsRequest(sandbox_id=sandbox_id, follow=True)
    stream = stub.StreamLogs(request, timeout=4)
    assert next(stream).data == b"x\n"
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
