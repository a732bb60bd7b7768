"""The sandbox provider ``cwsandbox`` of NeMo Gym, which finds it by the entry point (docs/guide/nemo-gym.md)."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

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

_STATUS = {
    Status.RUNNING: SandboxStatus.RUNNING,
    Status.COMPLETED: SandboxStatus.STOPPED,
    Status.TERMINATED: SandboxStatus.STOPPED,
    Status.FAILED: SandboxStatus.ERROR,
}
# NeMo Gym's own providers give it, too.
_NO_CODE = 125


class CWSandboxProvider:
    """Makes each sandbox that is asked for. Its options are those of ``Sandbox()``, for all of them."""

    name = "cwsandbox"

    def __init__(self, **options: Any) -> None:
        Sandbox(**options)  # which checks them, and sends nothing
        self._options = options

    async def create(self, spec: SandboxSpec) -> SandboxHandle:
        """A sandbox that runs. ``spec.provider_options`` are further arguments of ``Sandbox()``."""
        sandbox = Sandbox(**{**self._options, **_options_of(spec), **spec.provider_options})
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
        return SandboxHandle(str(sandbox.sandbox_id), self.name, sandbox)

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
        sandbox: Sandbox = handle.raw
        process = sandbox.exec(
            ["/bin/sh", "-c", command],
            cwd=cwd,
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
        await handle.raw.upload(source_path, target_path)

    async def download_file(
        self, handle: SandboxHandle, source_path: str, target_path: Path
    ) -> None:
        await handle.raw.download(source_path, target_path)

    async def status(self, handle: SandboxHandle) -> SandboxStatus:
        try:
            found = await Sandbox.from_id(handle.sandbox_id)
        except SandboxNotFoundError:
            return SandboxStatus.STOPPED
        return _STATUS.get(found.status or Status.UNSPECIFIED, SandboxStatus.UNKNOWN)

    async def close(self, handle: SandboxHandle) -> None:
        await handle.raw.stop(graceful_shutdown_seconds=0, missing_ok=True)

    async def aclose(self) -> None:
        """Nothing: the connection is the process's."""


def _options_of(spec: SandboxSpec) -> dict[str, Any]:
    assert isinstance(spec.resources, SandboxResources)  # of a mapping the spec has made them
    options: dict[str, Any] = {
        "container_image": spec.image,
        "max_lifetime_seconds": spec.ttl_s,
        "environment_variables": dict(spec.env),
        "annotations": dict(spec.metadata),
        "resources": _resources_of(spec.resources),
    }
    if spec.entrypoint:
        options["command"], *options["args"] = spec.entrypoint
    return {name: value for name, value in options.items() if value not in (None, {})}


def _resources_of(asked: SandboxResources) -> dict[str, Any]:
    if asked.disk_gib is not None:
        raise SandboxCreateError(
            f"disk_gib={asked.disk_gib} cannot be asked for; give provider_options['volumes']"
        )
    resources: dict[str, Any] = {}
    if asked.cpu is not None:
        resources["cpu"] = f"{asked.cpu:g}"
    if asked.memory_mib is not None:
        resources["memory"] = f"{asked.memory_mib}Mi"
    if asked.gpu:
        resources["gpu"] = {"count": asked.gpu, "type": asked.gpu_type}
    return resources
