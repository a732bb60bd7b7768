"""The public verb for the log."""

from __future__ import annotations

from cwsandbox._lifecycle import lifecycle
from cwsandbox._messages import logs
from cwsandbox._messages.command import container_name
from cwsandbox._runtime import life, loop
from cwsandbox._sandbox.creation import SandboxCreation
from cwsandbox._sandbox.naming import part_of_sandbox
from cwsandbox._types import check
from cwsandbox._types.annotations import on_demand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from cwsandbox._cwsandbox import SandboxCore, StreamReader


@part_of_sandbox
@on_demand
class SandboxLogs(SandboxCreation):
    """What the main command prints."""

    def stream_logs(
        self,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        since_time: datetime | None = None,
        timestamps: bool = False,
        timeout_seconds: float | None = None,
        container: str | None = None,
    ) -> StreamReader[str]:
        """Read what the sandbox's main command prints; what ``exec()`` starts is not in it.

        Returns at once, creating the sandbox if need be. The reader gives whole lines, to ``for`` and to ``async for``;
        ``chunks()`` gives the text as it comes. A line of more than 1 MiB comes in pieces.

        - ``follow``: go on with what is printed from now on, until the command ends. Else the log ends where it
          ended when it was asked for.
        - ``tail_lines``: only so many of the lines that are there already. Default, and 0: all.
        - ``since_time``: only what was printed from then on, a datetime with a time zone.
        - ``timestamps``: each line begins with when it was printed, and a space.
        - ``timeout_seconds``: limit for a log that is not followed, counted from when it is asked for. Then
          ``SandboxRequestTimeoutError`` is raised, after the lines that have come. Default: the request timeout, 300;
          ``math.inf``: no limit.
        - ``container``: the name of the container. Default: the only or primary one.

        A lost connection does not end a followed log: it goes on where it was, without a line twice or missing. If the
        service has lost the place, an unfinished line is dropped. ``SandboxUnavailableError`` comes after 30 s of
        vain tries. The log of a sandbox that has ended is read, and followed, in the same way: it ends after its last
        line. A reader that is not read holds the service back; it is not buffered without bound.

        The log is let go by ``close()`` of the reader, and when nothing refers to the reader any more. Only faults in
        the arguments are raised here (``TypeError``, ``ValueError``); everything else is raised by the reader, once.

        ::

            for line in sandbox.stream_logs(follow=True):
                print(line, end="")
        """
        tail, since = logs.tail(tail_lines), logs.since(since_time)
        limit = check.time_limit(timeout_seconds, self._connection.request_timeout)
        check.boolean(follow, "follow")
        check.boolean(timestamps, "timestamps")
        name = container_name(container)
        core = self._log_core()
        reader = core.stream_logs(follow, tail, since, timestamps, timeout=limit, container=name)
        if not core.is_served:
            driver = self._driving()
            loop.policy().call(driver.serve_logs)
        return reader

    def _log_core(self) -> SandboxCore:
        # Not that of the commands: a log outlives the sandbox, and is still read when commands are refused.
        handle = self._handle
        with life.lock():
            if handle.log_core is None:
                handle.log_core = type(self._core)()
                if handle.state.phase is lifecycle.Phase.CANCELLED:
                    handle.log_core.close(lifecycle.stopped_error(None))
            return handle.log_core
