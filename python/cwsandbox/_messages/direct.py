"""What is asked for the direct data plane, and what the answer is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwsandbox._types.record import Record

if TYPE_CHECKING:
    from datetime import datetime

    Message = dict[str, Any]

# Those of the methods that operations use: StreamExec, StreamLogs, WriteFile, ReadFile.
PERMISSIONS = (2, 3, 4, 5)
_DIRECT_MTLS = 1
_CONNECT_H2_V1 = 1
# A certificate that ends sooner is none: it is renewed so long before its end.
SKEW = 30.0
_END_OF_TIME = 253402300800


class Grant(Record):
    """A certificate for one sandbox, and where it is good for what. ``seconds`` is how long it is valid from now."""

    endpoint: str
    roots_pem: bytes | None
    chain_pem: bytes
    permissions: int
    seconds: float


def request(sandbox_id: str, csr: bytes) -> Message:
    """Asks for everything that operations may need, so that one certificate does for all."""
    return {
        "sandbox_id": sandbox_id,
        "csr_der": csr,
        "requested_permissions": list(PERMISSIONS),
    }


def grant(reply: Message, now: datetime) -> Grant:
    """The grant in a reply of ConnectSandbox. ``ValueError`` says why it cannot be used."""
    if reply["transport"] != _DIRECT_MTLS:
        raise ValueError(f"its transport is {reply['transport']}, not mTLS")
    if reply["protocol"] != _CONNECT_H2_V1:
        raise ValueError(f"its protocol is {reply['protocol']}, not HTTP/2")
    endpoint = _endpoint(reply["endpoint_uri"])
    seconds = _validity(reply.get("expires_at"), now)
    if not reply["client_certificate_chain_pem"]:
        raise ValueError("it has no certificate")
    granted = sum(1 << number for number in {*reply["granted_permissions"]} & {*PERMISSIONS})
    return Grant(
        endpoint=endpoint,
        roots_pem=reply["server_ca_bundle_pem"] or None,
        chain_pem=reply["client_certificate_chain_pem"],
        permissions=granted,
        seconds=seconds,
    )


def _endpoint(uri: str) -> str:
    scheme, separator, host = uri.rstrip("/").partition("://")
    if not separator or scheme.lower() != "https" or not host or "/" in host:
        raise ValueError(f"its endpoint {uri!r} is not https://host:port")
    return f"https://{host}"


def _validity(expires: Message | None, now: datetime) -> float:
    end = 0 if expires is None else expires["seconds"]
    if not 0 < end < _END_OF_TIME:
        raise ValueError("its certificate's end is no time of day")
    seconds = float(end) - now.timestamp()
    if seconds <= SKEW:
        raise ValueError(f"its certificate ends in {seconds:.0f}s")
    return seconds
