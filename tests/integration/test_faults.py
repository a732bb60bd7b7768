"""cwsandbox.testing: what a program meets on connections that fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cwsandbox import Sandbox, SandboxError
from cwsandbox.testing import Faults
from integration.env import Daemon


@pytest.fixture
def faults(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    with Faults(daemon.base_url) as running:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", running.url)
        yield running


@pytest.fixture
def sandbox(faults: Faults) -> Iterator[Sandbox]:
    with Sandbox.run() as running:
        yield running
        faults.heal()


def works(sandbox: Sandbox) -> bool:
    return sandbox.exec(["echo", "works"]).result().stdout == "works\n"


def test_without_a_fault_all_arrives(sandbox: Sandbox) -> None:
    result = sandbox.exec(["head", "-c", "3000000", "/dev/zero"]).result()
    assert result.stdout_bytes == bytes(3_000_000)


def test_cut_now(faults: Faults, sandbox: Sandbox) -> None:
    process = sandbox.exec(["sh", "-c", "echo begun; exec sleep 50"])
    assert next(process.stdout) == "begun\n"
    faults.cut()
    with pytest.raises(SandboxError) as caught:
        process.result()
    assert caught.value.exec_result.stdout == "begun\n"
    assert works(sandbox)


def test_cut_after_so_many_bytes(faults: Faults, sandbox: Sandbox) -> None:
    assert works(sandbox)
    faults.cut(after_bytes=500_000)
    process = sandbox.exec(["head", "-c", "3000000", "/dev/zero"])
    with pytest.raises(SandboxError) as caught:
        process.result()
    arrived = len(caught.value.exec_result.stdout_bytes)
    # What else those bytes are is framing, and the message that was cut through.
    assert 300_000 < arrived < 500_000
    assert works(sandbox)


def test_delay_holds_answers_back(faults: Faults, sandbox: Sandbox) -> None:
    assert works(sandbox)
    faults.delay(1000)
    with pytest.raises(SandboxError):
        sandbox.exec(["true"], timeout_seconds=0.5).result()
    late = sandbox.exec(["echo", "late"])
    faults.heal()
    assert late.result().stdout == "late\n"


def test_refused_until_healed(faults: Faults, sandbox: Sandbox) -> None:
    assert works(sandbox)
    faults.refuse()
    with pytest.raises(SandboxError):
        sandbox.exec(["true"], timeout_seconds=2).result()
    faults.heal()
    assert works(sandbox)


def test_a_service_that_is_not_there(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Faults(f"unix://{tmp_path}/none") as faults:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", faults.url)
        with pytest.raises(SandboxError):
            Sandbox.list(timeout_seconds=2).result()


@pytest.mark.parametrize("upstream", ["https://host", "local", "unix:", "http://", ""])
def test_upstreams_that_cannot_be_relayed(upstream: str) -> None:
    with pytest.raises(ValueError, match="upstream must be"):
        Faults(upstream)


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "7"])
def test_a_wrong_number_of_bytes(faults: Faults, number: object) -> None:
    with pytest.raises(ValueError, match="after_bytes"):
        faults.cut(after_bytes=number)
