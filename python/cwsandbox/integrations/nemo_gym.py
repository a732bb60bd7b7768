"""The sandbox provider ``cwsandbox`` of NeMo Gym, which finds it by the entry point (docs/guide/nemo-gym.md)."""

from __future__ import annotations

import asyncio
import logging
import math
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_gym.sandbox.providers.base import (
    SandboxCreateError,
    SandboxExecResult,
    SandboxHandle,
    SandboxResources,
    SandboxSpec,
    SandboxStatus,
)

from cwsandbox import Sandbox
from cwsandbox import SandboxStatus as Status
from cwsandbox.exceptions import (
    CWSandboxError,
    SandboxError,
    SandboxNotFoundError,
    SandboxTimeoutError,
)

if TYPE_CHECKING:
    from nemo_gym.sandbox.providers.base import SandboxEndpoint  # from 0.5 on

_STATUS = {
    Status.PENDING: SandboxStatus.STARTING,
    Status.CREATING: SandboxStatus.STARTING,
    Status.PREPARING: SandboxStatus.STARTING,
    Status.RUNNING: SandboxStatus.RUNNING,
    Status.TERMINATING: SandboxStatus.STOPPED,
    Status.COMPLETED: SandboxStatus.STOPPED,
    Status.TERMINATED: SandboxStatus.STOPPED,
    Status.FAILED: SandboxStatus.ERROR,
}
# NeMo Gym's own providers give it, too.
_NO_CODE = 125
# Of the provider's options, those that a sandbox of another process is found by.
_FINDING = ("base_url", "auth")


class _Made(NamedTuple):
    """What a handle has."""

    sandbox: Sandbox
    workdir: str | None


class CWSandboxProvider:
    """Makes each sandbox that is asked for. Its options are those of ``Sandbox()``, for all of them."""

    name = "cwsandbox"

    def __init__(self, **options: Any) -> None:
        Sandbox(**options)  # which checks them, and sends nothing
        self._options = options
        self._has_warned = False

    async def create(self, spec: SandboxSpec) -> SandboxHandle:
        """A sandbox that runs. ``spec.provider_options`` are further arguments of ``Sandbox()``.

        ``spec.files`` are not its task: NeMo Gym gives each to ``upload_file``.
        """
        self._warn_of_disk(spec)
        sandbox = Sandbox(**_merged(self._options, _options_of(spec), spec.provider_options))
        try:
            async with asyncio.timeout(spec.ready_timeout_s):
                await sandbox
                if spec.workdir is not None:
                    await sandbox.exec(["mkdir", "-p", "--", spec.workdir], check=True)
        except BaseException as error:
            sandbox.stop(graceful_shutdown_seconds=0, missing_ok=True)
            if isinstance(error, CWSandboxError | TimeoutError):
                text = str(error) or f"it did not run within {spec.ready_timeout_s} s"
                raise SandboxCreateError(f"cannot create a sandbox: {text}") from error
            raise
        return self._handle(sandbox, spec.workdir)

    async def exec(
        self,
        handle: SandboxHandle,
        command: str,
        *,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_s: int | float | None = None,
        user: str | int | None = None,
    ) -> SandboxExecResult:
        """Run a shell's text. What ends without an exit code has the ``error_type`` "timeout" or "sandbox"."""
        if user not in (None, 0, "0", "root"):
            raise ValueError(f"commands run as the sandbox's root, not {user!r}")
        made: _Made = handle.raw
        process = made.sandbox.exec(
            ["/bin/sh", "-c", command],
            cwd=made.workdir if cwd is None else _path(made, cwd),
            env=env,
            timeout_seconds=math.inf if timeout_s is None else timeout_s,
        )
        try:
            result = await process
        except SandboxError as error:
            kind = "timeout" if isinstance(error, SandboxTimeoutError) else "sandbox"
            received = error.exec_result
            said = received.stderr if received else ""
            return SandboxExecResult(
                stdout=received.stdout if received else None,
                stderr=f"{said}{error}",
                return_code=_NO_CODE,
                error_type=kind,
            )
        except BaseException:
            process.cancel()
            raise
        return SandboxExecResult(result.stdout, result.stderr, result.returncode)

    async def upload_file(self, handle: SandboxHandle, source_path: Path, target_path: str) -> None:
        """A relative target is one of the working directory, as a command's is."""
        made: _Made = handle.raw
        await made.sandbox.upload(source_path, _path(made, target_path))

    async def download_file(
        self, handle: SandboxHandle, source_path: str, target_path: Path
    ) -> None:
        made: _Made = handle.raw
        await made.sandbox.download(_path(made, source_path), target_path)

    async def status(self, handle: SandboxHandle) -> SandboxStatus:
        made: _Made = handle.raw
        try:
            status = await asyncio.to_thread(made.sandbox.get_status)
        except SandboxNotFoundError:
            return SandboxStatus.STOPPED
        return _STATUS.get(status, SandboxStatus.UNKNOWN)

    async def close(self, handle: SandboxHandle) -> None:
        made: _Made = handle.raw
        await made.sandbox.stop(graceful_shutdown_seconds=0, missing_ok=True)

    async def aclose(self) -> None:
        """Nothing: the connection is the process's."""

    # ---- from NeMo Gym 0.5 on: SupportsSandboxEndpoint and ConnectableProvider ----

    async def endpoint(self, handle: SandboxHandle, port: int) -> SandboxEndpoint:
        """Where one of ``spec.ports`` is reached."""
        from nemo_gym.sandbox.providers.base import SandboxEndpoint

        sandbox = handle.raw.sandbox
        for service_port, _, url in sandbox.service_urls or ():
            if service_port == port:
                token = sandbox.endpoint_share_token
                return SandboxEndpoint(url, {} if token is None else token.as_headers())
        raise ValueError(f"port {port} of sandbox {handle.sandbox_id} has no URL")

    async def serialize_handle(
        self, handle: SandboxHandle, *, scope: str | None = None
    ) -> dict[str, Any]:
        """What ``connect`` needs. There are no leases, so there is no scope."""
        return {"sandbox_id": handle.sandbox_id, "workdir": handle.raw.workdir}

    async def connect(self, descriptor: Mapping[str, Any]) -> SandboxHandle:
        options = {name: self._options[name] for name in _FINDING if name in self._options}
        sandbox = await Sandbox.from_id(descriptor["sandbox_id"], **options)
        return self._handle(sandbox, descriptor.get("workdir"))

    def _warn_of_disk(self, spec: SandboxSpec) -> None:
        disk = _resources(spec).disk_gib
        if disk is not None and not self._has_warned:
            self._has_warned = True
            logging.getLogger("cwsandbox").warning(
                "disk_gib=%s is not asked for: sandboxes have what the service gives each. For more, give "
                "provider_options['volumes']",
                disk,
            )

    def _handle(self, sandbox: Sandbox, workdir: str | None) -> SandboxHandle:
        return SandboxHandle(str(sandbox.sandbox_id), self.name, _Made(sandbox, workdir))


def _path(made: _Made, path: str) -> str:
    return path if made.workdir is None else posixpath.join(made.workdir, path)


def _merged(*options: Mapping[str, Any]) -> dict[str, Any]:
    """What comes later wins, of variables and annotations each by its name."""
    merged: dict[str, Any] = {}
    for some in options:
        for name, value in some.items():
            if name in ("environment_variables", "annotations") and isinstance(value, Mapping):
                value = {**(merged.get(name) or {}), **value}
            merged[name] = value
    return merged


def _resources(spec: SandboxSpec) -> SandboxResources:
    assert isinstance(spec.resources, SandboxResources)  # of a mapping the spec has made them
    return spec.resources


def _options_of(spec: SandboxSpec) -> dict[str, Any]:
    options: dict[str, Any] = {
        # The prefix is that of the images in NeMo Gym's data.
        "container_image": spec.image and spec.image.removeprefix("docker://"),
        "max_lifetime_seconds": spec.ttl_s,
        "environment_variables": dict(spec.env),
        "annotations": dict(spec.metadata),
        "resources": _resources_of(_resources(spec)),
        "services": [
            {"port": port, "name": f"port-{port}", "visibility": "public"}
            for port in getattr(spec, "ports", ())
        ],
    }
    if spec.entrypoint:
        options["command"], *options["args"] = spec.entrypoint
    return {name: value for name, value in options.items() if value not in (None, {}, [])}


def _resources_of(asked: SandboxResources) -> dict[str, Any]:
    resources: dict[str, Any] = {}
    if asked.cpu is not None:
        resources["cpu"] = f"{asked.cpu:g}"
    if asked.memory_mib is not None:
        resources["memory"] = f"{asked.memory_mib}Mi"
    if asked.gpu:
        resources["gpu"] = {"count": asked.gpu, "type": asked.gpu_type}
    return resources
