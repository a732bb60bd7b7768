"""A sandbox of a pool, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cwsandbox._types.enums import SandboxStatus
from cwsandbox.exceptions import CWSandboxError

if TYPE_CHECKING:
    from cwsandbox._sandbox.sandbox import Sandbox


@dataclass(eq=False, slots=True)
class Member:
    """A sandbox of a pool."""

    sandbox: Sandbox
    options: Mapping[str, Any]
    born: float
    idle_since: float
    uses: int = 0
    failures: int = 0
    """How many of its commands had failed when the service was last asked."""

    def is_sound(self) -> bool:
        """Whether nothing that is known here speaks against it. Costs no call."""
        handle = self.sandbox._handle
        return (
            handle.state.status is SandboxStatus.RUNNING
            # An operation that the service refused, because the sandbox does not run, has closed it.
            and handle.core.is_open
            and self._failed() == self.failures
        )

    async def runs(self) -> bool:
        """Ask the service."""
        failed = self._failed()
        try:
            status = await self.sandbox._driving().get_status()
        except CWSandboxError:
            return False
        self.failures = failed
        return status is SandboxStatus.RUNNING

    def _failed(self) -> int:
        """How many of its commands have failed so far, whether or not anybody has asked for their results."""
        return self.sandbox._handle.core.stats()[3]
