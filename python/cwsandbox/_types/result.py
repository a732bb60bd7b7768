"""What a command left behind."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from cwsandbox._cwsandbox import decode

if TYPE_CHECKING:
    from cwsandbox._cwsandbox import Process

_BYTES = ("stdout_bytes", "stderr_bytes")
_OMITTED = ("stdout_omitted_bytes", "stderr_omitted_bytes")
_MADE = {*_BYTES, *_OMITTED, "output_captured"}


@dataclass
class ProcessResult:
    """A command's output and exit code.

    ``stdout`` and ``stderr`` are the bytes decoded as UTF-8, with U+FFFD for what is none; ``stdout_bytes`` and
    ``stderr_bytes`` are as received. ``returncode`` is the exit code, or -1 in the result that an exception carries
    for a command whose exit code was never received. ``command`` is the argv that was run.

    ``stdout_omitted_bytes`` and ``stderr_omitted_bytes`` tell how much was received and is not here: what lay between
    the two halves that ``max_output_bytes`` keeps, or all of it where ``output_captured`` is False: then the command
    was started with ``capture_output=False``, and both streams are empty here.
    """

    stdout: str
    stderr: str
    returncode: int
    stdout_bytes: bytes = b""
    stderr_bytes: bytes = b""
    command: list[str] = field(default_factory=list)
    stdout_omitted_bytes: int = field(default=0, kw_only=True)
    stderr_omitted_bytes: int = field(default=0, kw_only=True)
    output_captured: bool = field(default=True, kw_only=True)

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
            return values.setdefault(name, self._text(name))
        output = values.get("_output")
        if output is None or name not in _MADE:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        is_stderr = name.startswith("stderr")
        omitted, before = output.omitted(is_stderr)
        values.setdefault("output_captured", output.captured)
        values.setdefault(_OMITTED[is_stderr], omitted)
        values.setdefault(_before(is_stderr), before)
        if name in _BYTES:
            values.setdefault(name, output.bytes(is_stderr))
            if all(stream in values for stream in _BYTES):
                values.pop("_output", None)
        return values[name]

    def _text(self, name: str) -> str:
        raw: bytes = getattr(self, f"{name}_bytes")
        if not getattr(self, f"{name}_omitted_bytes"):
            return decode(raw)
        # Bytes on both sides of what is missing are no parts of one character.
        before: int = self.__dict__.get(_before(name == "stderr"), len(raw))
        return decode(raw[:before]) + decode(raw[before:])

    def __repr__(self) -> str:
        shown = [
            f"{one.name}={getattr(self, one.name)!r}"
            for one in fields(self)
            if not one.kw_only or getattr(self, one.name) != one.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def _before(is_stderr: bool) -> str:
    """Where a result has the number of bytes that are in front of those omitted."""
    return "_stderr_before" if is_stderr else "_stdout_before"


# Class attributes would stand in for what __getattr__ makes.
del ProcessResult.stdout_bytes, ProcessResult.stderr_bytes
del ProcessResult.stdout_omitted_bytes, ProcessResult.stderr_omitted_bytes
del ProcessResult.output_captured
