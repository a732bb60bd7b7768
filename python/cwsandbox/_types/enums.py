"""String enums, and the numbers they have on the wire."""

from __future__ import annotations

from enum import StrEnum, unique

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    _E = TypeVar("_E", bound=StrEnum)


@unique
class SandboxStatus(StrEnum):
    """Where a sandbox is in its life."""

    RUNNING = "running"
    CREATING = "creating"
    PREPARING = "preparing"
    PENDING = "pending"
    PAUSED = "paused"
    TERMINATING = "terminating"
    COMPLETED = "completed"
    FAILED = "failed"
    TERMINATED = "terminated"
    UNSPECIFIED = "unspecified"

    @classmethod
    def from_proto(cls, proto_status: int) -> SandboxStatus:
        """The state with this wire number; ``UNSPECIFIED``, with a warning in the log, for an unknown one."""
        known = member(cls, proto_status)
        if known is None:
            from logging import getLogger

            getLogger("cwsandbox").warning("unknown sandbox state %r", proto_status)
            return cls.UNSPECIFIED
        return known

    def to_proto(self) -> int:
        """The wire number of this state."""
        return number(self)


@unique
class PlacementMode(StrEnum):
    """Where a sandbox should run."""

    UNSPECIFIED = "unspecified"
    SERVERLESS = "serverless"
    CKS = "cks"


@unique
class PlacementSpillover(StrEnum):
    """Whether a create that finds no room may try the other placement mode."""

    STRICT = "strict"
    CKS_THEN_SERVERLESS = "cks_then_serverless"
    SERVERLESS_THEN_CKS = "serverless_then_cks"


@unique
class DataPlaneMode(StrEnum):
    """How commands, logs and files reach a sandbox.

    ``GATEWAY``: through the service. ``DIRECT``: straight to the sandbox's own endpoint, or not at all. ``AUTO``:
    through the service, and straight as soon as there is a connection.
    """

    AUTO = "auto"
    GATEWAY = "gateway"
    DIRECT = "direct"


@unique
class SandboxControl(StrEnum):
    """Who manages a sandbox's containers."""

    UNSPECIFIED = "unspecified"
    PLATFORM = "platform"
    CONTAINER_ENGINE = "container_engine"


@unique
class SandboxFileType(StrEnum):
    """The kind of a file that describes a sandbox."""

    UNSPECIFIED = "unspecified"
    COMPOSE = "compose"


@unique
class ServiceVisibility(StrEnum):
    """Who may reach a service."""

    UNSPECIFIED = "unspecified"
    PUBLIC = "public"
    PRIVATE = "private"
    CUSTOM = "custom"


@unique
class ServiceProtocol(StrEnum):
    """The transport protocol of a service; unspecified means TCP."""

    UNSPECIFIED = "unspecified"
    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"


@unique
class EndpointKind(StrEnum):
    """The kind of a service's public endpoint."""

    HTTPS = "https"
    TLS_PASSTHROUGH = "tls_passthrough"


@unique
class EndpointAuth(StrEnum):
    """Who may call an HTTPS endpoint: everyone, or holders of the sandbox's share token."""

    OPEN = "open"
    SHARE_TOKEN = "share_token"


@unique
class TenantScope(StrEnum):
    """Other sandboxes, by their relation to this one."""

    UNSPECIFIED = "unspecified"
    SAME_USER = "same_user"
    SAME_ORG = "same_org"
    SANDBOX_NETWORK = "sandbox_network"


@unique
class StorageMedium(StrEnum):
    """What backs a scratch volume."""

    UNSPECIFIED = "unspecified"
    DISK = "disk"
    MEMORY = "memory"


@unique
class ObjectStoragePermission(StrEnum):
    """The rights of the bucket credentials a sandbox is given."""

    UNSPECIFIED = "unspecified"
    READ = "read"
    READ_WRITE = "read_write"


# The wire numbers of the members, in this order from zero; None where a number has no member.
_NUMBERED: dict[type[StrEnum], tuple[StrEnum | None, ...]] = {
    SandboxStatus: (
        SandboxStatus.UNSPECIFIED,
        SandboxStatus.CREATING,
        SandboxStatus.RUNNING,
        SandboxStatus.COMPLETED,
        SandboxStatus.FAILED,
        SandboxStatus.TERMINATING,
        SandboxStatus.TERMINATED,
        SandboxStatus.PENDING,
        SandboxStatus.PAUSED,
        SandboxStatus.PREPARING,
    ),
    PlacementMode: tuple(PlacementMode),
    SandboxControl: tuple(SandboxControl),
    SandboxFileType: tuple(SandboxFileType),
    ServiceVisibility: tuple(ServiceVisibility),
    ServiceProtocol: tuple(ServiceProtocol),
    EndpointKind: (None, *EndpointKind),
    EndpointAuth: (None, *EndpointAuth),
    TenantScope: tuple(TenantScope),
    StorageMedium: tuple(StorageMedium),
    ObjectStoragePermission: tuple(ObjectStoragePermission),
}


def numbered(*members: StrEnum) -> None:
    """Give all members of an enum of another module their wire numbers: in this order, from zero."""
    _NUMBERED[type(members[0])] = members


def number(value: StrEnum) -> int:
    """The wire number of a member."""
    return _NUMBERED[type(value)].index(value)


def member(enum: type[_E], wire_number: int) -> _E | None:
    """The member with this wire number, None if there is none."""
    members = _NUMBERED[enum]
    found = members[wire_number] if 0 <= wire_number < len(members) else None
    return found if isinstance(found, enum) else None
