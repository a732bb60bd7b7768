"""Programs import ``SandboxDefaults`` and the standard values from here, and pickles name it."""

from __future__ import annotations

from cwsandbox._types.defaults import SandboxDefaults
from cwsandbox._types.standard import (
    DEFAULT_ARGS,
    DEFAULT_BASE_URL,
    DEFAULT_COMMAND,
    DEFAULT_CONTAINER_IMAGE,
    DEFAULT_CREATE_RETRY_BUDGET_SECONDS,
    DEFAULT_GRACEFUL_SHUTDOWN_SECONDS,
    DEFAULT_POLL_RETRY_BUDGET_SECONDS,
    DEFAULT_POLL_RPC_TIMEOUT_SECONDS,
    DEFAULT_REQUEST_TIMEOUT_SECONDS,
    DEFAULT_TEMP_DIR,
)

__all__ = [
    "DEFAULT_ARGS",
    "DEFAULT_BASE_URL",
    "DEFAULT_COMMAND",
    "DEFAULT_CONTAINER_IMAGE",
    "DEFAULT_CREATE_RETRY_BUDGET_SECONDS",
    "DEFAULT_GRACEFUL_SHUTDOWN_SECONDS",
    "DEFAULT_POLL_RETRY_BUDGET_SECONDS",
    "DEFAULT_POLL_RPC_TIMEOUT_SECONDS",
    "DEFAULT_REQUEST_TIMEOUT_SECONDS",
    "DEFAULT_TEMP_DIR",
    "SandboxDefaults",
]
