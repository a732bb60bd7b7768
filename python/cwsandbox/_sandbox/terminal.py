"""The public verb for terminals."""

from __future__ import annotations

from math import inf

from cwsandbox._messages.command import container_name, directory, variables, words_of
from cwsandbox._sandbox.creation import SandboxCreation
from cwsandbox._sandbox.naming import part_of_sandbox
from cwsandbox._types import check
from cwsandbox._types.annotations import on_demand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cwsandbox._cwsandbox import TerminalSession

_SHELL = ("/bin/bash",)


@part_of_sandbox
@on_demand
class SandboxTerminal(SandboxCreation):
    """Commands with a terminal."""

    def shell(
        self,
        command: Sequence[str] | None = None,
        *,
        width: int | None = None,
        height: int | None = None,
        container: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> TerminalSession:
        """Start a command with a terminal and return at once, creating the sandbox if need be.

        - ``command``: the program and its arguments, as a sequence of str. Default: ``["/bin/bash"]``.
        - ``width``, ``height``: the terminal's size in characters, 1 to 65535. Default: that of the terminal this
          program runs in (``shutil.get_terminal_size()``).
        - ``container``: the name of the container to start it in. Default: the only or primary one.
        - ``cwd``, ``env``: where to start it, and variables for it, as for ``exec()``.
        - ``timeout_seconds``: limit for the session, counted from when it is sent to a running sandbox. Default: none.

        The session ends with its command, or when it is hung up: at the end of a ``with`` or
        ``async with`` block, by ``output.close()``, and when nothing refers to it any more. What it shows is not kept:
        who does not read ``output`` holds the command back, except while somebody waits for the end and nothing refers
        to ``output``. Then all but the last 256 KiB is dropped.

        Only faults in the arguments are raised here (``TypeError``, ``ValueError``). Whatever else goes wrong is raised
        by ``result()`` and ``wait()``, and, once, at the end of ``output``.

        ::

            with sandbox.shell(width=80, height=24) as session:
                session.write(b"stty size; exit\\n")
                for data in session.output:
                    sys.stdout.buffer.write(data)
                print(session.result().returncode)
        """
        words = words_of(_SHELL if command is None else command)
        if width is None or height is None:
            from shutil import get_terminal_size

            here = get_terminal_size()
            width = here.columns if width is None else width
            height = here.lines if height is None else height
        core = self._core_for_operations()
        session = core.shell(
            words,
            width,
            height,
            timeout=check.time_limit(timeout_seconds, inf),
            container=container_name(container),
            cwd=None if cwd is None else directory(cwd),
            env=None if env is None else variables(env),
        )
        self._serve(core)
        return session
