"""The private daemon behind the base URL ``local``: one per process, ended with it."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from cwsandbox import _runtime
from cwsandbox.exceptions import SandboxUnavailableError

PATH_VARIABLE = "CWSANDBOX_DAEMON"
READY_TIMEOUT = 30.0
END_TIMEOUT = 10.0

_PREFIX = "cwsandbox-local"
_DIRECTORY = re.compile(rf"{_PREFIX}-([0-9]+)-.*")
# The address of a Unix socket has room for 107 bytes.
_BASE_MAX = 60
_LOG_TAIL = 4096


class _Daemon:
    """A started daemon."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self.process = process
        self.directory = directory

    @property
    def target(self) -> str:
        return f"unix://{self.directory / 'sock'}"

    def runs(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        """Have it stop its sandboxes and end; kill it if that takes too long."""
        self.process.terminate()
        try:
            self.process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


_lock = threading.Lock()
_daemon: _Daemon | None = None
# A forked child keeps the parent's daemon here, so that nothing of it is cleaned up there.
_lost: list[_Daemon] = []


def target() -> str:
    """The daemon's address, started if needed. Blocks; ``SandboxUnavailableError`` when it cannot be started."""
    global _daemon
    with _lock:
        if _daemon is not None and not _daemon.runs():
            _daemon.end()
            _daemon = None
        if _daemon is None:
            _daemon = _start()
        return _daemon.target


def _program() -> str:
    named = os.environ.get(PATH_VARIABLE)
    path = named or str(Path(__file__).parent / "bin" / "cwsandboxd")
    if not os.access(path, os.X_OK):
        origin = f"{PATH_VARIABLE} names it" if named else f"set {PATH_VARIABLE} to another one"
        raise SandboxUnavailableError(
            f"There is no executable sandbox daemon at {path!r} ({origin})"
        )
    return path


def _start() -> _Daemon:
    program = _program()
    _sweep(_base())
    directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}-{os.getpid()}-", dir=_base()))
    ready, ready_in_child = os.pipe()
    try:
        daemon = _Daemon(_spawn(program, directory, ready_in_child), directory)
    except BaseException:
        os.close(ready)
        shutil.rmtree(directory, ignore_errors=True)
        raise
    finally:
        os.close(ready_in_child)
    try:
        _await_ready(daemon, ready)
    except BaseException:
        daemon.end()
        raise
    finally:
        os.close(ready)
    return daemon


def _base() -> str:
    base = tempfile.gettempdir()
    return base if len(os.fsencode(base)) <= _BASE_MAX else "/tmp"


def _spawn(program: str, directory: Path, ready: int) -> subprocess.Popen[bytes]:
    command = [
        program,
        f"--parent={os.getpid()}",
        f"--listen=unix://{directory / 'sock'}",
        f"--ready-fd={ready}",
        "--isolation=auto",
    ]
    with (directory / "log").open("wb") as log:
        # A session of its own: Ctrl-C must leave it to us, who still have sandboxes to stop.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(ready,),
            start_new_session=True,
        )


def _await_ready(daemon: _Daemon, ready: int) -> None:
    """Read the line "ready ADDRESS" that it writes once it listens."""
    ends = time.monotonic() + READY_TIMEOUT
    said = b""
    while not said.endswith(b"\n"):
        left = ends - time.monotonic()
        if left <= 0 or not select.select([ready], [], [], left)[0]:
            raise _failed(daemon, f"was not ready within {READY_TIMEOUT:g}s")
        part = os.read(ready, 4096)
        if not part:
            # What it has to say may follow.
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.process.wait(END_TIMEOUT)
            raise _failed(daemon, "ended before it was ready")
        said += part
    if not said.startswith(b"ready "):
        raise _failed(daemon, f"said {said!r} instead of being ready")


def _failed(daemon: _Daemon, what: str) -> SandboxUnavailableError:
    text = (daemon.directory / "log").read_bytes()[-_LOG_TAIL:].decode("utf-8", "replace").strip()
    return SandboxUnavailableError(f"The local sandbox daemon {what}: {text or 'it said nothing'}")


def _sweep(base: str) -> None:
    """Remove what daemons of killed processes left."""
    for entry in os.scandir(base):
        match = _DIRECTORY.fullmatch(entry.name)
        if match is None or not entry.is_dir(follow_symlinks=False):
            continue
        if entry.stat(follow_symlinks=False).st_uid == os.geteuid() and not _is_alive(
            int(match[1])
        ):
            shutil.rmtree(entry.path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _end() -> None:
    global _daemon
    with _lock, contextlib.suppress(OSError):
        if _daemon is not None:
            _daemon.end()
            _daemon = None


def _forget() -> None:
    global _daemon, _lock
    _lock = threading.Lock()
    if _daemon is not None:
        _lost.append(_daemon)
        _daemon = None


_runtime.when_exiting(_end)
_runtime.when_forked(_forget)
