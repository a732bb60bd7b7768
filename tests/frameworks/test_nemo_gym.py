"""NeMo Gym's own sandboxes, with the provider that it finds by the entry point."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from pathlib import Path

import pytest
from nemo_gym.sandbox import (
    AsyncSandbox,
    SandboxCreateError,
    SandboxResources,
    SandboxSpec,
    SandboxStatus,
    create_provider,
    list_providers,
)

from code_blocks import blocks
from cwsandbox import Sandbox
from cwsandbox.exceptions import SandboxTransferError
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


async def test_files_of_the_specification(cwsandbox_daemon: str) -> None:
    files = {
        "/work/deep/er/text": "Grüße, 世界\n",
        "beside.txt": "relative",
        "/tmp/empty": "",
        "/tmp/with 'blanks'": "x" * 3_000_000,
    }
    spec = SandboxSpec(workdir="/work", files=files)
    async with AsyncSandbox(PROVIDER, spec) as made:
        await made.start()
        told = await made.exec("cat deep/er/text beside.txt /tmp/empty; cat /tmp/with* | wc -c")
    assert told.stdout == "Grüße, 世界\nrelative3000000\n"


async def test_a_file_of_the_specification_that_cannot_be(cwsandbox_daemon: str) -> None:
    spec = SandboxSpec(files={"/tmp/a": "", "/proc/version/b": ""})
    with pytest.raises(SandboxTransferError, match="/proc/version"):
        await AsyncSandbox(PROVIDER, spec).start()
    assert await Sandbox.list(tags=["gym-test"]) == []


async def test_paths_begin_in_the_working_directory(cwsandbox_daemon: str, tmp_path: Path) -> None:
    async with AsyncSandbox(PROVIDER, SandboxSpec(workdir="/work")) as made:
        await made.start()
        (tmp_path / "given").write_text("given")
        await made.upload(tmp_path / "given", "in/given")
        told = await made.exec("cat given; echo made > ../made", cwd="in")
        await made.download("made", tmp_path / "made")
        assert (told.stdout, (tmp_path / "made").read_text()) == ("given", "made\n")
        assert (await made.exec("pwd", cwd="/tmp")).stdout == "/tmp\n"


async def test_what_all_sandboxes_have_stays_beside_what_one_has(cwsandbox_daemon: str) -> None:
    options = {"environment_variables": {"A": "all", "B": "all"}, "annotations": {"a": "all"}}
    provider = {"cwsandbox": {**options, "tags": ["gym-test"]}}
    spec = SandboxSpec(
        env={"B": "one"},
        metadata={"b": "one"},
        provider_options={"environment_variables": {"C": "options"}},
    )
    async with AsyncSandbox(provider, spec) as made:
        await made.start()
        assert (await made.exec("echo $A $B $C")).stdout == "all one options\n"


_SERVE = "echo served > page; exec python3 -u -m http.server 8000"


async def test_a_port_is_reached(cwsandbox_daemon: str) -> None:
    spec = SandboxSpec(workdir="/work", ports=[8000, 8001], entrypoint=["sh", "-c", _SERVE])
    async with AsyncSandbox(PROVIDER, spec) as made:
        await made.start()
        endpoint = await made.endpoint(8000)
        assert endpoint.headers == {}
        listens = (
            "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8000))'"
        )
        assert (await made.exec(f"{listens}; do sleep 0.1; done")).return_code == 0
        assert await asyncio.to_thread(_get, f"{endpoint.endpoint}/page") == "served\n"
        assert (await made.endpoint(8001)).endpoint != endpoint.endpoint


async def test_a_port_with_a_token(cwsandbox_daemon: str) -> None:
    service = {
        "port": 8000,
        "visibility": "public",
        "endpoint": {"kind": "https", "auth": "share_token"},
    }
    spec = SandboxSpec(ports=[8000, 8001], provider_options={"services": [service]})
    async with AsyncSandbox(PROVIDER, spec) as made:
        await made.start()
        endpoint = await made.endpoint(8000)
        assert endpoint.endpoint.startswith("https://")
        assert endpoint.headers
        with pytest.raises(ValueError, match="port 8001"):
            await made.endpoint(8001)


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as reply:
        return reply.read().decode()


async def test_another_process_goes_on_with_it(cwsandbox_daemon: str) -> None:
    async with AsyncSandbox(PROVIDER, SandboxSpec(workdir="/work", ports=[8000])) as made:
        await made.start()
        await made.exec("echo here > left")
        descriptor = json.loads(json.dumps(await made.serialize()))
        again = await AsyncSandbox.connect(descriptor, provider=create_provider(PROVIDER))
        assert await again.status() is SandboxStatus.RUNNING
        assert (await again.exec("cat left")).stdout == "here\n"
        assert await again.endpoint(8000) == await made.endpoint(8000)
        await again.stop()
        assert await made.status() is SandboxStatus.STOPPED


async def test_the_service_is_that_of_the_options(
    cwsandbox_daemon: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = {"cwsandbox": {"base_url": os.environ["CWSANDBOX_BASE_URL"]}}
    monkeypatch.setenv("CWSANDBOX_BASE_URL", "unix:///not/there")
    async with AsyncSandbox(provider, SandboxSpec()) as made:
        await made.start()
        assert await made.status() is SandboxStatus.RUNNING
        again = await AsyncSandbox.connect(
            await made.serialize(), provider=create_provider(provider)
        )
        assert (await again.exec("echo again")).stdout == "again\n"


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


async def test_what_the_first_run_of_the_documents_asks_for(
    cwsandbox_daemon: str, caplog: pytest.LogCaptureFixture
) -> None:
    spec = SandboxSpec(
        image="docker://python:3.12-slim",
        ttl_s=1800,
        resources=SandboxResources(cpu=1, memory_mib=64, disk_gib=5),
    )
    provider = create_provider(PROVIDER)
    for _ in range(2):
        handle = await provider.create(spec)
        assert handle.raw.sandbox._workload.containers.image == "python:3.12-slim"
        await provider.close(handle)
    (told,) = [record.getMessage() for record in caplog.records]
    assert "disk_gib=5 is not asked for" in told


async def test_what_cannot_be_made(cwsandbox_daemon: str) -> None:
    wrong = SandboxSpec(entrypoint=["/no/such/program"])
    async with AsyncSandbox(PROVIDER, wrong) as program:
        with pytest.raises(SandboxCreateError):
            await program.start()
