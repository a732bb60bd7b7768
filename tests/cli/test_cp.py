"""`cwsandbox cp`."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import MagicMock, patch

import pytest
from click.testing import Result

from cli.program import PATH, Program, assert_one_line_error
from cli.typist import Typist
from cwsandbox import Sandbox, TransferResult

Invoke = Callable[..., Result]

CALL = {"exclude": None, "timeout_seconds": math.inf, "container": None, "progress": None}


@pytest.fixture
def from_id() -> Iterator[MagicMock]:
    with patch("cwsandbox.cli.copy.Sandbox") as stand_in:
        yield stand_in.from_id


@pytest.fixture
def found(from_id: MagicMock) -> MagicMock:
    sandbox: MagicMock = from_id.return_value.result.return_value
    for verb in (sandbox.upload, sandbox.download):
        verb.return_value.result.return_value = TransferResult(2, 1, 3, 40)
    return sandbox


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "inner").mkdir(parents=True)
    (top / "inner" / "f").write_bytes(bytes(range(256)))
    (top / "notes.log").write_bytes(b"log")
    (top / "link").symlink_to("inner/f")
    return top


@pytest.mark.parametrize(
    ("words", "verb", "paths"),
    [
        (["here", "sb-1:/there"], "upload", ("here", "/there")),
        (["sb-1:there/.", "here"], "download", ("there/.", "here")),
        (["./a:b", "sb-1:/c:d"], "upload", ("./a:b", "/c:d")),
        (["sb-1:/c", "/a:b"], "download", ("/c", "/a:b")),
    ],
)
def test_what_it_asks_for(
    invoke: Invoke,
    from_id: MagicMock,
    found: MagicMock,
    words: list[str],
    verb: str,
    paths: tuple[str, str],
) -> None:
    done = invoke("cp", *words)
    assert (done.exit_code, done.stdout) == (0, "Copied 2 files, 40 bytes.\n")
    from_id.assert_called_once_with("sb-1", data_plane_mode="auto")
    getattr(found, verb).assert_called_once_with(*paths, **CALL)


def test_its_options(invoke: Invoke, from_id: MagicMock, found: MagicMock) -> None:
    options = ("-x", "*.o", "--exclude", "/d", "-t", "9", "--container", "c", "--data-plane-mode")
    assert invoke("cp", *options, "direct", "a", "sb-1:b", "-q").output == ""
    from_id.assert_called_once_with("sb-1", data_plane_mode="direct")
    found.upload.assert_called_once_with(
        "a", "b", exclude=["*.o", "/d"], timeout_seconds=9.0, container="c", progress=None
    )


def test_json(invoke: Invoke, found: MagicMock) -> None:
    printed = json.loads(invoke("cp", "a", "sb-1:b", "-o", "json").stdout)
    assert list(printed.items()) == [
        ("files", 2),
        ("directories", 1),
        ("symlinks", 3),
        ("bytes", 40),
    ]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["a"],
        ["a", "b"],
        ["x:/a", "y:/b"],
        ["a", "x:"],
        ["a", ":/b"],
        ["a", "x:/b", "-t", "0"],
        ["a", "x:/b", "--data-plane-mode", "pigeon"],
    ],
)
def test_wrong_usage(invoke: Invoke, from_id: MagicMock, words: list[str]) -> None:
    assert invoke("cp", *words).exit_code == 2
    from_id.assert_not_called()


def test_there_and_back(program: Program, sandbox_id: str, tree: Path, tmp_path: Path) -> None:
    done = program.run("cp", "-x", "*.log", str(tree), f"{sandbox_id}:/tmp/new/")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"Copied 1 file, 256 bytes.\n"
    assert program.run("cp", f"{sandbox_id}:/tmp/new/tree", str(tmp_path / "back")).returncode == 0
    back = tmp_path / "back"
    assert sorted(path.name for path in back.rglob("*")) == ["f", "inner", "link"]
    assert (back / "inner" / "f").read_bytes() == bytes(range(256))
    assert (back / "link").is_symlink()


def test_failures_are_one_line(program: Program, sandbox_id: str, tmp_path: Path) -> None:
    here, there = str(tmp_path / "none"), f"{sandbox_id}:/none"
    assert_one_line_error(program.run("cp", here, f"{sandbox_id}:/tmp"), "none")
    assert_one_line_error(program.run("cp", there, here), "/none")
    assert_one_line_error(program.run("cp", "nothing:/tmp", here), "nothing", "cwsandbox ls")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_bar_on_a_terminal(
    base_url: str, sandbox_id: str, tree: Path, no_color: str, coloured: bool
) -> None:
    words = [PATH, "cp", tree, f"{sandbox_id}:/tmp/bar"]
    with Typist(words, NO_COLOR=no_color, TERM="xterm-256color") as person:
        assert person.wait() == 0
    assert b"tree " in person.seen
    assert b"Copied 2 files, 259 bytes.\r\n" in person.seen
    assert (b"\x1b[38;" in person.seen or b"\x1b[32m" in person.seen) is coloured
    assert person.seen.rindex(b"\x1b[?25h") > person.seen.rindex(b"\x1b[?25l")


def test_no_bar_if_nobody_would_see_it(base_url: str, sandbox_id: str, tree: Path) -> None:
    words = [PATH, "cp", "-q", tree, f"{sandbox_id}:/tmp/quiet"]
    with Typist(words) as person:
        assert person.wait() == 0
    assert person.seen == b""


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)],
)
def test_a_signal_ends_it(
    base_url: str, sandbox: Sandbox, tmp_path: Path, number: int, code: int
) -> None:
    """Nothing but whole files is left, and the cursor is shown."""
    sandbox.exec(["mkdir", "/tmp/huge"]).result()
    sandbox.exec(["truncate", "-s", "1T", "/tmp/huge/f"], check=True).result()
    words = [PATH, "cp", f"{sandbox.sandbox_id}:/tmp/huge", tmp_path / "huge"]
    with Typist(words, TERM="xterm-256color") as person:
        person.see(b"MB/s")
        person.signal(number)
        assert person.wait() == code
    assert b"Error" not in person.seen
    assert person.seen.rindex(b"\x1b[?25h") > person.seen.rindex(b"\x1b[?25l")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
