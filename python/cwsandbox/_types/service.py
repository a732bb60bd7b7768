"""Listening ports of a sandbox and the public endpoints in front of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cwsandbox._types import check
from cwsandbox._types.coerce import instance
from cwsandbox._types.enums import EndpointAuth, EndpointKind, ServiceProtocol, ServiceVisibility


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The public endpoint wanted for a service.

    - ``kind``: "https" or "tls_passthrough".
    - ``auth``: who may call an HTTPS endpoint: "open" (everyone) or "share_token". Needed for HTTPS, refused for TLS
      passthrough.
    - ``request_timeout_seconds``: limit of a request to an HTTPS endpoint, in seconds. 0 and None: the platform's
      default.
    """

    kind: EndpointKind | str
    auth: EndpointAuth | str | None = None
    request_timeout_seconds: int | None = None

    def __post_init__(self) -> None:
        kind = check.choice(self.kind, EndpointKind, "Endpoint.kind")
        object.__setattr__(self, "kind", kind)
        if self.auth is not None:
            object.__setattr__(self, "auth", check.choice(self.auth, EndpointAuth, "Endpoint.auth"))
        if self.request_timeout_seconds is not None:
            check.integer(self.request_timeout_seconds, "Endpoint.request_timeout_seconds")
            if self.request_timeout_seconds < 0:
                raise ValueError(
                    f"Endpoint.request_timeout_seconds must not be negative, got {self.request_timeout_seconds}"
                )
        if kind is EndpointKind.HTTPS and self.auth is None:
            raise ValueError("Endpoint of kind https needs auth")
        if kind is EndpointKind.TLS_PASSTHROUGH and (
            self.auth is not None or self.request_timeout_seconds is not None
        ):
            raise ValueError(
                "Endpoint of kind tls_passthrough takes neither auth nor request_timeout_seconds"
            )


@dataclass(frozen=True, kw_only=True)
class Service:
    """A port the workload listens on, and who may reach it.

    - ``port``: 1 to 65535.
    - ``name``: of the service. Default: none.
    - ``protocol``: "tcp" (the default), "udp" or "sctp".
    - ``visibility``: "public", "private" or "custom". Default: the service's.
    - ``endpoint``: ``Endpoint`` or a dict: a public endpoint in front of it. Needs public visibility and TCP.
    """

    port: int
    name: str | None = None
    protocol: ServiceProtocol | str | None = None
    visibility: ServiceVisibility | str | None = None
    endpoint: Endpoint | dict[str, Any] | None = None

    def __post_init__(self) -> None:
        check.integer(self.port, "Service.port")
        if not 1 <= self.port <= 65535:
            raise ValueError(f"Service.port must be in 1-65535, got {self.port}")
        check.optional_text(self.name, "Service.name")
        if self.protocol is not None:
            protocol = check.choice(self.protocol, ServiceProtocol, "Service.protocol")
            object.__setattr__(self, "protocol", protocol)
        if self.visibility is not None:
            visibility = check.choice(self.visibility, ServiceVisibility, "Service.visibility")
            object.__setattr__(self, "visibility", visibility)
        if self.endpoint is not None:
            object.__setattr__(
                self, "endpoint", instance(self.endpoint, Endpoint, "Service.endpoint")
            )
            self._check_endpoint()

    def _check_endpoint(self) -> None:
        if self.visibility is not ServiceVisibility.PUBLIC:
            raise ValueError(
                f"Service.visibility must be PUBLIC for an endpoint, got {self.visibility!r}"
            )
        if self.protocol not in (None, ServiceProtocol.UNSPECIFIED, ServiceProtocol.TCP):
            raise ValueError(
                f"Service.protocol must be unset or TCP for an endpoint, got {self.protocol!r}"
            )


@dataclass(frozen=True, kw_only=True)
class HttpsEndpointStatus:
    """An HTTPS endpoint as the server set it up.

    - ``port``: of the service behind it.
    - ``name``: of that service.
    - ``kind``: ``EndpointKind.HTTPS``.
    - ``auth``: who may call it.
    - ``url``: its address.
    - ``request_timeout_seconds``: the limit of a request in effect, in seconds.
    """

    port: int
    name: str
    kind: EndpointKind
    auth: EndpointAuth
    url: str
    request_timeout_seconds: int


@dataclass(frozen=True, kw_only=True)
class TlsPassthroughEndpointStatus:
    """A TLS passthrough endpoint as the server set it up.

    - ``port``: of the service behind it.
    - ``name``: of that service.
    - ``kind``: ``EndpointKind.TLS_PASSTHROUGH``.
    - ``address``: host and port to connect to.
    """

    port: int
    name: str
    kind: EndpointKind
    address: str


class EndpointShareToken:
    """The credential for a sandbox's share-token endpoints. Its text form never shows the ``value``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            # Whatever it is, it may hold the credential.
            raise TypeError(f"EndpointShareToken must be a str, got {type(value).__name__}")
        if not value:
            raise ValueError("EndpointShareToken must not be empty")
        self._value = value

    def __repr__(self) -> str:
        return "EndpointShareToken(<redacted>)"

    def __str__(self) -> str:
        return "<redacted>"

    def get_secret_value(self) -> str:
        """The credential itself."""
        return self._value

    def as_headers(self) -> dict[str, str]:
        """The HTTP header that carries the credential."""
        return {"X-Sandbox-Share-Token": self._value}
