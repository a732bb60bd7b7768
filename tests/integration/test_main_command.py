"""A main command that ends at once is seen, by whoever asks and however."""

from __future__ import annotations

import pytest

from cwsandbox import Sandbox, SandboxFailedError

SECONDS = 20.0


def test_a_success(base_url: str) -> None:
    sandbox = Sandbox.run("/bin/sh", "-c", "exit 0")
    assert sandbox.wait_until_complete(SECONDS).result() is sandbox
    assert (sandbox.status, sandbox.returncode) == ("completed", 0)


def test_a_failure(base_url: str) -> None:
    sandbox = Sandbox.run("/bin/sh", "-c", "exit 3")
    with pytest.raises(SandboxFailedError, match="exit code 3"):
        sandbox.wait_until_complete(SECONDS).result()
    assert (sandbox.status, sandbox.returncode) == ("failed", 3)
    again = Sandbox.from_id(sandbox.sandbox_id or "").result()
    assert (again.status, again.returncode) == ("failed", 3)


async def test_a_failure_is_awaited(base_url: str) -> None:
    sandbox = Sandbox.run("/bin/sh", "-c", "exit 7")
    with pytest.raises(SandboxFailedError, match="exit code 7"):
        await sandbox.wait_until_complete(SECONDS)
    assert sandbox.returncode == 7
