"""`CWSANDBOX_BASE_URL=local`: the guide's first and its async example with nothing started before."""

from __future__ import annotations

import pytest

from cwsandbox import Sandbox

pytestmark = pytest.mark.usefixtures("local")


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CWSANDBOX_BASE_URL", "local")


def test_basic_execution() -> None:
    with Sandbox.run() as sandbox:
        result = sandbox.exec(["echo", "Hello, World!"]).result()
        assert (result.stdout, result.returncode) == ("Hello, World!\n", 0)


async def test_async_usage() -> None:
    async with Sandbox.run() as sandbox:
        process = sandbox.exec(["cat"], stdin=True)
        await process.stdin.write(b"async hello\n")
        await process.stdin.close()
        assert (await process).stdout == "async hello\n"


def test_all_sandboxes_of_the_process_share_one_daemon() -> None:
    with Sandbox.run() as first, Sandbox.run() as second:
        ids = {sandbox.sandbox_id for sandbox in Sandbox.list().result()}
        assert {first.sandbox_id, second.sandbox_id} <= ids
