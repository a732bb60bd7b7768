"""NeMo Gym's own sandboxes, with the provider that it finds by the entry point."""

from __future__ import annotations

from pathlib import Path

import pytest
from nemo_gym.sandbox import (
    AsyncSandbox,
    SandboxCreateError,
    SandboxSpec,
    SandboxStatus,
    list_providers,
)

from code_blocks import blocks
from cwsandbox import Sandbox
from frameworks import giving_up

PROVIDER = {"cwsandbox": {"tags": ["gym-test"]}}


@pytest.fixture
async def sandbox(cwsandbox_daemon: str):
    spec = SandboxSpec(env={"A": "a"}, metadata={"task": "seven"}, resources={"cpu": 1})
    async with AsyncSandbox(PROVIDER, spec) as made:
        yield await made.start()


def test_the_guide(cwsandbox_daemon: str) -> None:
    (example,) = blocks("docs/guide/nemo-gym.md", count=1)
    names: dict = {}
    exec(example, names)
    result = names["result"]
    assert (result.stdout, result.return_code) == ("6*7\ntrain\n", 0)
    assert Sandbox.list(tags=["gym"]).result() == []


def test_it_is_listed() -> None:
    assert "cwsandbox" in list_providers()


async def test_commands(sandbox: AsyncSandbox) -> None:
    result = await sandbox.exec("echo $A $B $PWD; echo e >&2; exit 4", cwd="/tmp", env={"B": "b"})
    assert (result.stdout, result.stderr, result.return_code) == ("a b /tmp\n", "e\n", 4)
    assert result.error_type is None


async def test_a_command_over_its_time(sandbox: AsyncSandbox) -> None:
    result = await sandbox.exec("echo begun; sleep 60", timeout_s=1)
    assert (result.stdout, result.error_type) == ("begun\n", "timeout")
    assert result.return_code != 0


async def test_a_cancelled_task_ends_the_command(sandbox: AsyncSandbox) -> None:
    (found,) = await Sandbox.list(tags=["gym-test"])
    await giving_up.cancel(found, sandbox.exec(giving_up.COMMAND))
    giving_up.assert_gone(found)


async def test_the_time_limit_ends_the_command(sandbox: AsyncSandbox) -> None:
    (found,) = await Sandbox.list(tags=["gym-test"])
    await sandbox.exec(giving_up.COMMAND, timeout_s=3)
    giving_up.assert_gone(found)


async def test_files(sandbox: AsyncSandbox, tmp_path: Path) -> None:
    given, back = tmp_path / "given", tmp_path / "back"
    given.write_bytes(b"\x00\xff" * 100_000)
    await sandbox.upload(given, "/tmp/deep/er/file")
    await sandbox.download("/tmp/deep/er/file", back)
    assert back.read_bytes() == given.read_bytes()


async def test_its_life(sandbox: AsyncSandbox) -> None:
    assert await sandbox.status() is SandboxStatus.RUNNING
    (found,) = await Sandbox.list(tags=["gym-test"])
    await found.stop(graceful_shutdown_seconds=0)
    assert await sandbox.status() is SandboxStatus.STOPPED
    result = await sandbox.exec("true")
    assert result.error_type == "sandbox"


async def test_another_user_is_refused(sandbox: AsyncSandbox) -> None:
    with pytest.raises(ValueError, match="nobody"):
        await sandbox.exec("id", user="nobody")


async def test_what_cannot_be_made(cwsandbox_daemon: str) -> None:
    async with AsyncSandbox(PROVIDER, SandboxSpec(resources={"disk_gib": 3})) as disk:
        with pytest.raises(SandboxCreateError, match="disk_gib=3"):
            await disk.start()
    wrong = SandboxSpec(entrypoint=["/no/such/program"])
    async with AsyncSandbox(PROVIDER, wrong) as program:
        with pytest.raises(SandboxCreateError):
            await program.start()
