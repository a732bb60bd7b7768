"""Trees of files into a sandbox and out of it again."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

import pytest

from cwsandbox import Sandbox, SandboxTransferError, TransferResult

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

    assert tree_of(tmp_path / "back") == tree_of(tree)


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

    with pytest.raises(SandboxTransferError, match="missing' No such file") as here:
        sandbox.upload(tmp_path / "missing", "/tmp/x").result()
    assert isinstance(here.value.__cause__, FileNotFoundError)
