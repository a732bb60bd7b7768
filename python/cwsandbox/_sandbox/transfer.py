"""Copying files and whole trees into a sandbox and out of it."""

from __future__ import annotations

import os

from cwsandbox._messages.command import container_name
from cwsandbox._sandbox.creation import SandboxCreation
from cwsandbox._sandbox.naming import part_of_sandbox
from cwsandbox._types import check as _check
from cwsandbox._types.annotations import on_demand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cwsandbox._cwsandbox import OperationRef
    from cwsandbox._lifecycle.transfer import Order
    from cwsandbox._types.transfer import TransferResult


@part_of_sandbox
@on_demand
class SandboxTransfer(SandboxCreation):
    """The verbs for trees of files."""

    def upload(
        self,
        local: str | os.PathLike[str],
        remote: str | os.PathLike[str],
        *,
        exclude: Sequence[str] | Callable[[str], bool] | None = None,
        progress: Callable[[int, int | None], object] | None = None,
        timeout_seconds: float | None = None,
        container: str | None = None,
    ) -> OperationRef[TransferResult]:
        """Copy a file, or a directory with all that is in it, from here into the sandbox.

        - ``local``: what to copy. A symlink is followed here; those inside of a directory are copied as symlinks.
        - ``remote``: where to. If that is a directory, or ends with "/", the copy goes into it under its own name;
          else this is the copy's name. Missing directories are made. With ``local`` ending in "/.", the content of
          a directory goes into the one that ``remote`` names.
        - ``exclude``: what to leave out: patterns as in a .gitignore, or a function. It is called with the path of
          each entry below the top, "/" behind that of a directory, and returns True for what to leave out.
        - ``progress``: called with the bytes copied so far and those in all, or None where that is not known. It is
          called on a thread of the transfer, at intervals and at the end; what it raises ends the transfer.
        - ``timeout_seconds``: limit for the transfer, counted from when it begins in a running sandbox. Default: the
          request timeout, 300; ``math.inf``: no limit.
        - ``container``: the name of the container to copy into. Default: the only or primary one.

        Modes and times are kept, to the second; owner is whoever commands in the sandbox run as. It needs ``tar``
        and a shell there. What fails is raised by the operation: ``SandboxTransferError`` names the entry; its
        ``transferred``, and that of other exceptions, counts what had been copied. docs/guide/transfer.md has the
        rules for patterns, targets and interrupted transfers.

        ::

            result = sandbox.upload("project", "/src", exclude=[".git", "*.pyc"]).result()
            print(result.files, "files,", result.bytes, "bytes")
        """
        from cwsandbox._lifecycle.upload import Upload

        order = self._order(local, remote, exclude, progress, timeout_seconds, container)
        return self._submit(Upload(self._core_for_operations(), order).run)

    def download(
        self,
        remote: str | os.PathLike[str],
        local: str | os.PathLike[str],
        *,
        exclude: Sequence[str] | Callable[[str], bool] | None = None,
        progress: Callable[[int, int | None], object] | None = None,
        timeout_seconds: float | None = None,
        container: str | None = None,
    ) -> OperationRef[TransferResult]:
        """Copy a file, or a directory with all that is in it, out of the sandbox.

        - ``remote``: what to copy. A symlink is followed here; those inside of a directory are copied as symlinks.
        - ``local``: where to. If that is a directory, or ends with "/", the copy goes into it under its own name;
          else this is the copy's name. Missing directories are made. With ``remote`` ending in "/.", the content of
          a directory goes into the one that ``local`` names.
        - ``exclude``: what to leave out, as for ``upload()``. It is sent all the same, and dropped here.
        - ``progress``: as for ``upload()``. The bytes in all are known for a single file only.
        - ``timeout_seconds``: limit for the transfer, counted from when it begins in a running sandbox. Default: the
          request timeout, 300; ``math.inf``: no limit.
        - ``container``: the name of the container to copy from. Default: the only or primary one.

        Modes and times are kept, to the second, but not the set-id and sticky bits. Nothing is written outside of
        what ``local`` names, whatever the sandbox sends: an entry that would be elsewhere fails the transfer, and so
        does a symlink that leads out of the copy. Failures are those of ``upload()``.

        ::

            sandbox.download("/src/dist", "build").result()
        """
        from cwsandbox._lifecycle.download import Download

        order = self._order(local, remote, exclude, progress, timeout_seconds, container)
        return self._submit(Download(self._core_for_operations(), order).run)

    def _order(
        self,
        local: object,
        remote: object,
        exclude: object,
        progress: Callable[[int, int | None], object] | None,
        timeout_seconds: float | None,
        container: str | None,
    ) -> Order:
        """What was asked for, checked. A relative local path is one of the directory that is current now."""
        from cwsandbox._archive.exclude import excludes
        from cwsandbox._lifecycle.transfer import Order

        if progress is not None and not callable(progress):
            raise TypeError(f"progress must be a function, got {_check.shown(progress)}")
        return Order(
            os.path.join(os.getcwd(), _check.path(local, "local")),
            _check.path(remote, "remote"),
            excludes(exclude),
            progress,
            _check.time_limit(timeout_seconds, self._connection.request_timeout),
            container_name(container),
        )
