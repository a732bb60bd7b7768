"""Archives of all honest kinds."""

from __future__ import annotations

import errno
import io
import os
import resource
import tarfile
from pathlib import Path

import pytest

from cwsandbox._archive import target
from cwsandbox._archive.exclude import excludes
from cwsandbox._archive.fault import ArchiveFault
from unit.archives import archive, member, unpack

FORMATS = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT, "ustar": tarfile.USTAR_FORMAT}


@pytest.mark.parametrize("size", [1, 511, 512, 513, 100_000])
@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_in_chunks_of_any_size(kind: str, size: int, tmp_path: Path) -> None:
    long = "/".join(["n" * 60] * 3) if kind == "ustar" else "/".join(["n" * 200] * 4)
    link = "x" * (100 if kind == "ustar" else 300)
    content = bytes(range(256)) * 5
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=FORMATS[kind]) as file:
        for name, fields in {
            "./": {"type": tarfile.DIRTYPE},
            "./d/": {"type": tarfile.DIRTYPE, "mode": 0o500, "mtime": 1_000_000_000},
            "./d/f": {"size": len(content), "mode": 0o640, "mtime": 1_200_000_000},
            f"./{long}": {"size": 3},
            "./link": {"type": tarfile.SYMTYPE, "linkname": link, "mtime": 5},
            "./hard": {"type": tarfile.LNKTYPE, "linkname": "./d/f"},
            "./größe": {"size": 0},
        }.items():
            info = tarfile.TarInfo(name)
            for field, value in fields.items():
                setattr(info, field, value)
            file.addfile(info, io.BytesIO(content))

    tally = unpack(packed.getvalue(), tmp_path, size=size)

    assert (tmp_path / "d/f").read_bytes() == content
    assert (tmp_path / "d/f").stat().st_mode & 0o7777 == 0o640
    assert (tmp_path / "d/f").stat().st_mtime == 1_200_000_000
    assert (tmp_path / "d").stat().st_mode & 0o7777 == 0o500
    assert (tmp_path / "d").stat().st_mtime == 1_000_000_000
    assert (tmp_path / long).read_bytes() == content[:3]
    assert os.readlink(tmp_path / "link") == link
    assert (tmp_path / "link").lstat().st_mtime == 5
    assert (tmp_path / "hard").samefile(tmp_path / "d/f")
    assert (tmp_path / "größe").stat().st_size == 0
    assert (tally.files, tally.directories, tally.symlinks) == (4, 1, 1)
    assert tally.bytes == len(content) + 3
    (tmp_path / "d").chmod(0o700)


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    data = archive(member("n\udcff", content=b"x"), member("m\udcfe" * 60, content=b"y"))
    unpack(data, tmp_path)
    assert sorted(os.listdir(bytes(tmp_path))) == [b"m\xfe" * 60, b"n\xff"]


def test_extended_headers_of_bsd_tar(tmp_path: Path) -> None:
    body = b"".join(
        b"%d %b\n" % (len(text) + 4, text)
        for text in (b"mtime=1000000000.25", b"path=other", b"SCHILY.xattr.user.a=\x00\n=\xff ")
    )
    unpack(archive(member("x", b"x", content=body), member("name", content=b"1")), tmp_path)
    assert (tmp_path / "other").stat().st_mtime == 1_000_000_000


def test_an_old_archive_has_directories_by_their_names(tmp_path: Path) -> None:
    unpack(archive(member("d/", b"\0"), member("d/f", b"\0", content=b"x")), tmp_path)
    assert (tmp_path / "d/f").read_bytes() == b"x"


def test_a_hard_link_that_repeats_the_size_of_its_file(tmp_path: Path) -> None:
    data = archive(
        member("f", content=b"x" * 600),
        member("h", tarfile.LNKTYPE, linkname="f", size=600),
        member("g", content=b"y"),
    )
    unpack(data, tmp_path)
    assert (tmp_path / "g").read_bytes() == b"y"


def test_a_file_under_its_own_name_again(tmp_path: Path) -> None:
    data = archive(member("f", content=b"x"), member("f", tarfile.LNKTYPE, linkname="f"))
    unpack(data, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_what_is_excluded_is_not_looked_at(tmp_path: Path) -> None:
    data = archive(
        member("d/f", content=b"x" * 3000),
        member("d/p", tarfile.FIFOTYPE),
        member("l", tarfile.SYMTYPE, linkname="/etc"),
        member("kept", content=b"x"),
    )
    tally = unpack(data, tmp_path, excludes(["d", "l"]))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tally.files, tally.bytes) == (1, 1)


def test_a_hard_link_to_what_is_excluded(tmp_path: Path) -> None:
    data = archive(member("a", content=b"x"), member("b", tarfile.LNKTYPE, linkname="a"))
    (tmp_path / "a").write_text("mine")
    with pytest.raises(ArchiveFault, match="a, which is excluded"):
        unpack(data, tmp_path, excludes(["a"]))


def test_an_interrupted_file_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    with pytest.raises(ArchiveFault):
        unpack(member("f", content=b"x" * 3000)[:2000], tmp_path)
    assert (tmp_path / "f").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(opened: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "f").write_text("old")
    monkeypatch.setattr(target.os, "write", full)
    with pytest.raises(ArchiveFault, match="cannot be written: No space left on device") as raised:
        unpack(archive(member("f", content=b"x")), tmp_path)
    assert raised.value.member == "f"
    assert (tmp_path / "f").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(target.os, "write", lambda opened, data: real(opened, data[:7]))
    unpack(archive(member("f", content=b"0123456789" * 3)), tmp_path)
    assert (tmp_path / "f").read_bytes() == b"0123456789" * 3


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_special_file_is_not_replaced(tmp_path: Path, kind: bytes) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ArchiveFault, match="a special file of that name is here"):
        unpack(archive(member("f"), member("fifo", kind, linkname="f")), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "fifo"]


def test_a_directory_that_is_there_gets_its_mode(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o700)
    unpack(archive(member("d", tarfile.DIRTYPE, mode=0o755), member("d/f")), tmp_path)
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o755


def test_many_directories_need_few_descriptors(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 300)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = max(map(int, os.listdir("/proc/self/fd"))) + 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    try:
        unpack(archive(member(f"{deep}/f", content=b"x"), member("g")), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (tmp_path / deep / "f").read_bytes() == b"x"
