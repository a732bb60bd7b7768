"""Writing a tree below a local directory, and nowhere else, whatever the names are.

Each part of a path is opened by itself in the directory before, and never through a symlink. Files and symlinks are
made under a temporary name and renamed when they are whole. They replace other files and symlinks, nothing else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from cwsandbox._archive.fault import ArchiveFault, told
from cwsandbox._archive.tally import shown

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Neither the set-id bits nor the sticky bit are a sandbox's to give.
_MODE = 0o777
_TIME_MAX = 1 << 62

Parts = tuple[bytes, ...]


class Target:
    """The local directory ``top``, which is there. A path is the tuple of its parts, which are names.

    Its methods raise ArchiveFault. ``close()`` gives the directories that were made their modes and times.
    """

    def __init__(self, top: bytes) -> None:
        self._top = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._current: Parts = ()
        self._current_fd = self._top
        self._made: list[tuple[Parts, int, int]] = []  # each inside the one before
        self._temporary = f".cwsandbox-{os.urandom(6).hex()}".encode()

    def directory(self, path: Parts, mode: int, mtime: int) -> None:
        """Make a directory, unless it is there. Its mode and time are set when the next path is outside of it."""
        if not path:
            return
        with _Telling(path):
            parent = self._enter(path[:-1])
            self._finish(path[:-1])
            try:
                os.mkdir(path[-1], 0o700, dir_fd=parent)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(path[-1], dir_fd=parent).st_mode):
                    raise ArchiveFault(
                        "is a directory, and something else of that name is here"
                    ) from None
        self._made.append((path, mode, mtime))

    def file(self, path: Parts, mode: int, mtime: int, content: Iterator[bytes]) -> None:
        """Write a file in the place of whatever file or symlink is there."""
        # Not around all of it: taking the content may fail, too, and that is not a fault of this file.
        telling = _Telling(path)
        with telling:
            parent = self._enter(path[:-1])
            opened = os.open(self._temporary, _NEW_FILE, 0o600, dir_fd=parent)
        try:
            for piece in content:
                with telling:
                    _write(opened, piece)
            with telling:
                os.fchmod(opened, mode & _MODE)
                os.utime(opened, ns=_times(mtime))
        except BaseException:
            os.unlink(self._temporary, dir_fd=parent)
            raise
        finally:
            os.close(opened)
        with telling:
            self._rename(parent, path)

    def symlink(self, path: Parts, target: bytes, mtime: int) -> None:
        """Make a symlink in the place of whatever file or symlink is there."""
        with _Telling(path):
            _check_link(path, target)
            parent = self._enter(path[:-1])
            os.symlink(target, self._temporary, dir_fd=parent)
            os.utime(self._temporary, ns=_times(mtime), dir_fd=parent, follow_symlinks=False)
            self._rename(parent, path)

    def link(self, path: Parts, other: Parts) -> None:
        """Give a file that is there a second name."""
        with _Telling(path):
            source = self._open(other[:-1])
            try:
                if not stat.S_ISREG(os.lstat(other[-1], dir_fd=source).st_mode):
                    raise ArchiveFault(f"is a hard link to {_shown(other)}, which is not a file")
                parent = self._enter(path[:-1])
                os.link(
                    other[-1],
                    self._temporary,
                    src_dir_fd=source,
                    dst_dir_fd=parent,
                    follow_symlinks=False,
                )
            finally:
                os.close(source)
            if path != other:
                self._rename(parent, path)
            # Two names of one file: renaming one to the other leaves both.
            _unlink(parent, self._temporary)

    def set_top(self, mode: int, mtime: int) -> None:
        """Have ``close()`` give the top the mode and time."""
        self._made.insert(0, ((), mode, mtime))

    def close(self) -> None:
        try:
            self._finish(None)
        finally:
            self._leave()
            os.close(self._top)

    def _rename(self, parent: int, path: Parts) -> None:
        """Put what is whole in its place."""
        try:
            _check_replaceable(path[-1], parent)
            os.rename(self._temporary, path[-1], src_dir_fd=parent, dst_dir_fd=parent)
        except (OSError, ArchiveFault):
            os.unlink(self._temporary, dir_fd=parent)
            raise

    def _enter(self, path: Parts) -> int:
        """A descriptor of the directory, which is made if need be. It is ours until the next call."""
        if path != self._current:
            self._finish(path)
            self._leave()
            self._current_fd = self._open(path)
            self._current = path
        return self._current_fd

    def _leave(self) -> None:
        if self._current_fd != self._top:
            os.close(self._current_fd)
        self._current, self._current_fd = (), self._top

    def _finish(self, path: Parts | None) -> None:
        """Set the modes and times of directories that ``path`` is not in; of all for None."""
        while self._made:
            done, mode, mtime = self._made[-1]
            if path is not None and path[: len(done)] == done:
                return
            self._made.pop()
            with _Telling(done):
                opened = self._open(done)
                try:
                    os.utime(opened, ns=_times(mtime))
                    os.fchmod(opened, mode & _MODE)
                finally:
                    os.close(opened)

    def _open(self, path: Parts) -> int:
        opened = os.dup(self._top)
        for at, part in enumerate(path):
            try:
                following = _open_or_make(part, opened, path[: at + 1])
            finally:
                os.close(opened)
            opened = following
        return opened


class _Telling:
    """The block about one path: what goes wrong in it is a fault of that path."""

    __slots__ = ("_path",)

    def __init__(self, path: Parts) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, cls: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ArchiveFault):
            error.member = error.member or _shown(self._path)
        elif isinstance(error, OSError):
            raise ArchiveFault(f"cannot be written: {told(error)}", _shown(self._path)) from error


def _open_or_make(part: bytes, parent: int, inside: Parts) -> int:
    try:
        return os.open(part, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        os.mkdir(part, dir_fd=parent)
        return os.open(part, _DIRECTORY, dir_fd=parent)
    except OSError as error:
        # A symlink is ENOTDIR here, with O_DIRECTORY.
        found = os.lstat(part, dir_fd=parent)
        if stat.S_ISDIR(found.st_mode):
            raise
        what = "a symlink" if stat.S_ISLNK(found.st_mode) else "not a directory"
        raise ArchiveFault(f"lies below {_shown(inside)}, which is {what}") from error


def _check_replaceable(name: bytes, parent: int) -> None:
    """ArchiveFault when there is something that no copy takes the place of."""
    try:
        mode = os.lstat(name, dir_fd=parent).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        what = "a directory" if stat.S_ISDIR(mode) else "a special file"
        raise ArchiveFault(f"is no directory, and {what} of that name is here")


def _check_link(path: Parts, target: bytes) -> None:
    """ArchiveFault when a symlink could lead out of the top, also by way of others.

    It may go up first, and no further than to the top, then down. Where ``..`` comes after a name it would depend on
    what that name is.
    """
    parts = target.split(b"/")
    ups = 0
    while parts and parts[0] in (b"..", b"."):
        ups += parts.pop(0) == b".."
    if target.startswith(b"/") or ups >= len(path) or b".." in parts or not target:
        raise ArchiveFault(
            f"is a symlink to {shown(target)!r}, which leads out of the copy: exclude it"
        )


def _write(opened: int, piece: bytes) -> None:
    written = os.write(opened, piece)
    while written < len(piece):
        written += os.write(opened, piece[written:])


def _unlink(parent: int, name: bytes) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return


def _times(mtime: int) -> tuple[int, int]:
    nanoseconds = max(-_TIME_MAX, min(mtime * 1_000_000_000, _TIME_MAX))
    return nanoseconds, nanoseconds


def _shown(path: Parts) -> str:
    return shown(b"/".join(path))
