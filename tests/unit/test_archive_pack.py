"""What is packed here is what GNU tar and tarfile find in it."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cwsandbox._archive import header, pack
from cwsandbox._archive.exclude import excludes
from cwsandbox._archive.fault import ArchiveFault
from cwsandbox._archive.pack import PIECE, Packer
from cwsandbox._archive.tally import Tally
from cwsandbox._cwsandbox import small_file


def packed(top: Path, patterns: list[str] | None = None) -> bytes:
    return b"".join(Packer(Tally()).tree(bytes(top), excludes(patterns)))


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8") as file:
        return {info.name: info for info in file}


@pytest.mark.parametrize("mode", [0o700, 0o555])
def test_gnu_tar_makes_the_same_tree_of_it(tmp_path: Path, mode: int) -> None:
    top = tmp_path / "top"
    (top / "d" / "e").mkdir(parents=True)
    (top / "d" / "f").write_bytes(os.urandom(PIECE + 7))
    (top / "d" / "l").symlink_to("t" * 300)
    (top / ("ü" * 100)).write_text("x")
    Path(os.fsdecode(bytes(top) + b"/\xff\n")).write_text("y")
    os.utime(top / "d" / "f", (-5, -5))
    os.utime(top / "d", (1_000_000_000, 1_000_000_000))
    (top / "d").chmod(mode)
    (tmp_path / "out").mkdir()

    subprocess.run(["tar", "-xpf", "-", "-C", tmp_path / "out"], input=packed(top), check=True)

    compared = ["diff", "-r", "--no-dereference", top, tmp_path / "out"]
    assert subprocess.run(compared, capture_output=True).stdout == b""
    out = tmp_path / "out" / "d"
    assert out.stat().st_mode & 0o7777 == mode
    assert out.stat().st_mtime == 1_000_000_000
    assert (out / "f").stat().st_mtime == -5


@pytest.mark.parametrize("size", [0, 1, 0o77777777777, 0o77777777777 + 1, 1 << 45])
@pytest.mark.parametrize("mtime", [0, -1, 1 << 31, 1 << 40])
def test_a_header_of_any_size_and_time(size: int, mtime: int) -> None:
    made = header.regular(b"name", 0o4755, size, mtime)
    found = tarfile.TarInfo.frombuf(made, "utf-8", "surrogateescape")
    assert (found.name, found.mode, found.size, found.mtime) == ("name", 0o4755, size, mtime)
    own = header.parse(made)
    assert own is not None
    assert (own.size, own.mtime, own.mode) == (size, mtime, 0o4755)


@pytest.mark.parametrize("length", [99, 100, 101, 155, 4000])
def test_a_name_of_any_length(length: int) -> None:
    name = b"n" * length
    made = header.regular(name, 0o644, 0, 0) + header.directory(name + b"d", 0o755, 0)
    made += header.symlink(b"s" + name, b"t" + name, 0) + header.END
    found = members(made)
    assert list(found) == [name.decode(), f"{name.decode()}d", f"s{name.decode()}"]
    assert found[f"s{name.decode()}"].linkname == f"t{name.decode()}"


def test_a_large_file_comes_in_pieces(tmp_path: Path) -> None:
    content = os.urandom(5 * PIECE + 1)
    (tmp_path / "f").write_bytes(content)
    tally = Tally()

    pieces = list(Packer(tally).file(bytes(tmp_path / "f"), b"other"))

    assert max(map(len, pieces)) <= PIECE + 2 * header.BLOCK + len(header.END)
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as file:
        extracted = file.extractfile("other")
        assert extracted is not None
        assert extracted.read() == content
    assert (tally.files, tally.bytes) == (1, len(content))


def test_pieces_of_many_small_files_are_bounded_and_large(tmp_path: Path) -> None:
    for at in range(600):
        (tmp_path / str(at)).write_bytes(b"x" * 3000)
    pieces = list(Packer(Tally()).tree(bytes(tmp_path), None))
    assert all(PIECE <= len(piece) < PIECE + 4096 for piece in pieces[:-1])
    assert len(members(b"".join(pieces))) == 600


def test_patterns_leave_out_whole_directories(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").touch()
    (tmp_path / "a" / "d.pyc").touch()
    os.mkfifo(tmp_path / "fifo")
    assert list(members(packed(tmp_path, ["b", "*.pyc", "fifo"]))) == ["a"]


@pytest.fixture
def special(tmp_path: Path) -> Iterator[Path]:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "s").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "s" / "socket"))
        yield tmp_path


@pytest.mark.parametrize(("name", "others"), [("fifo", ["s"]), ("s/socket", ["fifo"])])
def test_special_files_are_errors(special: Path, name: str, others: list[str]) -> None:
    with pytest.raises(ArchiveFault, match="neither a file, a directory nor a symlink") as raised:
        packed(special, others)
    assert raised.value.member == name


def test_a_file_that_has_more_than_its_size_says(tmp_path: Path) -> None:
    with pytest.raises(ArchiveFault, match="grew while it was read, from 0 bytes"):
        list(Packer(Tally()).file(b"/proc/self/status", b"status"))


@pytest.mark.parametrize("size", [20_000, PIECE, PIECE + 1, 4 * PIECE])
@pytest.mark.parametrize("change", [-1, 1, -900])
def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, change: int
) -> None:
    """It changes between its header and its content."""
    place = tmp_path / "f"
    place.write_bytes(b"x" * size)
    real = os.fstat

    def changing(opened: int) -> os.stat_result:
        found = real(opened)
        os.truncate(place, size + change)
        return found

    monkeypatch.setattr(pack.os, "fstat", changing)
    word = "grew" if change > 0 else "shrank"
    tally = Tally()
    pieces: list[bytes] = []
    with pytest.raises(ArchiveFault, match=f"{word} while it was read, from {size} bytes") as told:
        pieces.extend(Packer(tally).tree(bytes(tmp_path), None))
    assert told.value.member == "f"
    assert tally.files == 0
    # What a piece had is counted, and what was read and dropped is not.
    assert tally.bytes == max(0, sum(map(len, pieces)) - header.BLOCK)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 16 * 1024, 16 * 1024 + 1])
def test_small_files_look_like_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    place = tmp_path / "f"
    place.write_bytes(os.urandom(size))
    place.chmod(0o4751)
    os.utime(place, ns=(0, 1_234_567_890_999_999_999))
    made = packed(tmp_path)
    monkeypatch.setattr(pack, "small_file", lambda place, name: None)
    assert made == packed(tmp_path)
    assert members(made)["f"].mtime == 1_234_567_890


@pytest.mark.parametrize("name", ["n" * 99, "n" * 100, "n" * 101, "n" * 200])
@pytest.mark.parametrize("mtime", [-1, 0, 1 << 33])
def test_small_files_of_any_name_and_time(tmp_path: Path, name: str, mtime: int) -> None:
    (tmp_path / name).write_text("content")
    os.utime(tmp_path / name, (mtime, mtime))
    if (tmp_path / name).stat().st_mtime != mtime:
        pytest.skip("the file system has no such times")
    tally = Tally()
    data = b"".join(Packer(tally).tree(bytes(tmp_path), None))
    found = members(data)[name]
    assert (found.size, found.mtime, found.isreg()) == (7, mtime, True)
    assert (tally.files, tally.bytes) == (1, 7)


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((), TypeError),
        ((b"/etc/passwd",), TypeError),
        (("/etc/passwd", b"name"), TypeError),
        ((b"/etc/passwd", "name"), TypeError),
        ((b"/etc/pass\0wd", b"name"), ValueError),
    ],
)
def test_a_small_file_is_asked_for_with_bytes(
    args: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        small_file(*args)


@pytest.mark.parametrize("gone", ["f", "d"])
def test_what_vanishes_is_named(tmp_path: Path, gone: str) -> None:
    (tmp_path / "f").touch()
    (tmp_path / "d").mkdir()

    def excluding(path: str) -> bool:
        if path.rstrip("/") == gone:
            (tmp_path / "f").unlink() if gone == "f" else (tmp_path / "d").rmdir()
        return False

    with pytest.raises(ArchiveFault, match="cannot be read: No such file or directory") as raised:
        list(Packer(Tally()).tree(bytes(tmp_path), excludes(excluding)))
    assert raised.value.member == gone


def test_what_becomes_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "f").touch()

    def excluding(path: str) -> bool:
        (tmp_path / "f").unlink()
        os.mkfifo(tmp_path / "f")
        return False

    with pytest.raises(ArchiveFault, match="is no longer a file"):
        list(Packer(Tally()).tree(bytes(tmp_path), excludes(excluding)))
