"""The public verbs for files."""

from __future__ import annotations

from cwsandbox._messages import files
from cwsandbox._messages.command import container_name
from cwsandbox._runtime import life, loop
from cwsandbox._sandbox.creation import SandboxCreation
from cwsandbox._sandbox.naming import part_of_sandbox
from cwsandbox._types import check as _check
from cwsandbox._types.annotations import on_demand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable
    from pathlib import PurePath

    from cwsandbox._cwsandbox import OperationRef, SandboxCore, StreamReader


@part_of_sandbox
@on_demand
class SandboxFiles(SandboxCreation):
    """Files in the sandbox."""

    def read_file(
        self,
        filepath: str | PurePath,
        *,
        timeout_seconds: float | None = None,
        container: str | None = None,
    ) -> OperationRef[bytes]:
        """Read a whole file, creating the sandbox if need be; the operation gives its content.

        - ``filepath``: a str or a pathlib path. One that is not absolute begins where the container's commands start.
        - ``timeout_seconds``: limit for all of it, the start of the sandbox included. When it is over, the operation
          fails with ``SandboxRequestTimeoutError``. Default: the request timeout, 300; ``math.inf``: no limit.
        - ``container``: the name of the container. Default: the only or primary one.

        A file that is too large for one message is read through a command instead, up to 256 MiB; the limit then
        starts anew. Fails with ``SandboxFileError``, whose ``reason`` tells what is wrong:
        ``CWSANDBOX_FILE_NOT_FOUND``, ``…_IS_DIRECTORY``, ``…_PERMISSION_DENIED``, ``…_TOO_LARGE``, ``…_TRUNCATED`` or
        ``…_IO_FAILED``. A read that nothing refers to any more is cancelled.

        ::

            text = sandbox.read_file("/etc/hostname").result().decode()
        """
        path = _path(filepath)
        core = self._core_for_operations()
        operation = core.read_file(path, self._limit(timeout_seconds), container_name(container))
        self._see_to(core)
        return operation

    def write_file(
        self,
        filepath: str | PurePath,
        contents: bytes | bytearray | memoryview,
        *,
        timeout_seconds: float | None = None,
        container: str | None = None,
    ) -> OperationRef[None]:
        """Write a whole file, creating the sandbox if need be, and the folders above the file.

        - ``filepath``: as for ``read_file()``.
        - ``contents``: bytes or any bytes-like object, at most 256 MiB. It must not change until the operation is
          done.
        - ``timeout_seconds``: as for ``read_file()``.
        - ``container``: the name of the container. Default: the only or primary one.

        The file has either its old content or all of the new one, also when the write fails. Failures are those of
        ``read_file()``. The write goes on when nothing refers to the operation.

        ::

            sandbox.write_file("/work/input.json", json.dumps(data).encode()).result()
        """
        path = _path(filepath)
        content = contents if type(contents) is bytes else files.content_of(contents)
        limit, name = self._limit(timeout_seconds), container_name(container)
        core = self._core_for_operations()
        size = len(content)
        operation: OperationRef[None]
        if size <= files.COPIED_MAX and (not core.write_max or size <= core.write_max):
            operation = core.write_file(path, content, limit, name)
        else:
            operation = self._write_large(core, path, memoryview(content), limit, name)
        self._see_to(core)
        return operation

    def _write_large(
        self, core: SandboxCore, path: str, content: memoryview, limit: float | None, name: str
    ) -> OperationRef[None]:
        from cwsandbox._lifecycle import files as transfers

        if content.nbytes > files.FILE_MAX:
            driver = self._driving()

            async def refuse() -> None:
                await driver.wait_running(None)
                await transfers.refuse_size(path, content.nbytes)

            return loop.submit(refuse)
        if content.nbytes <= transfers.message_max(core):
            return core.write_file(path, content, limit, name)
        return loop.submit(lambda: transfers.write_by_command(core, path, content, limit, name))

    def read_file_streaming(
        self,
        filepath: str | PurePath,
        *,
        timeout_seconds: float | None = None,
        container: str | None = None,
    ) -> StreamReader[bytes]:
        """Read a file of any size piece by piece, creating the sandbox if need be. Returns at once.

        - ``filepath``: as for ``read_file()``.
        - ``timeout_seconds``: as for ``read_file()``.
        - ``container``: the name of the container. Default: the only or primary one.

        The reader iterates bytes, with ``for`` or ``async for``, at most 64 KiB at a time. It holds no more than 1 MiB
        of what was not read yet; the rest waits in the sandbox. If the transfer fails, that is raised once, after what
        has arrived. ``close()``, or dropping the reader, ends the transfer.

        ::

            with open("core.dump", "wb") as local:
                for data in sandbox.read_file_streaming("/tmp/core.dump"):
                    local.write(data)
        """
        from cwsandbox._service.file_errors import Streaming

        path = _path(filepath)
        limit = self._limit(timeout_seconds)
        core = self._core_for_operations()
        process = core.exec(
            files.read_stream_command(path),
            timeout=limit,
            container=container_name(container),
            capture_output=False,
            purpose=Streaming(path, limit),
        )
        self._see_to(core)
        reader: StreamReader[bytes] = process.stdout  # type: ignore[assignment]
        return reader

    def write_file_streaming(
        self,
        filepath: str | PurePath,
        source: bytes
        | bytearray
        | memoryview
        | Iterable[bytes | bytearray | memoryview]
        | AsyncIterable[bytes | bytearray | memoryview],
        *,
        timeout_seconds: float | None = None,
        container: str | None = None,
    ) -> OperationRef[None]:
        """Write a file of any size piece by piece, creating the sandbox if need be, and the folders above the file.

        - ``filepath``: as for ``read_file()``.
        - ``source``: a bytes-like object, an iterable or an async iterable of such. An iterable is advanced on another
          thread, where it may block; an async iterable in the event loop that this is called in, or else in one of the
          package's. It is advanced no faster than the sandbox takes the data.
        - ``timeout_seconds``: as for ``read_file()``.
        - ``container``: the name of the container. Default: the only or primary one.

        What the source raises is raised by the operation. The file has either its old content or all of the new one.
        Failures are those of ``read_file()``.

        ::

            with open("data.bin", "rb") as local:
                blocks = iter(lambda: local.read(1 << 20), b"")
                sandbox.write_file_streaming("/work/data.bin", blocks).result()
        """
        from cwsandbox._lifecycle import file_sources
        from cwsandbox._lifecycle import files as transfers
        from cwsandbox._runtime.here import submit_here
        from cwsandbox._service.file_errors import Writing

        path = _path(filepath)
        file_sources.check(source)
        limit = self._limit(timeout_seconds)
        core = self._core_for_operations()
        writing = Writing(path, limit)
        process = core.exec(
            files.write_stream_command(path),
            stdin=True,
            timeout=limit,
            container=container_name(container),
            purpose=writing,
        )
        self._see_to(core)
        if file_sources.is_async(source):
            return submit_here(lambda: transfers.upload(process, writing, source), process.cancel)
        return loop.submit(lambda: transfers.upload(process, writing, source))

    # ---- how they begin ----

    def _limit(self, timeout_seconds: float | None) -> float | None:
        return _check.time_limit(timeout_seconds, self._connection.request_timeout)

    def _see_to(self, core: SandboxCore) -> None:
        """Have the sandbox created if need be, and what one call does not complete completed."""
        self._serve(core)
        if not _is_completed:
            _complete()


# Whether this process completes file operations for which one call is not enough.
_is_completed = False


def _complete() -> None:
    global _is_completed
    from cwsandbox._lifecycle import files as transfers

    transfers.serve()
    _is_completed = True


def _forget() -> None:
    global _is_completed
    _is_completed = False


life.when_forked(_forget)


def _path(filepath: str | PurePath) -> str:
    return (
        filepath
        if type(filepath) is str and filepath.isascii() and filepath and "\0" not in filepath
        else files.path_of(filepath)
    )
