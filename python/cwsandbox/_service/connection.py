"""How to talk to the service about one sandbox: explicit arguments merged with defaults, and checked."""

from __future__ import annotations

from cwsandbox._service import endpoint
from cwsandbox._types import check
from cwsandbox._types.enums import DataPlaneMode
from cwsandbox._types.record import Record
from cwsandbox._types.settings import settings
from cwsandbox._types.standard import DEFAULT_BASE_URL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from cwsandbox._types.auth import AuthConfig
    from cwsandbox._types.defaults import SandboxDefaults


class Connection(Record):
    """Address, credentials and patience. Times in seconds."""

    base_url: str
    auth: AuthConfig | None
    request_timeout: float
    poll_retry_budget: float
    poll_rpc_timeout: float
    create_retry_budget: float = 0.0
    data_plane_mode: DataPlaneMode = DataPlaneMode.AUTO

    @property
    def is_local(self) -> bool:
        """Whether the service is a daemon on this host."""
        return self.base_url == endpoint.LOCAL or self.base_url.startswith("unix:")


def connection(given: Mapping[str, Any], defaults: SandboxDefaults | None) -> Connection:
    """The connection settings among a sandbox's arguments."""
    value = settings(given, defaults)
    default_url = DEFAULT_BASE_URL if defaults is None else defaults.base_url

    def seconds(name: str, checked: Callable[[Any, str], float]) -> float:
        return float(checked(value(name), name))

    return Connection(
        base_url=endpoint.base_url(given.get("base_url"), default_url),
        auth=value("auth"),
        request_timeout=seconds("request_timeout_seconds", check.timeout),
        poll_retry_budget=seconds("poll_retry_budget_seconds", check.budget),
        poll_rpc_timeout=seconds("poll_rpc_timeout_seconds", check.rpc_timeout),
        create_retry_budget=seconds("create_retry_budget_seconds", check.budget),
        data_plane_mode=check.data_plane_mode(value("data_plane_mode")),
    )


def connection_for_call(*, timeout_seconds: float | None, **given: Any) -> Connection:
    """The connection for a call that is not about one sandbox; ``timeout_seconds`` becomes the request timeout."""
    if timeout_seconds is not None:
        given["request_timeout_seconds"] = check.timeout(timeout_seconds, "timeout_seconds")
    return connection(given, None)
