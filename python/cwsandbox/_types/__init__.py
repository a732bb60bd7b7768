"""The option and record types, one subject per module; each name is loaded when it is first used."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cwsandbox._types.auth import AuthConfig as AuthConfig
    from cwsandbox._types.auth import AuthHeaders as AuthHeaders
    from cwsandbox._types.auth import AuthProvider as AuthProvider
    from cwsandbox._types.auth import AuthStrategy as AuthStrategy
    from cwsandbox._types.container import Container as Container
    from cwsandbox._types.container import ContainerStatus as ContainerStatus
    from cwsandbox._types.container import SecurityContext as SecurityContext
    from cwsandbox._types.enums import DataPlaneMode as DataPlaneMode
    from cwsandbox._types.enums import EndpointAuth as EndpointAuth
    from cwsandbox._types.enums import EndpointKind as EndpointKind
    from cwsandbox._types.enums import ObjectStoragePermission as ObjectStoragePermission
    from cwsandbox._types.enums import PlacementMode as PlacementMode
    from cwsandbox._types.enums import PlacementSpillover as PlacementSpillover
    from cwsandbox._types.enums import SandboxControl as SandboxControl
    from cwsandbox._types.enums import SandboxFileType as SandboxFileType
    from cwsandbox._types.enums import SandboxStatus as SandboxStatus
    from cwsandbox._types.enums import ServiceProtocol as ServiceProtocol
    from cwsandbox._types.enums import ServiceVisibility as ServiceVisibility
    from cwsandbox._types.enums import StorageMedium as StorageMedium
    from cwsandbox._types.enums import TenantScope as TenantScope
    from cwsandbox._types.error import FieldViolation as FieldViolation
    from cwsandbox._types.network import CidrBlock as CidrBlock
    from cwsandbox._types.network import EgressRule as EgressRule
    from cwsandbox._types.network import IngressRule as IngressRule
    from cwsandbox._types.network import NetworkOptions as NetworkOptions
    from cwsandbox._types.network import PortRange as PortRange
    from cwsandbox._types.network import SelectorBlock as SelectorBlock
    from cwsandbox._types.registered import PvcVolumeSource as PvcVolumeSource
    from cwsandbox._types.registered import VolumeLocality as VolumeLocality
    from cwsandbox._types.registered import VolumeState as VolumeState
    from cwsandbox._types.resources import ResourceOptions as ResourceOptions
    from cwsandbox._types.result import ProcessResult as ProcessResult
    from cwsandbox._types.secret import ImagePullCredentials as ImagePullCredentials
    from cwsandbox._types.secret import ObjectStorageAccess as ObjectStorageAccess
    from cwsandbox._types.secret import Secret as Secret
    from cwsandbox._types.serialization import Serialization as Serialization
    from cwsandbox._types.service import Endpoint as Endpoint
    from cwsandbox._types.service import EndpointShareToken as EndpointShareToken
    from cwsandbox._types.service import HttpsEndpointStatus as HttpsEndpointStatus
    from cwsandbox._types.service import Service as Service
    from cwsandbox._types.service import (
        TlsPassthroughEndpointStatus as TlsPassthroughEndpointStatus,
    )
    from cwsandbox._types.snapshot import FileSystemSnapshot as FileSystemSnapshot
    from cwsandbox._types.snapshot import (
        FileSystemSnapshotBucketConfig as FileSystemSnapshotBucketConfig,
    )
    from cwsandbox._types.snapshot import (
        FileSystemSnapshotBucketMode as FileSystemSnapshotBucketMode,
    )
    from cwsandbox._types.snapshot import FileSystemSnapshotStatus as FileSystemSnapshotStatus
    from cwsandbox._types.snapshot import FileSystemSnapshotTrigger as FileSystemSnapshotTrigger
    from cwsandbox._types.terminal import TerminalResult as TerminalResult
    from cwsandbox._types.volume import FileSystemSnapshotOptions as FileSystemSnapshotOptions
    from cwsandbox._types.volume import RegisteredVolumeOptions as RegisteredVolumeOptions
    from cwsandbox._types.volume import ScratchVolumeOptions as ScratchVolumeOptions
    from cwsandbox._types.volume import VolumeMount as VolumeMount

MODULES = {
    "auth": ("AuthConfig", "AuthHeaders", "AuthProvider", "AuthStrategy"),
    "container": ("Container", "ContainerStatus", "SecurityContext"),
    "enums": (
        "DataPlaneMode",
        "EndpointAuth",
        "EndpointKind",
        "ObjectStoragePermission",
        "PlacementMode",
        "PlacementSpillover",
        "SandboxControl",
        "SandboxFileType",
        "SandboxStatus",
        "ServiceProtocol",
        "ServiceVisibility",
        "StorageMedium",
        "TenantScope",
    ),
    "error": ("FieldViolation",),
    "network": (
        "CidrBlock",
        "EgressRule",
        "IngressRule",
        "NetworkOptions",
        "PortRange",
        "SelectorBlock",
    ),
    "registered": ("PvcVolumeSource", "VolumeLocality", "VolumeState"),
    "resources": ("ResourceOptions",),
    "result": ("ProcessResult",),
    "secret": ("ImagePullCredentials", "ObjectStorageAccess", "Secret"),
    "serialization": ("Serialization",),
    "service": (
        "Endpoint",
        "EndpointShareToken",
        "HttpsEndpointStatus",
        "Service",
        "TlsPassthroughEndpointStatus",
    ),
    "snapshot": (
        "FileSystemSnapshot",
        "FileSystemSnapshotBucketConfig",
        "FileSystemSnapshotBucketMode",
        "FileSystemSnapshotStatus",
        "FileSystemSnapshotTrigger",
    ),
    "terminal": ("TerminalResult",),
    "volume": (
        "FileSystemSnapshotOptions",
        "RegisteredVolumeOptions",
        "ScratchVolumeOptions",
        "VolumeMount",
    ),
}

_MODULE_OF = {name: module for module, names in MODULES.items() for name in names}


if not TYPE_CHECKING:  # so that a checker knows which names there are

    def __getattr__(name: str) -> object:
        module = _MODULE_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{module}"), name)
        globals()[name] = value
        return value
