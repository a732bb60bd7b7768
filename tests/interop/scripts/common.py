"""What scripts with the published SDK have in common. It is imported here, so nothing of ours may be."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from cwsandbox import CWSandboxError

RUNNER = f"local-{socket.gethostname()}"


def raised(call: Callable[[], Any]) -> CWSandboxError:
    try:
        call()
    except CWSandboxError as error:
        return error
    raise AssertionError("nothing was raised")
