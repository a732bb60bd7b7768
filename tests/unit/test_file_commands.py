"""The scripts that transfer files which are too large for one message, run by the shells that are here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cwsandbox._messages import files

SHELLS = sorted(
    {os.path.realpath(path) for path in map(shutil.which, ("sh", "dash", "bash")) if path}
)
is_root = os.geteuid() == 0


def run(
    command: list[str], shell: str, folder: Path, content: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [shell, *command[1:]],
        input=content,
        capture_output=True,
        check=False,
        cwd=folder,
        timeout=20,
    )


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


NAMES = ["plain", "-", "-n", "two words", "$(id)", "quote'\"", "*", "new\nline", "a/b/c", "ünï"]


@pytest.mark.parametrize("name", NAMES)
def test_names(shell: str, tmp_path: Path, name: str) -> None:
    for path in (name, str(tmp_path / "absolute" / name)):
        for command in (files.write_command(path, 5), files.write_stream_command(path)):
            done = run(command, shell, tmp_path, b"\0\n\xff ~")
            assert (done.returncode, done.stderr) == (0, b"")
        for command in (
            files.read_command(path, limited=False),
            files.read_command(path, limited=True),
            files.read_stream_command(path),
        ):
            done = run(command, shell, tmp_path)
            assert (done.returncode, done.stdout, done.stderr) == (0, b"\0\n\xff ~", b"")
    assert not list(tmp_path.rglob(".cwsandbox*"))


def test_reading_says_what_is_wrong(shell: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    for name, code in (("missing", 2), ("dangling", 2), ("folder", 3)):
        done = run(files.read_command(name, limited=False), shell, tmp_path)
        assert done.returncode == code
        assert name.encode() in done.stderr
        assert done.stdout == b""


@pytest.mark.skipif(is_root, reason="root may do everything")
def test_missing_permissions(shell: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("old")
    secret.chmod(0)
    for command in (
        files.read_command("secret", limited=False),
        files.write_command("secret", 1),
    ):
        done = run(command, shell, tmp_path, b"x")
        assert done.returncode not in (0, 2, 3)
        assert b"Permission denied" in done.stderr


def test_the_size_is_printed_or_checked(shell: str, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    done = run(files.write_command("file", 6), shell, tmp_path, b"12345")
    assert (done.returncode, target.read_text()) == (1, "old")
    assert b"5 of 6 bytes" in done.stderr
    done = run(files.write_command("file", 4), shell, tmp_path, b"12345")  # as many as announced
    assert (done.returncode, target.read_text()) == (0, "1234")
    done = run(files.write_stream_command("file"), shell, tmp_path, b"12345")
    assert (done.returncode, target.read_text()) == (0, "12345")
    assert int(done.stdout) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_was_there_keeps_its_mode_and_its_links(shell: str, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_text("old")
    real.chmod(0o751)
    (tmp_path / "link").symlink_to("real")
    run(files.write_stream_command("link"), shell, tmp_path, b"new")
    assert (real.read_text(), real.stat().st_mode & 0o777) == ("new", 0o751)
    assert (tmp_path / "link").is_symlink()


def test_what_is_no_file_is_written_to_as_it_is(shell: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    done = run(files.write_command("folder", 1), shell, tmp_path, b"x")
    assert (done.returncode, b"Is a directory" in done.stderr) == (3, True)
    assert run(files.write_command("/dev/null", 1), shell, tmp_path, b"x").returncode == 0
    assert Path("/dev/null").is_char_device()


def children(pid: int) -> list[str]:
    """The names of the programs that a process has started and that still run."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{child}/comm").read_text().strip() for child in pids]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_a_write_that_is_ended_leaves_nothing(
    shell: str, tmp_path: Path, how: signal.Signals
) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    process = subprocess.Popen(
        [shell, *files.write_command("file", 100)[1:]],
        stdin=subprocess.PIPE,
        cwd=tmp_path,
        start_new_session=True,
    )
    with process:
        assert process.stdin is not None
        process.stdin.write(b"some")
        process.stdin.flush()
        for _ in range(1000):
            if "head" in children(process.pid):
                break
            time.sleep(0.01)
        os.killpg(process.pid, how)
        assert process.wait(timeout=10) != 0
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
