"""`cwsandbox files`."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import MagicMock, patch

import pytest
from click.testing import Result

from cli.program import PATH, Program, assert_one_line_error
from cwsandbox import Sandbox, SandboxFileError
from cwsandbox._messages.files import FILE_MAX

Invoke = Callable[..., Result]

EVERY_BYTE = bytes(range(256)) * 1000
CALL = {"timeout_seconds": None, "container": None}


@pytest.fixture
def from_id() -> Iterator[MagicMock]:
    with patch("cwsandbox.cli.files.Sandbox") as stand_in:
        yield stand_in.from_id


@pytest.fixture
def found(from_id: MagicMock) -> MagicMock:
    """The sandbox, whose file has the content `content`."""
    sandbox: MagicMock = from_id.return_value.result.return_value
    sandbox.read_file.return_value.result.return_value = b"content"
    return sandbox


def test_what_read_asks_for(invoke: Invoke, from_id: MagicMock, found: MagicMock) -> None:
    done = invoke("files", "read", "sb-1", "/f")
    assert (done.exit_code, done.stdout_bytes) == (0, b"content")
    from_id.assert_called_once_with("sb-1", data_plane_mode="auto")
    found.read_file.assert_called_once_with("/f", **CALL)


def test_what_write_asks_for(
    invoke: Invoke, from_id: MagicMock, found: MagicMock, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"\xff\0")
    done = invoke("files", "write", "sb-1", "/r", str(tmp_path / "f"))
    assert (done.exit_code, done.stdout) == (0, "Wrote 2 bytes to /r.\n")
    from_id.assert_called_once_with("sb-1", data_plane_mode="auto")
    found.write_file.assert_called_once_with("/r", b"\xff\0", **CALL)


@pytest.mark.parametrize("verb", ["read", "write"])
def test_their_options(
    invoke: Invoke, from_id: MagicMock, found: MagicMock, verb: str, tmp_path: Path
) -> None:
    options = ("-t", "2.5", "--container", "c", "--data-plane-mode", "Gateway")
    (tmp_path / "f").touch()
    words = [] if verb == "read" else [str(tmp_path / "f")]
    assert invoke("files", verb, *options, "sb-1", "/r", *words).exit_code == 0
    from_id.assert_called_once_with("sb-1", data_plane_mode="gateway")
    called = getattr(found, f"{verb}_file").call_args
    assert called.kwargs == {"timeout_seconds": 2.5, "container": "c"}


def test_every_byte_both_ways(program: Program, sandbox_id: str, tmp_path: Path) -> None:
    local, back = tmp_path / "local", tmp_path / "back"
    local.write_bytes(EVERY_BYTE)
    done = program.run("files", "write", sandbox_id, "/tmp/new/folder/f", str(local))
    assert done.stdout == f"Wrote {len(EVERY_BYTE)} bytes to /tmp/new/folder/f.\n".encode()
    assert (done.returncode, done.stderr) == (0, b"")
    read = ("files", "read", sandbox_id, "/tmp/new/folder/f")
    assert program.run(*read).stdout == EVERY_BYTE
    done = program.run(*read, "-o", str(back))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert back.read_bytes() == EVERY_BYTE


def test_quiet(invoke: Invoke, found: MagicMock, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    assert invoke("files", "write", "-q", "x", "/r", str(tmp_path / "f")).output == ""


def test_a_dash_is_a_file_name(
    invoke: Invoke, found: MagicMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("files", "write", "x", "/r", "-").exit_code == 2
    assert invoke("files", "read", "x", "/r", "-o", "-").exit_code == 0
    assert (tmp_path / "-").read_bytes() == b"content"
    assert invoke("files", "write", "x", "/r", "-").exit_code == 0


def test_a_target_of_a_failed_read_is_untouched(
    program: Program, sandbox_id: str, tmp_path: Path
) -> None:
    (tmp_path / "old").write_bytes(b"old")
    for name in ("old", "new"):
        done = program.run("files", "read", sandbox_id, "/none", "-o", str(tmp_path / name))
        assert_one_line_error(done, "/none")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_a_target_keeps_its_mode_and_place(
    invoke: Invoke, found: MagicMock, tmp_path: Path
) -> None:
    real, link, new = tmp_path / "real", tmp_path / "link", tmp_path / "new"
    real.touch(0o640)
    real.chmod(0o640)
    link.symlink_to("real")
    mask = os.umask(0o027)
    try:
        for target in (link, new):
            assert invoke("files", "read", "x", "/f", "-o", str(target)).exit_code == 0
    finally:
        os.umask(mask)
    assert link.is_symlink()
    assert real.read_bytes() == new.read_bytes() == b"content"
    assert stat.S_IMODE(real.stat().st_mode) == stat.S_IMODE(new.stat().st_mode) == 0o640
    assert len([*tmp_path.iterdir()]) == 3


def test_a_target_that_is_no_file(program: Program, sandbox: Sandbox) -> None:
    sandbox.write_file("/tmp/f", EVERY_BYTE).result()
    read = ("files", "read", str(sandbox.sandbox_id), "/tmp/f", "-o")
    assert program.run(*read, "/dev/stdout").stdout == EVERY_BYTE
    assert_one_line_error(program.run(*read, "/dev/full"), "No space left", "/dev/full")


def test_a_target_that_cannot_be_written(
    invoke: Invoke, found: MagicMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "/a/temporary/name")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    done = invoke("files", "read", "x", "/f", "-o", str(tmp_path / "f"))
    assert done.exit_code == 1
    assert done.stderr == f"Error: Permission denied: {tmp_path / 'f'}\n"


def test_a_write_that_fails_leaves_no_part(
    invoke: Invoke, found: MagicMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "f").write_bytes(b"old")
    monkeypatch.setattr("os.replace", fill)
    done = invoke("files", "read", "x", "/f", "-o", str(tmp_path / "f"))
    assert (done.exit_code, done.stderr[:29]) == (1, "Error: No space left on devic")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_bytes() == b"old"


def test_stdout_that_is_full_or_not_read(program: Program, sandbox: Sandbox) -> None:
    sandbox.write_file("/tmp/f", EVERY_BYTE).result()
    read = ["files", "read", str(sandbox.sandbox_id), "/tmp/f"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [PATH, *read], stdout=full, stderr=subprocess.PIPE, check=False, timeout=40
        )
    assert (done.returncode, done.stderr) == (1, b"Error: No space left on device\n")
    with program.start(*read, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.close()
        assert running.stderr is not None
        assert running.stderr.read() == b""
    assert running.returncode == 0


def test_a_local_file_that_never_ends(invoke: Invoke, from_id: MagicMock) -> None:
    done = invoke("files", "write", "x", "/r", "/dev/zero")
    assert done.exit_code == 1
    assert f"{FILE_MAX >> 20} MiB" in done.stderr
    assert "`cwsandbox cp`" in done.stderr
    from_id.assert_not_called()


def test_what_the_sandbox_refuses(program: Program, sandbox_id: str, tmp_path: Path) -> None:
    assert_one_line_error(program.run("files", "read", sandbox_id, "/tmp"), "/tmp", "directory")
    (tmp_path / "f").touch()
    done = program.run("files", "write", sandbox_id, "/tmp", str(tmp_path / "f"))
    assert_one_line_error(done, "/tmp", "directory")
    assert_one_line_error(program.run("files", "read", "nothing", "/f"), "nothing", "cwsandbox ls")


def test_a_failure_of_the_library(invoke: Invoke, found: MagicMock) -> None:
    found.read_file.return_value.result.side_effect = SandboxFileError("first\nsecond")
    done = invoke("files", "read", "x", "/f")
    assert (done.exit_code, done.stderr) == (1, "Error: first second\n")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["read", "x"],
        ["read", "x", "/f", "-o", "/"],
        ["read", "x", "/f", "-o", ""],
        ["read", "x", "/f", "-o", "/no/such/folder/f"],
        ["read", "x", "/f", "-t", "0"],
        ["read", "x", "/f", "--data-plane-mode", "pigeon"],
        ["write", "x", "/f"],
        ["write", "x", "/f", "/no/such/file"],
        ["write", "x", "/f", "/"],
    ],
)
def test_wrong_usage(invoke: Invoke, from_id: MagicMock, words: list[str]) -> None:
    assert invoke("files", *words).exit_code == 2
    from_id.assert_not_called()
