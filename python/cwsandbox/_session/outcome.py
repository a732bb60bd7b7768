"""How the call of a remote function ended, as its sandbox tells it. Nothing in there is trusted."""

from __future__ import annotations

import json
import platform
import signal
from typing import TYPE_CHECKING, Any, NoReturn

from cwsandbox._service.errors import shown_command
from cwsandbox._session import values
from cwsandbox._session.remote_script import text_of
from cwsandbox._types.serialization import Serialization
from cwsandbox.exceptions import SandboxError, SandboxExecutionError

if TYPE_CHECKING:
    from cwsandbox._types.result import ProcessResult

# Beginning and end of what the function prints are kept for whoever catches the error.
OUTPUT_MAX = 1 << 20
_SIGNALLED = 128
_STDERR_SHOWN = 2000


def value_of(data: bytes, name: str, mode: Serialization, process: ProcessResult) -> Any:
    """The value in a result. ``SandboxExecutionError`` when there is none."""
    line, _, _ = data.partition(b"\n")
    body = len(line) + 1
    try:
        head = json.loads(line)
        is_ok = head["ok"] is True
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _error(name, f"its result cannot be read: {error!r}", process) from error
    if not is_ok:
        _fail(head, data, body, name, mode, process)
    try:
        return values.load(data, body, mode)
    except BaseException as error:
        # What is unpickled may raise SystemExit, which must not end the caller.
        verb = "unpickled" if mode is Serialization.PICKLE else "decoded"
        what = f"its result cannot be {verb} here ({_versions(head)})"
        raise _error(name, f"{what}: {type(error).__name__}: {text_of(error)}", process) from error


def name_function(error: SandboxError, command: list[str], name: str) -> None:
    """Have a failure of the command speak of the function: nobody knows the command, which has a text of ours."""
    text = str(error).replace(f"Command {shown_command(command)}", f"Function {name!r}", 1)
    error.args = (text, *error.args[1:])


def without_result(name: str, process: ProcessResult) -> SandboxExecutionError:
    """The process has ended and has left nothing."""
    code = process.returncode
    text = f"the process ended with exit code {code} before the function returned"
    with_signal = code - _SIGNALLED if code > _SIGNALLED else -code
    if with_signal in set(signal.Signals):
        text += f", as one does that {signal.Signals(with_signal).name} kills"
    stderr = process.stderr.strip()
    if stderr:
        text += f": {stderr[-_STDERR_SHOWN:]}"
    return _error(name, text, process)


def _fail(
    head: dict[str, Any],
    data: bytes,
    body: int,
    name: str,
    mode: Serialization,
    process: ProcessResult,
) -> NoReturn:
    kind, text = _text(head.get("type")), _text(head.get("message")) or ""
    told = f"{kind}: {text}" if text else str(kind)
    if head.get("stage") == "setup":
        told = f"it could not be set up ({_versions(head)}): {told}"
    elif head.get("stage") == "result":
        text = f"return value is not {_adjective(mode)}: {text}"
        told = f"{kind}: {text}"
    elif head.get("stage") == "save":
        text = f"return value cannot be sent: {text}"
        told = f"{kind}: {text}"
    elif kind == "SystemExit":
        told = f"it called sys.exit({text})"
    hint = _text(head.get("hint"))
    if hint:
        told = f"{told} ({hint})"
    error = _error(name, told, process, kind, text)
    trace = _text(head.get("traceback"))
    if trace:
        error.add_note(f"In the sandbox (Python {_text(head.get('python'))}):\n{trace.rstrip()}")
    raise error from _cause(data, body, mode)


def _cause(data: bytes, body: int, mode: Serialization) -> BaseException | None:
    """The exception itself, where it could be pickled there and can be made here."""
    if mode is not Serialization.PICKLE or body >= len(data):
        return None
    try:
        cause = values.load(data, body, mode)
    except BaseException:
        return None
    return cause if isinstance(cause, BaseException) else None


def _versions(head: dict[str, Any]) -> str:
    return f"Python {_text(head.get('python'))} there, {platform.python_version()} here"


def _adjective(mode: Serialization) -> str:
    return "picklable" if mode is Serialization.PICKLE else "JSON-serializable"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _error(
    name: str,
    text: str,
    process: ProcessResult,
    kind: str | None = None,
    message: str | None = None,
) -> SandboxExecutionError:
    return SandboxExecutionError(
        f"Function {name!r} execution failed in sandbox: {text}",
        exec_result=process,
        exception_type=kind,
        exception_message=message,
    )
