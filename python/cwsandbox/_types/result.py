"""What a command left behind."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from cwsandbox._cwsandbox import decode

if TYPE_CHECKING:
    from cwsandbox._cwsandbox import Process

_BYTES = ("stdout_bytes", "stderr_bytes")
_OMITTED = ("stdout_omitted_bytes", "stderr_omitted_bytes")


@dataclass
class ProcessResult:
    """A command's output and exit code.

    ``stdout`` and ``stderr`` are the bytes decoded as UTF-8, with U+FFFD for invalid bytes; ``stdout_bytes`` and
    ``stderr_bytes`` are as received. ``returncode`` is the exit code, or -1 in the result that an exception carries
    for a command whose exit code was never received. ``command`` is the argv that was run; default: an empty list.

    ``stdout_omitted_bytes`` and ``stderr_omitted_bytes`` count the bytes that were received and are missing here:
    those between the two halves that ``max_output_bytes`` keeps, or all of them if ``output_captured`` is False. In
    that case the command was started with ``capture_output=False``, and both streams are empty.
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
        # Called only for what is not in __dict__ yet. Two threads may both make a value; the values are equal.
        if name in ("stdout", "stderr"):
            return self.__dict__.setdefault(name, self._text(name))
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _make(self, name: str) -> Any:
        """A value with a default that is not in ``__dict__`` yet."""
        values = self.__dict__
        output = values.get("_output")
        if output is None:
            # Another thread has just made the last of them, or this object was made without __init__.
            if name in values:
                return values[name]
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
        # Bytes before and after the missing ones never belong to one character.
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
    """The attribute with the number of bytes in front of the omitted ones."""
    return "_stderr_before" if is_stderr else "_stdout_before"


class _Made:
    """A descriptor: the field's default on the class, and on an object the value, which is made on first use."""

    def __init__(self, name: str, default: object) -> None:
        self._name = name
        self._default = default

    def __get__(self, result: ProcessResult | None, cls: type) -> Any:
        return self._default if result is None else result._make(self._name)


for _one in fields(ProcessResult):
    if _one.default is not MISSING:
        setattr(ProcessResult, _one.name, _Made(_one.name, _one.default))
