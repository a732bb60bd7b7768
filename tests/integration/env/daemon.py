"""A `cwsandboxd` of the installed package, started and stopped by the test."""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from .certs import Certs

START_SECONDS = 20.0
STOP_SECONDS = 20.0


def binary(name: str = "cwsandboxd") -> Path:
    """Path of a program that the installed package brings."""
    return Path(str(importlib.resources.files("cwsandbox") / "bin" / name))


class Daemon:
    """Listens on a Unix socket in ``folder``, or on loopback TCP if a ``token`` is given, with TLS if ``certs`` are."""

    def __init__(
        self,
        folder: Path,
        *,
        token: str | None = None,
        certs: Certs | None = None,
        command_prefix: tuple[str, ...] = (),
        arguments: tuple[str, ...] = (),
        program: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.token = token
        self.certs = certs
        self.state_dir = folder / "state"
        self.stderr_path = folder / "stderr"
        self.base_url = ""
        self._prefix = command_prefix
        self._arguments = arguments
        self._program = program or binary()
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def binaries() -> Path:
        """The folder of the installed programs."""
        return binary().parent

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not ended from here."""
        return self._process is not None

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    def command(self, ready_fd: int) -> list[str]:
        on_tcp = self.token is not None
        listen = "127.0.0.1:0" if on_tcp else f"unix://{self.folder / 'socket'}"
        words = [*self._prefix, str(self._program), "--listen", listen, "--ready-fd", str(ready_fd)]
        words += ["--state-dir", str(self.state_dir)]
        if self.token is not None:
            token_file = self.folder / "token"
            token_file.write_text(self.token + "\n")
            token_file.chmod(0o600)
            words += ["--token-file", str(token_file)]
        if self.certs is not None:
            words += [
                "--tls-cert",
                str(self.certs.server_cert),
                "--tls-key",
                str(self.certs.server_key),
            ]
        return [*words, *self._arguments]

    def start(self) -> Daemon:
        """Start it and wait until it says that it is ready."""
        assert self._process is None
        self.folder.mkdir(parents=True, exist_ok=True)
        reading, writing = os.pipe()
        try:
            with self.stderr_path.open("ab") as stderr:
                self._process = subprocess.Popen(
                    self.command(writing),
                    stdin=subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    pass_fds=(writing,),
                    env=self._env,
                )
            os.close(writing)
            writing = -1
            line = self._read_line(reading)
        finally:
            os.close(reading)
            if writing >= 0:
                os.close(writing)
        word, _, address = line.partition(" ")
        if word != "ready":
            self.stop()
            raise AssertionError(f"cwsandboxd did not become ready:\n{self.stderr}")
        self.base_url = self._url(address.strip())
        return self

    def _read_line(self, fd: int) -> str:
        data = b""
        while not data.endswith(b"\n"):
            if not select.select([fd], [], [], START_SECONDS)[0]:
                break
            chunk = os.read(fd, 4096)
            if not chunk:
                break
            data += chunk
        return data.decode()

    def _url(self, address: str) -> str:
        if "://" in address:
            return address
        scheme = "https" if self.certs else "http"
        return f"{scheme}://{address.replace('127.0.0.1', 'localhost') if self.certs else address}"

    def kill(self) -> None:
        """SIGKILL, as a crash would be; `start` may follow."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> int:
        """SIGTERM; the exit status. Killed, and an error, when it does not end in time."""
        assert self._process is not None
        process, self._process = self._process, None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def __enter__(self) -> Daemon:
        return self.start() if self._process is None else self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.stop()


@contextlib.contextmanager
def temporary_daemon(**options: Any) -> Iterator[Daemon]:
    """A daemon in a folder of its own. The path is short, since that of a Unix socket has at most 107 bytes."""
    with (
        tempfile.TemporaryDirectory(prefix="cwsd-") as folder,
        Daemon(Path(folder), **options) as daemon,
    ):
        yield daemon
