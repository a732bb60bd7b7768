"""A copy of the C module for these tests alone, with hooks of its own: the package's are not touched."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from types import ModuleType
from typing import Any, NamedTuple


class Result(NamedTuple):
    process: Any
    returncode: int
    check: bool


class CheckError(Exception):
    """check=True, and the exit code was not 0."""


class ExecError(Exception):
    """args: the process and the RpcError."""


class LogError(Exception):
    """args: the sandbox and the RpcError."""


class FileError(Exception):
    """args: the operation and the RpcError."""


class WriteError(Exception):
    """args: "closed", "failed" or "ended", and what the command failed of or None."""


def make_result(process: Any, returncode: int, check: bool) -> Result | CheckError:
    if check and returncode != 0:
        return CheckError(process, returncode)
    return Result(process, returncode, check)


class Ended(NamedTuple):
    session: Any
    returncode: int


class TerminalError(Exception):
    """args: the session and the RpcError."""


def load() -> ModuleType:
    """A new instance of ``cwsandbox._cwsandbox`` with its own state; the I/O thread is shared."""
    found = importlib.util.find_spec("cwsandbox._cwsandbox")
    assert found is not None
    assert found.origin is not None
    name = "native._cwsandbox"
    loader = importlib.machinery.ExtensionFileLoader(name, found.origin)
    spec = importlib.util.spec_from_file_location(name, found.origin, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def load_configured() -> ModuleType:
    module = load()
    module.configure("exec", make_value=make_result, make_error=ExecError)
    module.configure(
        "terminal",
        make_value=lambda session, code, _: Ended(session, code),
        make_error=TerminalError,
    )
    module.configure("write", make_error=WriteError)
    module.configure("file", make_error=FileError)
    module.configure("log", make_error=LogError)
    module.configure(
        "helper",
        make_value=lambda process, code, _: process._purpose.value(process, code),
        make_error=lambda process, error: process._purpose.error(error),
    )
    return module
