"""Calls a function as a remote function is called, but on this host: the same payload, script and result."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cwsandbox import ProcessResult, RemoteFunction, Serialization
from cwsandbox._session import capture, outcome
from cwsandbox._session.call import script

JSON, PICKLE = Serialization.JSON, Serialization.PICKLE


def plain(value: Any) -> Any:
    return value._fn if isinstance(value, RemoteFunction) else value


def ran(
    payload: bytes, mode: Serialization, folder: str, text: str | None = None
) -> tuple[ProcessResult, bytes | None]:
    """How the process ended, and its result if it has left one. ``text``: what runs there, if it is another one."""
    sent, result = Path(folder, "payload"), Path(folder, "result")
    sent.write_bytes(payload)
    command = [sys.executable, "-I", "-c", text or script(), str(sent), str(result), str(mode)]
    done = subprocess.run(command, capture_output=True, timeout=30, cwd=folder)
    ended = ProcessResult(
        stdout=done.stdout.decode(),
        stderr=done.stderr.decode(),
        returncode=done.returncode,
        command=command,
    )
    return ended, result.read_bytes() if result.exists() else None


def call(
    function: Callable[..., Any], *args: Any, mode: Serialization = JSON, **kwargs: Any
) -> Any:
    """What the function gives there; ``SandboxExecutionError`` as from ``RemoteFunction.remote()``."""
    payload = capture.payload(plain(function), args, kwargs, mode, plain)
    with tempfile.TemporaryDirectory() as folder:
        ended, data = ran(payload, mode, folder)
    name = plain(function).__name__
    if data is None:
        raise outcome.without_result(name, ended)
    return outcome.value_of(data, name, mode, ended)
