"""A main command that ends at once is seen, by whoever asks and however, and so is what it wrote."""

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


@pytest.mark.parametrize("follow", [False, True])
def test_what_it_wrote(base_url: str, follow: bool) -> None:
    sandbox = Sandbox.run("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    with pytest.raises(SandboxFailedError):
        sandbox.wait_until_complete(SECONDS).result()
    assert list(sandbox.stream_logs(follow=follow)) == ["out\n", "err\n"]
    assert list(sandbox.stream_logs(follow=follow, tail_lines=1)) == ["err\n"]
    again = Sandbox.from_id(sandbox.sandbox_id or "").result()
    assert list(again.stream_logs(follow=follow)) == ["out\n", "err\n"]


@pytest.mark.parametrize("follow", [False, True])
def test_much_that_it_wrote_at_once(base_url: str, follow: bool) -> None:
    sandbox = Sandbox.run("/bin/sh", "-c", "seq 200000; printf end")
    if not follow:
        sandbox.wait_until_complete(SECONDS).result()
    wanted = [f"{i}\n" for i in range(1, 200001)] + ["end"]
    assert list(sandbox.stream_logs(follow=follow)) == wanted
    sandbox.wait_until_complete(SECONDS).result()


async def test_a_failure_is_awaited(base_url: str) -> None:
    sandbox = Sandbox.run("/bin/sh", "-c", "exit 7")
    with pytest.raises(SandboxFailedError, match="exit code 7"):
        await sandbox.wait_until_complete(SECONDS)
    assert sandbox.returncode == 7
