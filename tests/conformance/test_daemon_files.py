"""grpcio's generated client against our daemon's ReadFile and WriteFile."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hyperframe.frame import DataFrame, HeadersFrame

from conformance import protos
from conformance.h2_peer import frame as grpc_message
from conformance.raw_client import SERVICE, Peer
from integration.env import Daemon, eventually

pb = protos.messages()
MIB = 1 << 20
MAX_MESSAGE = 100 * MIB
MAX_FILE = 99 * MIB
NOT_FOUND = (grpc.StatusCode.NOT_FOUND, "CWSANDBOX_FILE_NOT_FOUND")
IS_DIRECTORY = (grpc.StatusCode.FAILED_PRECONDITION, "CWSANDBOX_FILE_IS_DIRECTORY")
NOT_REGULAR = (grpc.StatusCode.FAILED_PRECONDITION, "CWSANDBOX_FILE_IO_FAILED")
NO_PERMISSION = (grpc.StatusCode.PERMISSION_DENIED, "CWSANDBOX_FILE_PERMISSION_DENIED")
NOT_RUNNING = (grpc.StatusCode.FAILED_PRECONDITION, "CWSANDBOX_SANDBOX_NOT_RUNNING")


class Failure(NamedTuple):
    code: grpc.StatusCode
    reason: str
    metadata: dict[str, str]
    text: str


def failure(call: Callable[[], Any]) -> Failure:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    status = rpc_status.from_call(caught.value)
    info = error_details_pb2.ErrorInfo()
    if status:
        assert status.details[0].Unpack(info)
        assert info.domain == "cwsandbox.com"
    return Failure(caught.value.code(), info.reason, dict(info.metadata), caught.value.details())


class Box:
    """One sandbox, and what a test does in it."""

    def __init__(self, stub: Any, files: dict[str, bytes] | None = None, **container: Any) -> None:
        self.stub = stub
        container["files"] = [
            pb.FileMount(path=path, content=content) for path, content in (files or {}).items()
        ]
        spec = pb.SandboxSpec(
            containers=[pb.Container(name="main", image="python:3.11", **container)]
        )
        request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec))
        self.id: str = stub.CreateSandbox(request).sandbox_id

    def read(self, path: str, timeout: float = 30, container: str = "") -> bytes:
        request = pb.ReadFileRequest(sandbox_id=self.id, path=path, container=container)
        content: bytes = self.stub.ReadFile(request, timeout=timeout).content
        return content

    def write(self, path: str, content: bytes = b"", timeout: float = 30) -> None:
        request = pb.WriteFileRequest(sandbox_id=self.id, path=path, content=content)
        self.stub.WriteFile(request, timeout=timeout)

    def run(self, script: str) -> str:
        request = pb.ExecRequest(sandbox_id=self.id, command=["sh", "-ec", script])
        reply = self.stub.Exec(request, timeout=30)
        assert reply.exit_code == 0, reply
        out: bytes = reply.stdout
        return out.decode()

    def delete(self) -> None:
        self.stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=self.id, allow_missing=True))

    def state(self) -> int:
        state: int = self.stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=self.id)).status.state
        return state


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """With the address sanitizer it gives memory back, too."""
    options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
    env = {**os.environ, "ASAN_OPTIONS": options}
    with (
        tempfile.TemporaryDirectory(prefix="cwsd-") as folder,
        Daemon(Path(folder) / "d", arguments=("--max-written", "400M"), env=env) as daemon,
    ):
        yield daemon


@pytest.fixture(scope="module")
def stub(daemon: Daemon) -> Iterator[Any]:
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE + MIB),
        ("grpc.max_send_message_length", -1),
    ]
    with grpc.insecure_channel(daemon.base_url, options) as channel:
        yield protos.stubs().SandboxServiceStub(channel)


@pytest.fixture
def make(stub: Any) -> Iterator[Callable[..., Box]]:
    made: list[Box] = []

    def start(**container: Any) -> Box:
        made.append(Box(stub, **container))
        return made[-1]

    yield start
    for box in made:
        box.delete()


@pytest.fixture(scope="module")
def box(stub: Any) -> Iterator[Box]:
    box = Box(stub)
    yield box
    box.delete()


# ---- content ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [0, 1, 100, 127, 128, 4095, 4096, 65535, 65536, 65537, 3 * MIB + 1]
)
def test_what_was_written_is_read(box: Box, size: int) -> None:
    content = os.urandom(size)
    box.write("/tmp/sizes", content)
    assert box.read("/tmp/sizes") == content
    assert int(box.run("stat -c %s /tmp/sizes")) == size


def test_every_byte_value(box: Box) -> None:
    content = bytes(range(256)) * 1000
    box.write("/tmp/bytes", content)
    assert box.read("/tmp/bytes") == content


def test_a_command_sees_it_and_is_seen(box: Box) -> None:
    box.write("/tmp/to-command", b"hello\n")
    assert box.run("cat /tmp/to-command; printf back > /tmp/from-command") == "hello\n"
    assert box.read("/tmp/from-command") == b"back"


def test_the_largest_file(make: Callable[..., Box]) -> None:
    box = make()
    content = os.urandom(MIB) * 99
    assert len(content) == MAX_FILE
    box.write("/tmp/large", content)
    assert box.read("/tmp/large") == content
    box.run("printf x >> /tmp/large")
    too_large = failure(lambda: box.read("/tmp/large"))
    assert too_large[:3] == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "CWSANDBOX_FILE_TOO_LARGE",
        {
            "size_bytes": str(MAX_FILE + 1),
            "max_size_bytes": str(MAX_FILE),
            "filepath": "/tmp/large",
            "operation": "read_file",
        },
    )
    too_large = failure(lambda: box.write("/tmp/new", content + b"x"))
    assert too_large.reason == "CWSANDBOX_FILE_TOO_LARGE"
    assert too_large.metadata["size_bytes"] == str(MAX_FILE + 1)
    assert too_large.metadata["operation"] == "write_file"
    assert failure(lambda: box.read("/tmp/new"))[:2] == NOT_FOUND


def test_a_message_above_the_limit_says_so(box: Box) -> None:
    above = failure(lambda: box.write("/tmp/above", bytes(MAX_MESSAGE)))
    assert above.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "message" in above.text
    assert "larger than max" in above.text


def test_files_that_do_not_say_their_size(box: Box) -> None:
    assert box.read("/proc/version") == box.run("cat /proc/version").encode()
    assert len(box.read("/proc/kallsyms")) > 100_000


def test_a_file_that_grows_while_it_is_read(box: Box) -> None:
    box.run("head -c 5000000 /dev/zero > /tmp/grows")
    box.run(
        "(for i in $(seq 500); do [ ! -e /tmp/grown ] || break;"
        " head -c 100000 /dev/zero >> /tmp/grows; done;"
        " until [ -e /tmp/grown ]; do sleep 0.01; done; rm /tmp/grown) > /dev/null 2>&1 &"
    )
    sizes = [len(box.read("/tmp/grows")) for _ in range(5)]
    box.run(": > /tmp/grown; until ! [ -e /tmp/grown ]; do sleep 0.01; done; rm /tmp/grows")
    assert sizes == sorted(sizes)
    assert sizes[0] >= 5_000_000


# ---- paths -----------------------------------------------------------------------------------------------------------


def test_parents_are_made(box: Box) -> None:
    box.write("/tmp/new/deep//er/file", b"x")
    modes = box.run("cd /tmp/new; stat -c '%a %n' . deep deep/er deep/er/file")
    assert modes == "755 .\n755 deep\n755 deep/er\n644 deep/er/file\n"


def test_relative_paths_begin_at_the_working_directory(make: Callable[..., Box]) -> None:
    box = make(working_dir="/srv/work")
    eventually(lambda: box.state() == pb.STATE_RUNNING, "it runs")
    for path in ("plain", "./dotted", "deeper/file", "../beside"):
        box.write(path, path.encode())
        assert box.read(path) == path.encode()
        assert box.read("/srv/work/" + path) == path.encode()
    assert box.run("cat /srv/beside") == "../beside"


def test_links_are_followed(box: Box) -> None:
    box.run(
        "mkdir -p /tmp/links/real; cd /tmp/links; printf old > real/file; chmod 600 real/file;"
        "ln -s real/file to-file; ln -s /tmp/links/to-file to-link; ln -s real to-dir;"
        "ln -s missing/new dangling"
    )
    for n, path in enumerate(("to-file", "to-link", "to-dir/file")):
        content = str(n).encode()
        box.write(f"/tmp/links/{path}", content)
        assert box.read("/tmp/links/real/file") == content
    box.write("/tmp/links/dangling", b"made")
    listing = box.run(
        "cd /tmp/links; readlink to-file to-link to-dir dangling; cat missing/new; stat -c %a real/file;"
        "ls -A real missing"
    )
    assert listing == (
        "real/file\n/tmp/links/to-file\nreal\nmissing/new\nmade600\nmissing:\nnew\n\nreal:\nfile\n"
    )


def test_mode_and_owner_are_kept(box: Box) -> None:
    box.run("cd /tmp; printf old > script; chmod 4751 script")
    owned = "chown 7:8 /tmp/script && chmod 4751 /tmp/script && echo yes || echo no"
    owner = "7:8" if box.run(owned) == "yes\n" else "0:0"
    box.write("/tmp/script", b"new")
    assert box.run("stat -c '%a %u:%g' /tmp/script; cat /tmp/script") == f"4751 {owner}\nnew"


def test_a_reader_of_the_old_file_keeps_it(box: Box) -> None:
    box.write("/tmp/replaced", b"old")
    box.run(
        "(exec 3< /tmp/replaced; : > /tmp/open; until [ -e /tmp/go ]; do sleep 0.01; done;"
        " cat <&3 > /tmp/kept; mv /tmp/kept /tmp/seen) > /dev/null 2>&1 &"
    )
    box.run("until [ -e /tmp/open ]; do sleep 0.01; done")
    box.write("/tmp/replaced", b"new")
    box.write("/tmp/go")
    assert box.run("until [ -e /tmp/seen ]; do sleep 0.01; done; cat /tmp/seen") == "old"
    assert box.read("/tmp/replaced") == b"new"


def test_the_programs_and_the_settings_of_the_sandbox(box: Box) -> None:
    """What is an overlay or was put there, too, is replaced, and read as commands see it."""
    assert b"root:" in box.read("/etc/passwd")
    box.write("/usr/local/bin/tool", b"#!/bin/sh\necho ran\n")
    assert box.run("chmod +x /usr/local/bin/tool; tool") == "ran\n"
    box.write("/usr/local/bin/tool", b"#!/bin/sh\necho again\n")
    assert box.run("tool") == "again\n"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", NOT_FOUND),
        ("/tmp/no-such", NOT_FOUND),
        ("no/such/at/all", NOT_FOUND),
        ("/etc/passwd/x", NOT_FOUND),
        ("/tmp", IS_DIRECTORY),
        ("/", IS_DIRECTORY),
        (".", IS_DIRECTORY),
        ("/tmp/", IS_DIRECTORY),
        ("/dev/zero", NOT_REGULAR),
        ("/dev/null", NOT_REGULAR),
        ("/dev/stdin", NOT_REGULAR),
        ("/tmp/fifo", NOT_REGULAR),
        ("/tmp/socket", NOT_REGULAR),
        ("/tmp/loop", (grpc.StatusCode.FAILED_PRECONDITION, "CWSANDBOX_FILE_IO_FAILED")),
        ("/tmp/" + "n" * 300, (grpc.StatusCode.INVALID_ARGUMENT, "CWSANDBOX_FILE_IO_FAILED")),
        ("/tmp/" + "n/" * 3000, (grpc.StatusCode.INVALID_ARGUMENT, "CWSANDBOX_FILE_IO_FAILED")),
    ],
)
def test_what_cannot_be_read(box: Box, path: str, expected: tuple[Any, str]) -> None:
    box.run(
        "cd /tmp; [ -p fifo ] || mkfifo fifo; ln -sf loop loop;"
        "[ -S socket ] || python -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'"
    )
    failed = failure(lambda: box.read(path))
    assert failed[:2] == expected
    assert failed.metadata == {"filepath": path[:4095], "operation": "read_file"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", NOT_FOUND),
        ("/tmp", IS_DIRECTORY),
        ("/", IS_DIRECTORY),
        ("..", IS_DIRECTORY),
        ("/tmp/new-directory/", IS_DIRECTORY),
        ("/etc/passwd/x", NOT_FOUND),
        ("/dev/zero", NOT_REGULAR),
        ("/dev/stdout", NOT_REGULAR),
        ("/tmp/fifo2", NOT_REGULAR),
        ("/tmp/loop2", (grpc.StatusCode.FAILED_PRECONDITION, "CWSANDBOX_FILE_IO_FAILED")),
        ("/proc/self/comm", NO_PERMISSION),
        ("/proc/version", NO_PERMISSION),
        ("/tmp/" + "n" * 300, (grpc.StatusCode.INVALID_ARGUMENT, "CWSANDBOX_FILE_IO_FAILED")),
    ],
)
def test_what_cannot_be_written(box: Box, path: str, expected: tuple[Any, str]) -> None:
    box.run("cd /tmp; [ -p fifo2 ] || mkfifo fifo2; ln -sf loop2 loop2")
    before = box.run("ls -A /tmp")
    failed = failure(lambda: box.write(path, b"content"))
    assert failed[:2] == expected
    assert failed.metadata == {"filepath": path, "operation": "write_file"}
    assert box.run("ls -A /tmp") == before


def test_files_of_the_spec_stay_as_they_are(make: Callable[..., Box]) -> None:
    box = make(files={"/srv/given/file": b"given"})
    assert box.read("/srv/given/file") == b"given"
    failed = failure(lambda: box.write("/srv/given/file", b"mine"))
    assert failed[:2] == NO_PERMISSION
    assert box.run("cat /srv/given/file; ls -A /srv/given") == "givenfile\n"


@pytest.mark.parametrize("operation", [Box.read, Box.write])
def test_a_path_that_no_file_can_have(box: Box, operation: Callable[..., Any]) -> None:
    failed = failure(lambda: operation(box, "/tmp/a\0b"))
    assert failed[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "CWSANDBOX_FILE_IO_FAILED")
    assert "path" in failed.text
    assert "NUL" in failed.text


# ---- sandboxes -------------------------------------------------------------------------------------------------------


def test_containers(box: Box) -> None:
    box.write("/tmp/contained", b"x")
    assert box.read("/tmp/contained", container="main") == b"x"
    failed = failure(lambda: box.read("/tmp/contained", container="other"))
    assert failed[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "CWSANDBOX_INVALID_REQUEST")


def test_a_sandbox_that_is_not_there_or_has_ended(make: Callable[..., Box]) -> None:
    box = make()
    box.write("/tmp/x", b"x")
    box.delete()
    for call in (lambda: box.read("/tmp/x"), lambda: box.write("/tmp/x")):
        assert failure(call)[:2] == NOT_RUNNING
    box.id = "sb-none"
    for call in (lambda: box.read("/tmp/x"), lambda: box.write("/tmp/x")):
        assert failure(call)[:2] == (grpc.StatusCode.NOT_FOUND, "CWSANDBOX_SANDBOX_NOT_FOUND")


# ---- in the middle ---------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_old_file(make: Callable[..., Box]) -> None:
    box = make()
    box.run("mkdir /tmp/full; printf old > /tmp/full/file; head -c 350M /dev/zero > /tmp/ballast")
    full = failure(lambda: box.write("/tmp/full/file", bytes(90 * MIB)))
    assert full[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CWSANDBOX_FILE_IO_FAILED")
    assert "No space left" in full.text
    assert full.metadata["filepath"] == "/tmp/full/file"
    assert box.run("cat /tmp/full/file; ls -A /tmp/full") == "oldfile\n"
    box.run("rm /tmp/ballast")
    box.write("/tmp/full/file", bytes(90 * MIB))


def test_a_write_is_whole_or_not_there(box: Box) -> None:
    """Whoever gives up: the file is the old or the new one, and nothing else is left."""
    box.run("mkdir -p /tmp/whole; printf old > /tmp/whole/file")
    new = bytes(30 * MIB)
    for n in range(8):
        request = pb.WriteFileRequest(sandbox_id=box.id, path="/tmp/whole/file", content=new)
        call = box.stub.WriteFile.future(request, timeout=0.02 * n + 0.01)
        if n % 2:
            call.cancel()
        call.code()
    names = "ls -A /tmp/whole"
    eventually(lambda: box.run(names) == "file\n", "nothing else is left")
    assert box.run("stat -c %s /tmp/whole/file") in {"3\n", f"{len(new)}\n"}


def test_thousands_of_small_files_at_once(box: Box) -> None:
    def both(n: int) -> None:
        content = f"content {n}".encode() * 10
        box.write(f"/tmp/many/{n % 100}/{n}", content)
        assert box.read(f"/tmp/many/{n % 100}/{n}") == content

    with ThreadPoolExecutor(64) as threads:
        list(threads.map(both, range(2000)))
    assert box.run("find /tmp/many -type f | wc -l") == "2000\n"


def test_no_process_is_left(make: Callable[..., Box]) -> None:
    box = make()
    box.run("head -c 50M /dev/zero > /tmp/large")
    calls = [
        box.stub.ReadFile.future(pb.ReadFileRequest(sandbox_id=box.id, path="/tmp/large"))
        for _ in range(20)
    ]
    for call in calls:
        call.cancel()
    # The init, and what runs the script.
    script = "for p in /proc/[0-9]*; do read x < $p/stat && echo $x; done | grep -c cwsandbox-init"
    eventually(lambda: box.run(script) == "1\n", "every child of the init has ended")


# Lets the children of the init that read files go on a little now and then, and says after some rounds of that that all
# of them have begun.
SLOW_DOWN = """
import os, signal, time
def tell(number):
    for name in os.listdir("/proc"):
        if name.isdigit() and name != "1" and open(f"/proc/{name}/stat").read().split()[1] == "(cwsandbox-init)":
            os.kill(int(name), number)
for i in range(40):
    tell(signal.SIGCONT)
    tell(signal.SIGSTOP)
    time.sleep(0.01)
    if i == 20: print("begun", flush=True)
time.sleep(100)
"""


def test_the_sandbox_ends_under_files_that_wait_for_room(
    make: Callable[..., Box], box: Box, daemon: Daemon
) -> None:
    for _ in range(3):
        victim = make()
        victim.run("truncate -s 99M /tmp/large")
        request = pb.ReadFileRequest(sandbox_id=victim.id, path="/tmp/large")
        init = pb.ExecStreamInit(sandbox_id=victim.id, command=["python3", "-c", SLOW_DOWN])
        slow = victim.stub.StreamExec(iter([pb.ExecStreamRequest(init=init)]))
        next(slow)
        calls = [victim.stub.ReadFile.future(request) for _ in range(12)]
        assert any(frame.output.data == b"begun\n" for frame in slow)
        victim.stub.DeleteSandbox(
            pb.DeleteSandboxRequest(sandbox_id=victim.id, grace_period_seconds=0)
        )
        assert any(call.code() == grpc.StatusCode.FAILED_PRECONDITION for call in calls)
        assert box.run("echo on") == "on\n"


# ---- clients that do not read ----------------------------------------------------------------------------------------

UNSENT = 256 * MIB  # of all contents together


def resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_contents_that_nobody_takes_do_not_fill_the_memory(
    stub: Any, daemon: Daemon, box: Box
) -> None:
    calls, size = 20, 30 * MIB
    box.run(f"head -c {size} /dev/zero > /tmp/unread")
    before = resident(daemon.pid)
    request = pb.ReadFileRequest(sandbox_id=box.id, path="/tmp/unread").SerializeToString()
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(20)
        connection.connect(daemon.base_url.removeprefix("unix://"))
        peer = Peer(connection)
        for stream_id in range(1, 2 * calls, 2):
            head = peer.headers(stream_id, path=SERVICE + "ReadFile")
            peer.send(head, DataFrame(stream_id, grpc_message(request), flags=["END_STREAM"]))
        refused = {}
        while len(refused) < calls - UNSENT // size:  # those for which there is no room
            frame = peer.next()
            if isinstance(frame, HeadersFrame):
                fields = dict(peer.decoder.decode(frame.data))
                if "grpc-status" in fields:
                    refused[frame.stream_id] = fields["grpc-status"]
        assert set(refused.values()) == {str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])}
        assert resident(daemon.pid) - before < UNSENT + 32 * MIB
        assert box.read("/etc/hostname")  # what is small is read all the same
        assert box.run("echo on") == "on\n"
    eventually(lambda: resident(daemon.pid) - before < 64 * MIB, "it is given back")
    assert len(box.read("/tmp/unread")) == size
