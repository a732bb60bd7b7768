"""The direct data plane of a real daemon, with this package and its command line."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cwsandbox import Sandbox, SandboxUnavailableError
from integration.env import Daemon, eventually

TOKEN = "a-token-0123456789"
PROGRAM = Path(sys.executable).parent / "cwsandbox"
MIB = 1 << 20


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with (
        tempfile.TemporaryDirectory(prefix="cwsd-") as folder,
        Daemon(Path(folder), token=TOKEN) as daemon,
    ):
        yield daemon


@pytest.fixture(autouse=True)
def settings(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
    monkeypatch.setenv("CWSANDBOX_API_KEY", TOKEN)


def use(sandbox: Sandbox, tmp_path: Path) -> None:
    """Every kind of operation."""
    content = bytes(range(256)) * 4096
    sandbox.write_file("/tmp/f", content).result()
    assert sandbox.read_file("/tmp/f").result() == content
    result = sandbox.exec(["sh", "-c", "wc -c; pwd; exit 3"], stdin=False, cwd="/usr").result()
    assert (result.stdout, result.returncode) == ("0\n/usr\n", 3)
    process = sandbox.exec(["cat"], stdin=True)
    process.stdin.write(content).result()
    process.stdin.close().result()
    assert process.result().stdout_bytes == content
    sandbox.write_file_streaming("/tmp/g", iter([content] * 40)).result()
    assert sum(map(len, sandbox.read_file_streaming("/tmp/g"))) == 40 * MIB
    assert len(sandbox.read_file("/tmp/g").result()) == 40 * MIB
    sandbox.download("/tmp/g", tmp_path / "g").result()
    sandbox.upload(tmp_path / "g", "/tmp/h").result()
    assert (tmp_path / "g").stat().st_size == 40 * MIB
    with sandbox.shell(["sh", "-c", "read line; echo $line; exit 4"]) as session:
        session.stdin.write(b"typed\n").result()
        assert b"typed" in b"".join(session.output)
        assert session.wait() == 4
    assert list(sandbox.stream_logs(tail_lines=1)) == ["ready\n"]


@pytest.mark.parametrize("mode", ["direct", "auto", "gateway"])
def test_every_operation_in_every_mode(mode: str, tmp_path: Path) -> None:
    command = ("sh", "-c", "echo ready; sleep 60")
    with Sandbox.run(*command, data_plane_mode=mode) as sandbox:
        for _ in range(2):
            use(sandbox, tmp_path)


def test_many_at_once() -> None:
    with Sandbox.run(data_plane_mode="direct") as sandbox:
        processes = [sandbox.exec(["echo", str(n)]) for n in range(200)]
        assert [process.result().stdout for process in processes] == [f"{n}\n" for n in range(200)]


def test_a_log_outlives_its_sandbox_in_auto() -> None:
    waiting = "echo ready; until [ -e /tmp/end ]; do sleep 0.05; done"
    with Sandbox.run("sh", "-c", waiting) as sandbox:
        for _ in range(3):
            sandbox.wait()
            list(sandbox.stream_logs())
        sandbox.write_file("/tmp/end", b"")  # whose answer the end of the sandbox may overtake
        sandbox.wait_until_complete().result()
        assert list(sandbox.stream_logs()) == ["ready\n"]
        assert list(sandbox.stream_logs(follow=True)) == ["ready\n"]


def test_handles_found_by_id_and_in_lists() -> None:
    with Sandbox.run(tags=["direct-test"]) as sandbox:
        sandbox.wait()
        assert sandbox.sandbox_id is not None
        by_id = Sandbox.from_id(sandbox.sandbox_id, data_plane_mode="direct").result()
        (listed,) = Sandbox.list(tags=["direct-test"], data_plane_mode="direct").result()
        for found in (by_id, listed):
            assert found.exec(["echo", "hello"]).result().stdout == "hello\n"


@pytest.mark.parametrize("mode", ["auto", "gateway", "direct"])
def test_the_command_line_has_the_modes(mode: str) -> None:
    with Sandbox.run("sh", "-c", "echo ready; sleep 60") as sandbox:
        sandbox.wait()
        eventually(lambda: list(sandbox.stream_logs()), "the log has begun")
        for words, expected in (
            (["exec", "--data-plane-mode", mode, str(sandbox.sandbox_id), "echo", "hi"], b"hi\n"),
            (["logs", "--data-plane-mode", mode, str(sandbox.sandbox_id)], b"ready\n"),
        ):
            done = subprocess.run([PROGRAM, *words], capture_output=True, timeout=40, check=False)
            assert (done.returncode, done.stdout) == (0, expected), done.stderr


@pytest.mark.parametrize("off", [True, False], ids=["off", "unix"])
def test_where_there_is_none(off: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("--data-plane", "off") if off else ()
    with (
        tempfile.TemporaryDirectory(prefix="cwsd-") as folder,
        Daemon(Path(folder), token=TOKEN if off else None, arguments=arguments) as daemon,
    ):
        monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
        with Sandbox.run() as sandbox:
            for _ in range(5):
                assert sandbox.exec(["echo", "hello"]).result().stdout == "hello\n"
        with (
            Sandbox.run(data_plane_mode="direct") as sandbox,
            pytest.raises(SandboxUnavailableError, match="no direct data plane"),
        ):
            sandbox.exec(["true"]).result()


@pytest.mark.parametrize("host", ["127.0.0.2", "[::1]"])
def test_a_daemon_at_its_own_address(host: str) -> None:
    if ":" in host and not _has_ipv6():
        pytest.skip("this host has no IPv6")
    with (
        tempfile.TemporaryDirectory(prefix="cwsd-") as folder,
        Daemon(Path(folder), arguments=("--data-plane", f"{host}:0")) as daemon,
        Sandbox(base_url=daemon.base_url, data_plane_mode="direct") as sandbox,
    ):
        assert sandbox.exec(["echo", "hello"]).result().stdout == "hello\n"
        assert f"data plane: https://{host}:" in daemon.stderr


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
