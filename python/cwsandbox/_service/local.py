"""The private daemon behind the base URL ``local``: one per process, ended with it.

It is no child of this process, so that a program that waits for its children does not wait for it. What ties the two is
a socket of which each holds an end: the daemon ends when ours is closed, by us or by the kernel, and we see its end at
ours. Its directory is locked as long as this process lives; unlocked ones are what killed processes left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from cwsandbox._runtime import life
from cwsandbox._service import secret_files
from cwsandbox.exceptions import SandboxUnavailableError

PATH_VARIABLE = "CWSANDBOX_DAEMON"
READY_TIMEOUT = 30.0
END_TIMEOUT = 10.0

_PREFIX = "cwsandbox-local-"
# The address of a Unix socket has room for 107 bytes.
_BASE_MAX = 60
_LOG_TAIL = 4096
_LOCK_ATTEMPTS = 100


class _Directory:
    """A directory of our own, locked until it is closed."""

    def __init__(self, base: str) -> None:
        for _ in range(_LOCK_ATTEMPTS):
            path = tempfile.mkdtemp(prefix=_PREFIX, dir=base)
            try:
                fd = _lock_directory(path)
            except OSError:
                os.rmdir(path)
                raise
            if fd is not None:
                self.path, self._fd = Path(path), fd
                return
            # Another process has taken it for a leftover, between the two calls.
            shutil.rmtree(path, ignore_errors=True)
        raise SandboxUnavailableError(f"No directory in {base!r} can be locked")

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self.leave()

    def leave(self) -> None:
        """Close it and leave it as it is."""
        os.close(self._fd)


class _Daemon:
    """A started daemon."""

    def __init__(self, directory: _Directory, line: socket.socket) -> None:
        self.directory = directory
        self._line = line

    @property
    def _socket_path(self) -> Path:
        return self.directory.path / "sock"

    @property
    def target(self) -> str:
        return f"unix://{self._socket_path}"

    @property
    def log(self) -> str:
        try:
            text = (self.directory.path / "log").read_bytes()
        except OSError:
            return ""
        return text[-_LOG_TAIL:].decode("utf-8", "replace").strip()

    def runs(self) -> bool:
        try:
            return self._line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def is_reachable(self) -> bool:
        """Whether new connections can be made: someone may have cleaned the temporary files up."""
        return self._socket_path.exists()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within this time."""
        return _is_readable_within(self._line.fileno(), seconds)

    def end(self) -> None:
        """Have it stop its sandboxes and end; no longer in good order if that takes too long."""
        try:
            with contextlib.suppress(OSError):
                self._line.send(b"e", socket.MSG_NOSIGNAL)
                self.wait(END_TIMEOUT)
        finally:
            self._line.close()
            self.directory.remove()

    def leave(self) -> None:
        """Give up this process's hold on it: it is another's."""
        self._line.close()
        self.directory.leave()


_lock = threading.Lock()
_daemon: _Daemon | None = None
# They run, and their sandboxes can be reached by the connections there are, but not by new ones.
_unreachable: list[_Daemon] = []


def target() -> str:
    """The daemon's address, started if needed. Blocks; ``SandboxUnavailableError`` when it cannot be started.

    ``RuntimeError`` when the process is ending: nothing would end a daemon that is started then.
    """
    global _daemon
    with _lock:
        if life.is_ending():
            raise RuntimeError(life.ENDING)
        if _daemon is not None and not _daemon.runs():
            _daemon.end()
            _daemon = None
        if _daemon is not None and not _daemon.is_reachable():
            _unreachable.append(_daemon)
            _daemon = None
        if _daemon is None:
            try:
                _daemon = _start()
            except OSError as error:  # such as a full disk
                raise SandboxUnavailableError(
                    f"The local sandbox daemon cannot be started: {error}"
                ) from error
        return _daemon.target


def program() -> str:
    """The path of the daemon's program. ``SandboxUnavailableError`` when it cannot be run."""
    named = os.environ.get(PATH_VARIABLE)
    path = named or str(Path(__file__).parents[1] / "bin" / "cwsandboxd")
    if not os.access(path, os.X_OK):
        origin = f"{PATH_VARIABLE} names it" if named else f"set {PATH_VARIABLE} to another one"
        raise SandboxUnavailableError(
            f"There is no executable sandbox daemon at {path!r} ({origin})"
        )
    return path


def _start() -> _Daemon:
    path = program()
    _sweep(short_base())
    with contextlib.ExitStack() as closing, contextlib.ExitStack() as undoing:
        # Descriptors come first: where there are none left, no directory is left behind.
        ours, theirs = socket.socketpair()
        undoing.callback(ours.close)
        with theirs:
            for end in (ours, theirs):
                end.settimeout(None)  # whatever the program has made the default
            ready, ready_in_daemon = os.pipe()
            closing.callback(os.close, ready)
            try:
                daemon = _Daemon(_Directory(short_base()), ours)
                undoing.callback(daemon.end)
                _spawn(path, daemon, theirs.fileno(), ready_in_daemon)
            finally:
                os.close(ready_in_daemon)
        _await_ready(daemon, ready)
        undoing.pop_all()
    return daemon


def short_base() -> str:
    """A folder for temporary files whose path leaves room for a Unix socket's name."""
    base = tempfile.gettempdir()
    return base if len(os.fsencode(base)) <= _BASE_MAX else "/tmp"


def _spawn(program: str, daemon: _Daemon, line: int, ready: int) -> None:
    command = [
        program,
        f"--listen={daemon.target}",
        f"--life-fd={line}",
        f"--ready-fd={ready}",
        "--isolation=auto",
        "--detach",
    ]
    secrets = secret_files.directory()
    if secrets.is_dir():
        command.append(f"--secrets-dir={secrets}")
    with (daemon.directory.path / "log").open("wb") as log:
        # A session of its own: Ctrl-C must leave it to us, who still have sandboxes to stop.
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(line, ready),
            start_new_session=True,
        )
    # It ends at once, and leaves the daemon behind.
    try:
        started.wait(READY_TIMEOUT)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()
        raise _late(daemon) from None


def _await_ready(daemon: _Daemon, ready: int) -> None:
    """Read the line "ready ADDRESS" that it writes once it listens."""
    ends = time.monotonic() + READY_TIMEOUT
    said = b""
    while not said.endswith(b"\n"):
        if not _is_readable_within(ready, ends - time.monotonic()):
            raise _late(daemon)
        part = os.read(ready, 4096)
        if not part:
            daemon.wait(END_TIMEOUT)  # what it has to say may follow
            raise _failed(daemon, "ended before it was ready")
        said += part
    if not said.startswith(b"ready "):
        raise _failed(daemon, f"said {said!r} instead of being ready")


def _is_readable_within(fd: int, seconds: float) -> bool:
    # Not select(): a process may have more than 1024 descriptors, and a thread less stack than that takes.
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(seconds, 0) * 1000))


def _late(daemon: _Daemon) -> SandboxUnavailableError:
    return _failed(daemon, f"was not ready within {READY_TIMEOUT:g}s")


def _failed(daemon: _Daemon, what: str) -> SandboxUnavailableError:
    return SandboxUnavailableError(
        f"The local sandbox daemon {what}: {daemon.log or 'it said nothing'}"
    )


def _lock_directory(path: str) -> int | None:
    """A descriptor that holds the lock; None when another process has it, or the directory is gone.

    ``OSError`` when it cannot be opened for another reason, such as too many open files.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(path), os.fstat(fd)):
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def _sweep(base: str) -> None:
    """Remove what killed processes left."""
    for entry in os.scandir(base):
        if not entry.name.startswith(_PREFIX) or not entry.is_dir(follow_symlinks=False):
            continue
        with contextlib.suppress(OSError):
            if entry.stat(follow_symlinks=False).st_uid != os.geteuid():
                continue
            fd = _lock_directory(entry.path)
            if fd is not None:
                shutil.rmtree(entry.path, ignore_errors=True)
                os.close(fd)


def _end() -> None:
    global _daemon
    with _lock:
        daemons = [*_unreachable, *([_daemon] if _daemon is not None else [])]
        _unreachable.clear()
        _daemon = None
        for daemon in daemons:
            with contextlib.suppress(OSError):
                daemon.end()


def _forget() -> None:
    global _daemon, _lock
    _lock = threading.Lock()
    for daemon in [*_unreachable, *([_daemon] if _daemon is not None else [])]:
        daemon.leave()
    _unreachable.clear()
    _daemon = None


life.when_exiting(_end)
life.when_forked(_forget)
