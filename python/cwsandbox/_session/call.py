"""One call of a remote function: a sandbox of its own, from its create to its end. On the policy loop."""

from __future__ import annotations

import functools
import posixpath
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cwsandbox._runtime import cleanup, life, tracing
from cwsandbox._session import outcome
from cwsandbox._types.record import Record
from cwsandbox._types.serialization import Serialization
from cwsandbox.exceptions import SandboxError, SandboxFileError, SandboxTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cwsandbox._sandbox.sandbox import Sandbox
    from cwsandbox._types.result import ProcessResult

_NOT_FOUND = "CWSANDBOX_FILE_NOT_FOUND"
# For a result that may be there although the time is up.
_LATE_READ_S = 30.0
# Bytes of JSON. More would hold up the policy loop by milliseconds.
_DECODED_AT_ONCE = 64 << 10


class Call(Record):
    """What is to be called, and where."""

    name: str
    # Also says what it belongs to: module, class, function around it.
    full_name: str
    payload: bytes
    mode: Serialization
    temp_dir: str
    sandbox: Sandbox
    # Gives the sandbox to the session.
    own: Callable[[Sandbox], object]


async def run(call: Call) -> Any:
    """The function's value. The sandbox is stopped then, or is being stopped if this was cancelled."""
    with tracing.span("function", call.sandbox) as span:
        span.set("code.function.name", call.full_name)
        return await _run(call)


async def _run(call: Call) -> Any:
    sandbox = call.sandbox
    # Not before: a call that is cancelled at once never comes here.
    call.own(sandbox)
    is_over = False
    try:
        # The end of the program looks for it from now on. It is not begun if that has looked before.
        sandbox._driving()
        if cleanup.is_exiting():
            raise RuntimeError(life.ENDING)
        await sandbox
        result, ended = await _result(call)
        is_over = True
    except Exception:
        is_over = True
        raise
    finally:
        if is_over:
            await _stop(call)
        else:
            sandbox._abandon()
    return await _value(call, result, ended)


async def _value(call: Call, result: bytes, ended: ProcessResult) -> Any:
    def decode() -> Any:
        return outcome.value_of(result, call.name, call.mode, ended)

    if call.mode is Serialization.JSON and len(result) <= _DECODED_AT_ONCE:
        return decode()
    # It may take long, and a pickle may run anything: other sandboxes must not wait for that.
    # Loads asyncio, which the import of cwsandbox must not.
    from cwsandbox._runtime import threads

    return await threads.Call(decode, threads.Group.RESULTS).result(None)


async def _result(call: Call) -> tuple[bytes, ProcessResult]:
    """What the call has left in its sandbox, and how its process has ended."""
    sandbox, stem = call.sandbox, uuid4().hex
    payload = posixpath.join(call.temp_dir, f"sandbox_payload_{stem}.{call.mode}")
    result = posixpath.join(call.temp_dir, f"sandbox_result_{stem}.{call.mode}")
    await sandbox.write_file(payload, call.payload)
    command = ["python3", "-c", script(), payload, result, str(call.mode)]
    late: SandboxTimeoutError | None = None
    try:
        ended = await sandbox.exec(command, max_output_bytes=outcome.OUTPUT_MAX)
    except SandboxError as error:
        outcome.name_function(error, command, call.name)
        if not isinstance(error, SandboxTimeoutError) or error.exec_result is None:
            raise
        # The function may have returned, and only Python not have ended.
        late, ended = error, error.exec_result
    try:
        data = await sandbox.read_file(result, timeout_seconds=_LATE_READ_S if late else None)
    except SandboxError as error:
        if late is not None:
            raise late from None
        if isinstance(error, SandboxFileError) and error.reason == _NOT_FOUND:
            raise outcome.without_result(call.name, ended) from None
        raise
    return data, ended


async def _stop(call: Call) -> None:
    # What the call has come to is worth more than this failure. The session keeps the sandbox, and tries again.
    try:
        await call.sandbox.stop(missing_ok=True)
    except Exception as error:
        if life.is_ending():
            # What ends with the program has been stopped, or logged.
            return
        from logging import getLogger

        getLogger("cwsandbox").warning(
            "the sandbox of function %r could not be stopped: %s", call.name, error
        )


@functools.cache
def script() -> str:
    """The text of what runs inside."""
    spec = find_spec("cwsandbox._session.remote_script")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")
