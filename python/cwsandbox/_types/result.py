"""What a command left behind."""

from __future__ import annotations

from dataclasses import dataclass, field

from cwsandbox._cwsandbox import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cwsandbox._cwsandbox import Process

_STREAMS = ("stdout_bytes", "stderr_bytes")


@dataclass
class ProcessResult:
    """A command's output and exit code.

    ``stdout`` and ``stderr`` are the bytes decoded as UTF-8, with U+FFFD for what is none; ``stdout_bytes`` and
    ``stderr_bytes`` are as received. ``returncode`` is the exit code, or -1 in the result that an exception carries
    for a command whose exit code was never received. ``command`` is the argv that was run.
    """

    stdout: str
    stderr: str
    returncode: int
    stdout_bytes: bytes = b""
    stderr_bytes: bytes = b""
    command: list[str] = field(default_factory=list)

    @classmethod
    def _of(cls, process: Process, returncode: int) -> ProcessResult:
        """The result of a process: bytes and text are made when first asked for."""
        result = cls.__new__(cls)
        values = result.__dict__
        values["returncode"] = returncode
        values["command"] = process.command
        values["_output"] = process._output
        return result

    def __getattr__(self, name: str) -> Any:
        # Only what is not in __dict__ yet comes here. Two threads may both make a value: these are equal.
        values = self.__dict__
        if name in ("stdout", "stderr"):
            raw: bytes = getattr(self, f"{name}_bytes")
            return values.setdefault(name, decode(raw))
        output = values.get("_output")
        if output is None or name not in _STREAMS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = values.setdefault(name, output.bytes(name == "stderr_bytes"))
        if all(stream in values for stream in _STREAMS):
            values.pop("_output", None)
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


# Class attributes would stand in for what __getattr__ makes.
del ProcessResult.stdout_bytes, ProcessResult.stderr_bytes
