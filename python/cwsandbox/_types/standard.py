"""The settings of a sandbox for which nothing else is said (times in seconds)."""

from __future__ import annotations

from cwsandbox._types.enums import DataPlaneMode, PlacementSpillover

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

DEFAULT_BASE_URL = "https://api.cwsandbox.com"
DEFAULT_CONTAINER_IMAGE = "python:3.11"
# Keeps a sandbox alive, and ends with 0 when told to stop.
DEFAULT_COMMAND = "/bin/sh"
DEFAULT_ARGS = ("-c", 'trap "exit 0" TERM INT; sleep infinity & wait')
DEFAULT_TEMP_DIR = "/tmp"

DEFAULT_REQUEST_TIMEOUT_SECONDS = 300.0
DEFAULT_CREATE_RETRY_BUDGET_SECONDS = 0.0
DEFAULT_POLL_RETRY_BUDGET_SECONDS = 30.0
DEFAULT_POLL_RPC_TIMEOUT_SECONDS = 15.0
DEFAULT_GRACEFUL_SHUTDOWN_SECONDS = 10.0

# Those of SandboxDefaults() by name, so that who gives no defaults does not have to load that class. What is missing
# here has no value.
SETTINGS: Mapping[str, Any] = {
    "container_image": DEFAULT_CONTAINER_IMAGE,
    "command": DEFAULT_COMMAND,
    "args": DEFAULT_ARGS,
    "base_url": DEFAULT_BASE_URL,
    "request_timeout_seconds": DEFAULT_REQUEST_TIMEOUT_SECONDS,
    "create_retry_budget_seconds": DEFAULT_CREATE_RETRY_BUDGET_SECONDS,
    "poll_retry_budget_seconds": DEFAULT_POLL_RETRY_BUDGET_SECONDS,
    "poll_rpc_timeout_seconds": DEFAULT_POLL_RPC_TIMEOUT_SECONDS,
    "temp_dir": DEFAULT_TEMP_DIR,
    "placement_spillover": PlacementSpillover.STRICT,
    "data_plane_mode": DataPlaneMode.AUTO,
}
