"""Archives from a sandbox that means ill: each is an error that names the member, and nothing is written outside."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from cwsandbox._archive.fault import ArchiveCut, ArchiveFault
from unit.archives import archive, member, unpack

SYM, LNK, DIR = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """The directory to unpack in; a secret lies beside it."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "top").mkdir()
    return tmp_path / "top"


def everything_outside(top: Path) -> dict[str, str]:
    return {
        str(path): path.read_text() if path.is_file() else "directory"
        for path in top.parent.rglob("*")
        if top not in path.parents and path != top
    }


HOSTILE = {
    "absolute": ("/tmp/evil", [member("/tmp/evil", content=b"x")]),
    "absolute directory": ("/tmp/evil", [member("/tmp/evil", DIR)]),
    "upwards": ("../evil", [member("../evil", content=b"x")]),
    "upwards from within": ("a/../../evil", [member("a/../../evil", content=b"x")]),
    "upwards and back": ("a/../b", [member("a/../b", content=b"x")]),
    "upwards as a directory": ("a/..", [member("a/..", DIR)]),
    "no name": (".", [member("./", content=b"x")]),
    "a symlink to an absolute path": ("l", [member("l", SYM, linkname="/etc/passwd")]),
    "a symlink upwards": ("l", [member("l", SYM, linkname="..")]),
    "a symlink upwards from within": ("d/l", [member("d/l", SYM, linkname="../../secret")]),
    "a symlink upwards by way of a name": ("l", [member("l", SYM, linkname="d/../../secret")]),
    "a symlink upwards by way of another": (
        "out",
        [
            member("d", DIR),
            member("d/same", SYM, linkname=".."),
            member("out", SYM, linkname="d/same/.."),
        ],
    ),
    "a symlink to nothing": ("l", [member("l", SYM, linkname="")]),
    "through a symlink": (
        "l/f",
        [member("d", DIR), member("l", SYM, linkname="d"), member("l/f", content=b"x")],
    ),
    "a directory through a symlink": (
        "l/e",
        [member("d", DIR), member("l", SYM, linkname="d"), member("l/e", DIR)],
    ),
    "a directory that is a symlink": (
        "l",
        [member("d", DIR), member("l", SYM, linkname="d"), member("l", DIR, mode=0)],
    ),
    "a symlink through a symlink": (
        "l/m",
        [member("d", DIR), member("l", SYM, linkname="d"), member("l/m", SYM, linkname="x")],
    ),
    "through a file": ("f/g", [member("f", content=b"x"), member("f/g", content=b"x")]),
    "a hard link to an absolute path": ("h", [member("h", LNK, linkname="/etc/passwd")]),
    "a hard link upwards": ("h", [member("h", LNK, linkname="../secret")]),
    "a hard link to a symlink": (
        "h",
        [member("l", SYM, linkname="secret"), member("h", LNK, linkname="l")],
    ),
    "a hard link through a symlink": (
        "h",
        [
            member("d/f", content=b"x"),
            member("l", SYM, linkname="d"),
            member("h", LNK, linkname="l/f"),
        ],
    ),
    "a hard link to a directory": ("h", [member("d", DIR), member("h", LNK, linkname="d")]),
    "a hard link to nothing": ("h", [member("h", LNK, linkname="./")]),
    "a hard link to what is not there": ("h", [member("h", LNK, linkname="none/there")]),
    "a character device": ("c", [member("c", tarfile.CHRTYPE, devmajor=1, devminor=3)]),
    "a block device": ("b", [member("b", tarfile.BLKTYPE, devmajor=8)]),
    "a FIFO": ("p", [member("p", tarfile.FIFOTYPE)]),
    "a sparse file": ("s", [member("s", tarfile.GNUTYPE_SPARSE)]),
    "an unknown kind": ("u", [member("u", b"Z")]),
    "a file in the place of a directory": ("d", [member("d/f"), member("d", content=b"x")]),
    "a symlink in the place of a directory": (
        "d",
        [member("d/f"), member("d", SYM, linkname="x")],
    ),
    "a directory in the place of a file": ("f", [member("f"), member("f", DIR)]),
    "a name that is too long": ("n" * 300, [member("n" * 300, content=b"x")]),
    "a path that is too long": (("d/" * 3000)[:200], [member("d/" * 3000 + "f", content=b"x")]),
    "NUL": (
        "x",
        [member("x", content=b"x", pax_headers={"path": "a\0b"}, format=tarfile.PAX_FORMAT)],
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_member(what: str, top: Path) -> None:
    name, members = HOSTILE[what]
    before = everything_outside(top)

    with pytest.raises(ArchiveFault) as raised:
        unpack(archive(*members, member("later", content=b"x")), top)

    if what != "NUL":
        assert raised.value.member == name
    else:
        assert raised.value.member is not None
    assert everything_outside(top) == before
    assert not (top / "later").exists()
    assert not list(top.rglob(".cwsandbox-*"))


def test_a_symlink_of_the_user_is_not_followed_either(top: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (top / "mine").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ArchiveFault, match="lies below mine, which is a symlink"):
        unpack(archive(member("mine/f", content=b"x")), top)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_symlink_or_hard_link_in_a_files_place_is_replaced(top: Path, tmp_path: Path) -> None:
    (top / "symlink").symlink_to(tmp_path / "secret")
    os.link(tmp_path / "secret", top / "hard")

    unpack(archive(member("symlink", content=b"new"), member("hard", content=b"new")), top)

    assert (tmp_path / "secret").read_text() == "secret"
    assert (top / "symlink").read_text() == (top / "hard").read_text() == "new"
    assert not (top / "symlink").is_symlink()


def test_set_id_bits_are_not_taken(top: Path) -> None:
    unpack(archive(member("f", mode=0o6755), member("d", DIR, mode=0o7777)), top)
    assert (top / "f").stat().st_mode & 0o7777 == 0o755
    assert (top / "d").stat().st_mode & 0o7777 == 0o777


@pytest.mark.parametrize("mtime", [1 << 62, -(1 << 62)])
def test_times_that_there_are_not(mtime: int, top: Path) -> None:
    unpack(archive(member("f", content=b"x", mtime=mtime)), top)
    assert (top / "f").read_bytes() == b"x"


def damaged(at: int, value: bytes) -> bytes:
    data = bytearray(member("name", content=b"x"))
    data[at : at + len(value)] = value
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + sum(data[156:512]) + 256)
    return archive(bytes(data))


GARBAGE = {
    "noise": bytes(range(1, 256)) * 10,
    "text": b"Hello, World!\n" * 100,
    "a wrong checksum": archive(member("name")[:100] + b"9" + member("name")[101:]),
    "a size that is none": damaged(124, b"-0000000001\0"),
    "a size with underscores": damaged(124, b"0000_00001\0\0"),
    "a negative size": damaged(124, b"\xff" * 12),
    "a mode that is none": damaged(100, b"rwxr-xr-"),
    "a time that is none": damaged(136, b"yesterday\0\0\0"),
    "a long name without end": archive(member("L", b"L", size=1 << 40)),
    "an extended header without end": archive(member("x", b"x", size=1 << 40)),
    "an extended header that is none": archive(member("x", b"x", content=b"none\n")),
    "an extended header with a wrong length": archive(member("x", b"x", content=b"99 path=a\n")),
    "an extended header with length 0": archive(member("x", b"x", content=b"0 path=a\n")),
    "a huge length": archive(member("x", b"x", content=b"9" * 30 + b" path=a\n")),
    "an extended size that is none": archive(member("x", b"x", content=b"12 size=x1y\n")),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage(what: str, top: Path) -> None:
    with pytest.raises(ArchiveFault):
        unpack(GARBAGE[what], top)
    assert list(top.iterdir()) == []


def test_cut_at_each_place(top: Path) -> None:
    whole = archive(
        member("first", content=b"1"), member("n" * 120, content=b"x" * 600), member("d/e", DIR)
    )
    end = len(whole) - 1024
    for at in [*range(0, end, 100), end - 1, end]:
        with pytest.raises(ArchiveCut):
            unpack(whole[:at], top)
        assert not list(top.rglob(".cwsandbox-*"))
        assert {path.stat().st_size for path in top.rglob("*") if path.is_file()} <= {1, 600}
    unpack(whole, top)


def test_no_symlink_of_a_copy_leads_out_of_it(top: Path) -> None:
    """All symlinks that are taken, in chains: where they lead is inside."""
    targets = ["..", ".", "d", "../d", "../..", "d/..", "l0", "d/l1", "../l0/..", "./../d", "/d"]
    unpack(archive(member("d/e", DIR)), top)
    taken = []
    for place in ("", "d/", "d/e/"):
        for at, target in enumerate(targets):
            link = archive(member(f"{place}l{at}", SYM, linkname=target))
            try:
                unpack(link, top)
            except ArchiveFault:
                continue
            taken.append(top / f"{place}l{at}")
    assert len(taken) > 10
    for link in taken:
        leads = Path(os.path.realpath(link))
        assert leads == top or top in leads.parents, link
