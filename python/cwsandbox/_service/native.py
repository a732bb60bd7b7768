"""The C core, made ready: it can make the package's results and exceptions, and ends in order with the process.

Import it only where a sandbox is made or an operation begins: it brings in the libraries for TLS and HTTP/2, which
nobody needs who only imports the package.
"""

from __future__ import annotations

from cwsandbox import _cwsandbox
from cwsandbox._cwsandbox import Promise, SandboxCore
from cwsandbox._runtime import life
from cwsandbox._service.errors import Hooks
from cwsandbox._service.file_errors import FileHooks
from cwsandbox._types.result import ProcessResult

__all__ = ["Promise", "SandboxCore"]

_hooks = Hooks(_cwsandbox._message_unpack, ProcessResult._of)
_cwsandbox.configure("exec", make_value=_hooks.make_result, make_error=_hooks.make_error)
_cwsandbox.configure(
    "terminal", make_value=_hooks.make_terminal_result, make_error=_hooks.make_terminal_error
)
_cwsandbox.configure("log", make_error=_hooks.make_log_error)
_cwsandbox.configure("write", make_error=_hooks.make_write_error)
_file_hooks = FileHooks(_cwsandbox._message_unpack)
_cwsandbox.configure("file", make_error=_file_hooks.make_error)
_cwsandbox.configure(
    "helper",
    make_value=_file_hooks.make_helper_value,
    make_error=_file_hooks.make_helper_error,
)
life.install()
life.when_exiting(_cwsandbox.shutdown)
