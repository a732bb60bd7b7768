"""Trees of files into a sandbox and out of it again."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from concurrent.futures import CancelledError
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from cwsandbox import (
    Sandbox,
    SandboxNotRunningError,
    SandboxTimeoutError,
    SandboxTransferError,
    TransferResult,
    results,
)
from integration import host
from integration.env import eventually
from integration.host import Mark

Look = tuple[str, int, int, bytes]


def look_of(path: bytes) -> Look:
    """What is to be kept of one entry."""
    found = os.lstat(path)
    kind = stat.filemode(found.st_mode)[0]
    if kind == "l":
        return kind, 0, int(found.st_mtime), os.readlink(path)
    content = Path(os.fsdecode(path)).read_bytes() if kind == "-" else b""
    return kind, stat.S_IMODE(found.st_mode), int(found.st_mtime), content


def tree_of(top: Path) -> dict[bytes, Look]:
    """Everything below a directory, and itself."""
    base = os.fsencode(top)
    places = [base]
    for folder, folders, files in os.walk(base):
        places += [os.path.join(folder, name) for name in folders + files]
    return {place.removeprefix(base): look_of(place) for place in places}


def make_tree(top: Path) -> Path:
    """A bit of everything that can be copied."""
    (top / "sub" / "empty").mkdir(parents=True)
    (top / "closed").mkdir()
    (top / "none").write_bytes(b"")
    (top / "program").write_text("#!/bin/sh\n")
    (top / "program").chmod(0o751)
    (top / "bytes").write_bytes(bytes(range(256)) * 1000)
    (top / "large").write_bytes(os.urandom(700_001))
    (top / "closed" / "file").write_text("in a directory that is read-only\n")
    (top / "sub" / ("n" * 200)).write_text("a name that is longer than a header's field")
    (top / "sub" / "up").symlink_to("../program")
    (top / "sub" / "far").symlink_to("x" * 150)
    (top / "nowhere").symlink_to("missing")
    Path(os.fsdecode(os.fsencode(top) + b"/not \xff utf-8 \n")).write_text("?")
    (top / "größe").write_text("non-ASCII")
    os.link(top / "program", top / "second")
    os.utime(top / "program", (1_000_000_000, 1_000_000_000))
    os.utime(top / "nowhere", (1, 1), follow_symlinks=False)
    os.utime(top / "sub", (1_100_000_000, 1_100_000_000))
    (top / "closed").chmod(0o555)
    return top


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree")


def said(sandbox: Sandbox, script: str) -> str:
    return sandbox.exec(["/bin/sh", "-c", script], check=True).result().stdout


def test_a_tree_comes_back_as_it_was(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    there = sandbox.upload(tree, "/tmp/some/where").result()
    back = sandbox.download("/tmp/some/where", tmp_path / "some" / "place" / "back").result()

    assert tree_of(tmp_path / "some" / "place" / "back") == tree_of(tree)
    size = 255_000 + 1000 + 700_001 + 2 * 10 + 33 + 43 + 1 + 9
    assert there == TransferResult(files=9, directories=3, symlinks=3, bytes=size)
    assert back == there


def test_what_is_there_is_replaced(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    for _ in range(2):
        sandbox.upload(f"{tree}/.", "/tmp/copy").result()
        sandbox.download("/tmp/copy/.", tmp_path / "back").result()

    # The top directory was there the second time, and has its own mode and time.
    assert tree_of(tmp_path / "back") | {b"": 0} == tree_of(tree) | {b"": 0}


@pytest.mark.parametrize(
    ("local", "remote", "there"),
    [
        ("tree", "/tmp/t", "/tmp/t/none"),
        ("tree", "/tmp/t/", "/tmp/t/tree/none"),
        ("tree", "/tmp/t/u/v", "/tmp/t/u/v/none"),
        ("tree", "/tmp", "/tmp/tree/none"),
        ("tree/", "/tmp", "/tmp/tree/none"),
        ("tree/.", "/tmp", "/tmp/none"),
        ("tree/.", "/tmp/t", "/tmp/t/none"),
        ("tree/sub/..", "/tmp", "/tmp/none"),
        ("tree/none", "/tmp/t", "/tmp/t"),
        ("tree/none", "/tmp/t/", "/tmp/t/none"),
        ("tree/none", "/tmp/t/u/v", "/tmp/t/u/v"),
        ("tree/none", "/tmp", "/tmp/none"),
        ("tree/none", "-t", "./-t"),
        ("link", "/tmp", "/tmp/link"),
    ],
)
def test_where_an_upload_goes(
    sandbox: Sandbox,
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    local: str,
    remote: str,
    there: str,
) -> None:
    monkeypatch.chdir(tree.parent)
    Path("link").symlink_to("tree/none")

    sandbox.upload(local, PurePosixPath(remote) if remote[-1] != "/" else remote).result()

    assert said(sandbox, f"stat -c %F%s '{there}'") == "regular empty file0\n"


@pytest.mark.parametrize(
    ("remote", "local", "here"),
    [
        ("/tmp/tree", "new", "new/none"),
        ("/tmp/tree", "new/", "new/tree/none"),
        ("/tmp/tree", "new/er", "new/er/none"),
        ("/tmp/tree", "old", "old/tree/none"),
        ("/tmp/tree/", "old", "old/tree/none"),
        ("/tmp/tree/.", "old", "old/none"),
        ("/tmp/tree/.", "new", "new/none"),
        ("/tmp/tree/none", "new", "new"),
        ("/tmp/tree/none", "new/", "new/none"),
        ("/tmp/tree/none", "new/er", "new/er"),
        ("/tmp/tree/none", "old", "old/none"),
        ("/tmp/link", "old", "old/link"),
    ],
)
def test_where_a_download_goes(
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    remote: str,
    local: str,
    here: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old").mkdir()
    said(sandbox, "mkdir /tmp/tree && touch /tmp/tree/none && ln -s tree/none /tmp/link")

    sandbox.download(remote, local).result()

    assert Path(here).read_bytes() == b""


def test_a_name_that_is_not_utf8(sandbox: Sandbox, tmp_path: Path) -> None:
    name = os.fsdecode(b"n\xff \\'$(x)`\n")
    (tmp_path / name).write_text("content")
    (tmp_path / "back").mkdir()

    sandbox.upload(tmp_path / name, "/tmp/new/").result()
    sandbox.upload(tmp_path / name, f"/tmp/new/x{name}").result()
    assert said(sandbox, "ls /tmp/new | wc -l") == "4\n"  # each has a newline
    for there in (name, f"x{name}"):
        sandbox.download(f"/tmp/new/{there}", tmp_path / "back").result()
        assert (tmp_path / "back" / there).read_text() == "content"


def test_options_of_tar_in_the_environment(base_url: str, tree: Path) -> None:
    with Sandbox.run(environment_variables={"TAR_OPTIONS": "--exclude=*"}) as sandbox:
        sandbox.upload(tree, "/tmp/t").result()
        assert said(sandbox, "cat /tmp/t/closed/file").startswith("in a directory")


async def test_both_can_be_awaited(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    sent = await sandbox.upload(tree, "/tmp/t")
    assert await sandbox.download("/tmp/t", tmp_path / "back") == sent


def test_a_file_in_the_place_of_a_directory_is_an_error(sandbox: Sandbox, tree: Path) -> None:
    said(sandbox, "mkdir -p /tmp/t/none && touch /tmp/file")

    with pytest.raises(SandboxTransferError, match=r"/tmp/t/none.*is a directory"):
        sandbox.upload(tree / "none", "/tmp/t").result()
    with pytest.raises(SandboxTransferError, match=r"/tmp/file.*not a directory"):
        sandbox.upload(tree, "/tmp/file").result()


def test_no_such_file(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(SandboxTransferError, match="/nope: No such file") as there:
        sandbox.download("/nope", tmp_path / "x").result()
    assert there.value.reason == "CWSANDBOX_FILE_NOT_FOUND"
    assert there.value.filepath == "/nope"
    assert there.value.transferred == TransferResult()
    assert not (tmp_path / "x").exists()

    with pytest.raises(
        SandboxTransferError,
        match=r"Upload of '.*missing' to '/tmp/x' failed: '.*missing' cannot be read: No such",
    ) as here:
        sandbox.upload(tmp_path / "missing", "/tmp/x").result()
    assert isinstance(here.value.__cause__, FileNotFoundError)


def test_what_is_excluded(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    there = sandbox.upload(tree, "/tmp/t", exclude=["sub", "*größe", "/large"]).result()
    assert there == TransferResult(files=6, directories=1, symlinks=1, bytes=256_000 + 54)
    asked: list[str] = []

    def excluding(path: str) -> bool:
        asked.append(path)
        return path == "closed/"

    back = sandbox.download("/tmp/t", tmp_path / "back", exclude=excluding).result()
    assert (back.files, back.directories) == (5, 0)
    assert "closed/" in asked
    assert "none" in asked
    assert not (tmp_path / "back" / "closed").exists()


def test_progress(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(3_000_000))
    up: list[tuple[int, int | None]] = []
    down: list[tuple[int, int | None]] = []

    sandbox.upload(tmp_path / "f", "/tmp/f", progress=lambda *at: up.append(at)).result()
    sandbox.download("/tmp/f", tmp_path / "g", progress=lambda *at: down.append(at)).result()

    assert (up[0], up[-1]) == ((0, 3_000_000), (3_000_000, 3_000_000))
    assert down[-1] == (3_000_000, 3_000_000)
    for told in (up, down):
        assert told == sorted(told)
        assert 3 < len(told) < 20


@pytest.mark.parametrize("way", ["up", "down"])
def test_what_progress_raises_ends_the_transfer(sandbox: Sandbox, tmp_path: Path, way: str) -> None:
    (tmp_path / "f").write_bytes(bytes(3_000_000))
    said(sandbox, "head -c 3000000 /dev/zero > /tmp/f")

    def raising(done: int, total: int | None) -> None:
        if done > 1_000_000:
            raise BrokenPipeError("who reads this?")

    with pytest.raises(BrokenPipeError, match="who reads this"):
        if way == "up":
            sandbox.upload(tmp_path / "f", "/tmp/up/f", progress=raising).result()
        else:
            sandbox.download("/tmp/f", tmp_path / "down" / "f", progress=raising).result()
    listing = "ls -A /tmp/up 2>/dev/null; true"
    eventually(lambda: said(sandbox, listing) == "", "nothing is left of the file there")
    assert not list(tmp_path.glob("down/*"))


class Halfway:
    """A progress function that waits in the middle of a transfer."""

    def __init__(self) -> None:
        self.is_there = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, done: int, total: int | None) -> None:
        if done > 1_000_000:
            self.is_there.set()
            assert self.go_on.wait(20)


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("how", ["cancel", "stop"])
def test_the_end_in_the_middle(base_url: str, tmp_path: Path, way: str, how: str) -> None:
    (tmp_path / "f").write_bytes(bytes(30_000_000))
    halfway = Halfway()
    mark = Mark()
    with Sandbox.run(environment_variables={"MARK": mark.value}) as sandbox:
        said(sandbox, "head -c 30000000 /dev/zero > /tmp/f")
        started = len(mark.pids())
        if way == "up":
            operation = sandbox.upload(tmp_path / "f", "/tmp/t/f", progress=halfway)
        else:
            operation = sandbox.download("/tmp/f", tmp_path / "down" / "f", progress=halfway)
        assert halfway.is_there.wait(20)

        if how == "cancel":
            operation._cancel()
            eventually(lambda: len(mark.pids()) <= started, "the command has ended")
            halfway.go_on.set()
            with pytest.raises(CancelledError):
                operation.result()
        else:
            sandbox.stop().result()
            halfway.go_on.set()
            with pytest.raises(SandboxNotRunningError) as raised:
                operation.result()
            assert raised.value.transferred is not None
            assert 0 < raised.value.transferred.bytes < 30_000_000
            assert raised.value.transferred.files == 0
            assert raised.value.last_member == "f"
    eventually(lambda: not list(tmp_path.glob("down/*")), "nothing is left of the file")


async def test_a_cancelled_await_ends_the_transfer(base_url: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(30_000_000))
    halfway, mark = Halfway(), Mark()
    async with Sandbox(environment_variables={"MARK": mark.value}) as sandbox:
        await sandbox

        async def copy() -> None:
            await sandbox.upload(tmp_path / "f", "/tmp/f", progress=halfway)

        started = len(mark.pids())
        task = asyncio.create_task(copy())
        await asyncio.to_thread(halfway.is_there.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(
            eventually, lambda: len(mark.pids()) <= started, "the command has ended"
        )
        halfway.go_on.set()


def test_a_time_limit(sandbox: Sandbox, tmp_path: Path) -> None:
    said(sandbox, "mkdir /tmp/t && head -c 5000000 /dev/zero > /tmp/t/f")

    pauses = iter([1.5])

    def slow(done: int, total: int | None) -> None:
        if done:
            assert not never.wait(next(pauses, 0))

    never = threading.Event()
    with pytest.raises(SandboxTimeoutError, match=r"Download of .*timed out after 1s") as raised:
        sandbox.download("/tmp/t", tmp_path / "t", progress=slow, timeout_seconds=1).result()
    assert raised.value.timeout == 1
    assert raised.value.transferred is not None
    assert list((tmp_path / "t").iterdir()) == []


def test_a_stopped_sandbox(base_url: str, tree: Path, tmp_path: Path) -> None:
    with Sandbox.run() as sandbox:
        sandbox.wait()
    for operation in (sandbox.upload(tree, "/t"), sandbox.download("/tmp", tmp_path / "x")):
        with pytest.raises(SandboxNotRunningError):
            operation.result()


def test_it_creates_the_sandbox_and_waits_for_it(base_url: str, tree: Path) -> None:
    sandbox = Sandbox()
    try:
        # More than there are threads for transfers.
        copies = [sandbox.upload(tree, f"/tmp/{at}") for at in range(40)]
        assert len({results(copy) for copy in copies}) == 1
        assert said(sandbox, "ls /tmp | wc -l") == "40\n"
    finally:
        sandbox.stop().result()


def test_without_tar(base_url: str, tree: Path, tmp_path: Path) -> None:
    with Sandbox.run(environment_variables={"PATH": "/nowhere"}) as sandbox:
        for operation in (sandbox.upload(tree, "/tmp/t"), sandbox.download("/tmp", tmp_path / "x")):
            with pytest.raises(SandboxTransferError, match="there is no tar program in the san"):
                operation.result()


def test_tars_own_words(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "t" / "d").mkdir(parents=True)
    (tmp_path / "t" / "d" / "f").touch()
    said(sandbox, "mkdir -p /tmp/t/d/f/g")
    with pytest.raises(SandboxTransferError, match=r"tar: d/f: Cannot open"):
        sandbox.upload(f"{tmp_path}/t/.", "/tmp/t").result()


def test_a_local_fault_in_the_middle(sandbox: Sandbox, tmp_path: Path) -> None:
    """What was whole before is there, and what was not whole is not."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "first").write_bytes(bytes(600_000))

    def excluding(path: str) -> bool:
        if path == "d/":
            raise LookupError("d")
        return False

    (tmp_path / "t" / "d").mkdir()
    with pytest.raises(LookupError):
        sandbox.upload(tmp_path / "t", "/tmp/t", exclude=excluding).result()
    os.mkfifo(tmp_path / "t" / "d" / "fifo")
    with pytest.raises(SandboxTransferError, match="'d/fifo' is neither a file") as raised:
        sandbox.upload(tmp_path / "t", "/tmp/u").result()
    assert raised.value.member == "d/fifo"
    assert said(sandbox, "stat -c %s /tmp/u/first") == "600000\n"


@pytest.mark.parametrize("name", ["f", "t/f"])
def test_a_file_that_shrinks(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(bytes(4_000_000))

    def shrinking(done: int, total: int | None) -> None:
        if done:
            os.truncate(place, 1000)

    top = tmp_path / name.split("/")[0]
    with pytest.raises(SandboxTransferError, match="'f' shrank while it was read, from 4000000"):
        sandbox.upload(top, "/tmp/x/t", progress=shrinking).result()
    if name == "f":
        eventually(lambda: said(sandbox, "ls -A /tmp/x") == "", "nothing is left of the file")
    assert sandbox.exec(["true"]).result().returncode == 0


def test_a_special_file_there_is_not_replaced(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(1000))
    said(sandbox, "mkfifo /tmp/fifo")
    with pytest.raises(SandboxTransferError, match="/tmp/fifo is there already, and is not a file"):
        sandbox.upload(tmp_path / "f", "/tmp/fifo").result()


def test_a_local_directory_that_cannot_be_written(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said(sandbox, "mkdir -p /tmp/t")
    with pytest.raises(SandboxTransferError, match="Not a directory"):
        sandbox.download("/tmp/t", tmp_path / "file" / "t").result()
    with pytest.raises(SandboxTransferError, match="File exists"):
        sandbox.download("/tmp/t", tmp_path / "file").result()
    os.mkfifo(tmp_path / "fifo")
    said(sandbox, "echo hi > /tmp/f")
    with pytest.raises(SandboxTransferError, match="a special file of that name is here"):
        sandbox.download("/tmp/f", tmp_path / "fifo").result()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo", "file"]


def test_a_target_that_is_a_symlink_stays_one(sandbox: Sandbox, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "new\n"
    source.write_text("new")
    said(sandbox, "mkdir /tmp/s && cd /tmp/s && ln -s file link && ln -s loop loop && mkfifo fifo")
    said(sandbox, 'cd /tmp/s && touch file && ln -s fifo special && ln -s "new\n" odd')
    for name in ("link", "odd"):
        sandbox.upload(source, f"/tmp/s/{name}").result()
    assert said(
        sandbox, 'cd /tmp/s; readlink link; cat file; cat "new\n"; find . -type l | wc -l'
    ) == ("file\nnewnew4\n")
    os.mkfifo(tmp_path / "fifo")
    for name, to in {"link": target, "special": "fifo"}.items():
        (tmp_path / name).symlink_to(to)
    sandbox.download("/tmp/s/file", tmp_path / "link").result()
    assert ((tmp_path / "link").is_symlink(), target.read_text()) == (True, "new")
    for link, fault in {"special": "is not a file", "loop": "leads nowhere"}.items():
        with pytest.raises(SandboxTransferError, match=fault):
            sandbox.upload(source, f"/tmp/s/{link}").result()
    with pytest.raises(SandboxTransferError, match="a special file of that name is here"):
        sandbox.download("/tmp/s/file", tmp_path / "special").result()
    assert (tmp_path / "special").is_symlink()


@pytest.mark.parametrize("what", ["fifo", "dev", "link", "socket"])
def test_what_is_no_file_there(sandbox: Sandbox, tmp_path: Path, what: str) -> None:
    said(sandbox, "mkdir -p /tmp/t && mkfifo /tmp/t/fifo && ln -s /etc /tmp/t/link")
    said(sandbox, "ln -s /dev/null /tmp/t/dev")
    place, text = {
        "fifo": ("/tmp/t/fifo", "neither a file nor a directory"),
        "dev": ("/dev/zero", "neither a file nor a directory"),
        "link": ("/tmp/t/.", "'link' is a symlink to '/etc', which leads out of the copy"),
        "socket": ("/tmp/none/f", "No such file or directory"),
    }[what]
    with pytest.raises(SandboxTransferError, match=text):
        sandbox.download(place, tmp_path / "x", exclude=["fifo", "dev"]).result()


def test_wrong_arguments(sandbox: Sandbox, tmp_path: Path) -> None:
    anything: Any = sandbox
    for wrong in (3, b"/tmp", None):
        with pytest.raises(TypeError, match="local must be a str or a path object"):
            anything.upload(wrong, "/tmp")
        with pytest.raises(TypeError, match="remote must be a str or a path object"):
            anything.download(wrong, "/tmp")
    for method in (anything.upload, anything.download):
        with pytest.raises(ValueError, match="must not be empty"):
            method("", "/tmp")
        with pytest.raises(ValueError, match="must not contain NUL"):
            method("/a\0", "/tmp")
        with pytest.raises(ValueError, match="must not contain a lone surrogate"):
            method("/a\ud800", "/tmp")
        with pytest.raises(TypeError, match="progress must be a function"):
            method("/a", "/tmp", progress=True)
        with pytest.raises(TypeError, match="exclude must be a sequence"):
            method("/a", "/tmp", exclude="*.pyc")
        with pytest.raises(ValueError, match="timeout_seconds must be a positive number"):
            method("/a", "/tmp", timeout_seconds=0)


def test_memory_does_not_grow_with_what_is_copied(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    for name in ("a", "b"):
        with open(tmp_path / "t" / name, "wb") as file:
            file.truncate(48_000_000)
    sandbox.upload(tmp_path / "t", "/tmp/first", exclude=["b"]).result()
    most = start = host.resident_bytes(os.getpid())

    def look(done: int, total: int | None) -> None:
        nonlocal most
        most = max(most, host.resident_bytes(os.getpid()))

    sandbox.upload(tmp_path / "t", "/tmp/t", progress=look).result()
    done = sandbox.download("/tmp/t", tmp_path / "back", progress=look).result()
    assert done == TransferResult(files=2, bytes=96_000_000)
    assert most - start < 16_000_000
