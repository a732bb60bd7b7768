"""A daemon ends, or is killed, under clients of its direct data plane, and another one takes its place."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest

from conformance.direct_client import Direct
from conformance.test_daemon_direct import Gateway
from cwsandbox import (
    Sandbox,
    SandboxError,
    SandboxNotFoundError,
    SandboxNotRunningError,
    SandboxUnavailableError,
)
from integration.env import Daemon
from integration.test_direct import TOKEN


class Successor(Daemon):
    """Listens where another daemon did; its authority is a new one."""

    def __init__(self, folder: Path, before: Daemon, data_plane: str) -> None:
        super().__init__(folder, token=TOKEN, arguments=("--data-plane", data_plane))
        self._address = before.base_url.removeprefix("http://")

    def command(self, ready_fd: int) -> list[str]:
        words = super().command(ready_fd)
        words[words.index("--listen") + 1] = self._address
        return words


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="cwsd-") as folder:
        daemon = Daemon(Path(folder), token=TOKEN)
        daemon.start()
        monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
        monkeypatch.setenv("CWSANDBOX_API_KEY", TOKEN)
        yield daemon
        if daemon.is_running:
            daemon.stop()


def data_plane_of(daemon: Daemon, sandbox: Sandbox) -> str:
    with grpc.insecure_channel(daemon.base_url.removeprefix("http://")) as channel:
        return Direct(Gateway(channel), str(sandbox.sandbox_id)).address


def raised_by(attempt: Callable[[], object]) -> type[BaseException]:
    with pytest.raises(SandboxError) as caught:
        attempt()
    return type(caught.value)


@pytest.mark.parametrize("same_port", [True, False], ids=["same_port", "other_port"])
@pytest.mark.parametrize("mode", ["direct", "auto"])
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "ended"])
def test_what_runs_is_lost_and_the_successor_is_asked(
    daemon: Daemon, killed: bool, mode: str, same_port: bool, tmp_path: Path
) -> None:
    sandbox = Sandbox.run("sh", "-c", "echo ready; sleep 100", data_plane_mode=mode)
    for _ in range(3):
        sandbox.exec(["true"]).result()
    address = data_plane_of(daemon, sandbox)
    process = sandbox.exec(["sh", "-c", "echo begun; sleep 100"])
    assert next(iter(process.stdout)) == "begun\n"
    cat = sandbox.exec(["cat"], stdin=True)
    cat.stdin.write(b"typed").result()
    terminal = sandbox.shell(["sh", "-c", "echo begun; sleep 100"])
    assert next(iter(terminal.output))
    log = iter(sandbox.stream_logs(follow=True))
    assert next(log) == "ready\n"

    if killed:
        daemon.kill()
    else:
        assert daemon.stop() == 0
    lost = SandboxUnavailableError if killed else SandboxNotRunningError
    for attempt in (
        lambda: process.result(),
        lambda: cat.result(),
        lambda: cat.stdin.write(b"more").result(),
        lambda: terminal.result(),
    ):
        assert raised_by(attempt) is lost

    where = address if same_port else "127.0.0.1:0"
    with Successor(tmp_path / "successor", daemon, where):
        for attempt in (
            lambda: sandbox.exec(["true"]).result(),
            lambda: sandbox.read_file("/etc/hostname").result(),
            lambda: sandbox.write_file("/f", b"").result(),
            lambda: sandbox.shell(["true"]).result(),
            lambda: list(sandbox.stream_logs()),
            lambda: sandbox.get_status(),
        ):
            assert raised_by(attempt) is SandboxNotFoundError
        if killed:
            assert raised_by(lambda: next(log)) is SandboxNotFoundError
        else:
            assert list(log) == []
        with Sandbox.run(data_plane_mode=mode) as fresh:
            assert [fresh.exec(["echo", "new"]).result().stdout for _ in range(3)] == ["new\n"] * 3
        sandbox.stop(missing_ok=True).result()


def test_the_first_to_begin_afterwards_is_told_the_reason(daemon: Daemon, tmp_path: Path) -> None:
    """It finds no connection, and what the successor says of the sandbox is why."""
    kinds: dict[str, Callable[[Sandbox], object]] = {
        "exec": lambda sandbox: sandbox.exec(["true"]).result(),
        "read": lambda sandbox: sandbox.read_file("/etc/hostname").result(),
        "write": lambda sandbox: sandbox.write_file("/f", b"").result(),
        "logs": lambda sandbox: list(sandbox.stream_logs()),
        "followed": lambda sandbox: list(sandbox.stream_logs(follow=True)),
    }
    sandboxes = {kind: Sandbox.run("sleep", "100", data_plane_mode="direct") for kind in kinds}
    waiting = []
    for kind, sandbox in sandboxes.items():
        waiting.append(sandbox.exec(["sh", "-c", "echo begun; sleep 100"]))
        assert next(iter(waiting[-1].stdout)) == "begun\n"
        if kind in ("logs", "followed"):
            list(sandbox.stream_logs())
    daemon.kill()
    for process in waiting:
        assert raised_by(process.result) is SandboxUnavailableError
    with Successor(tmp_path / "successor", daemon, "127.0.0.1:0"):
        raised = {
            kind: raised_by(partial(kinds[kind], sandbox)) for kind, sandbox in sandboxes.items()
        }
    assert raised == dict.fromkeys(kinds, SandboxNotFoundError)
