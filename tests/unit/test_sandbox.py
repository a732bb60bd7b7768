"""The public object, as far as it goes without a service."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

import cwsandbox as cw
from cwsandbox import Sandbox, SandboxDefaults, SandboxStatus
from cwsandbox._cwsandbox import Promise
from cwsandbox._lifecycle.lifecycle import NEW, Source
from cwsandbox._runtime import life, loop
from cwsandbox._service.client import Client
from cwsandbox._service.connection import connection as connection_of
from unit.service import received

NOWHERE = "http://127.0.0.1:1"


def discovered(state: str, **message: Any) -> Sandbox:
    """A handle as ``from_id`` makes it."""
    connection = connection_of({"base_url": NOWHERE}, SandboxDefaults())
    status = {"state": SandboxStatus(state).to_proto(), **message.pop("status", {})}
    told = received("Sandbox", {"sandbox_id": "sb-1", "status": status, **message})
    client = Client(connection)
    asyncio.run(client.channel(20))
    return Sandbox._discovered(connection, client, told)


# ---- construction ----


def test_construction_sends_nothing_and_starts_nothing() -> None:
    import threading

    before = threading.active_count()
    sandbox = Sandbox(base_url=NOWHERE)
    assert repr(sandbox) == "<Sandbox id=None status=not_started>"
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"unknown": 1}, TypeError, "unexpected keyword"),
        ({"template_id": ""}, ValueError, "template_id"),
        ({"profile_ids": []}, TypeError, "profile_ids"),
        ({"s3_mount": {}, "tags": ["a"]}, TypeError, "s3_mount"),
        ({"tags": "bare"}, TypeError, "tags must be a sequence of strings"),
        ({"defaults": {"tags": ["a"]}}, TypeError, "from_dict"),
        ({"poll_rpc_timeout_seconds": 0}, ValueError, "poll_rpc_timeout_seconds"),
        ({"resources": {"cpu": 1}}, TypeError, "must be a str"),
        ({"data_plane_mode": "straight"}, ValueError, "data_plane_mode"),
        ({"base_url": 5}, TypeError, "base_url"),
    ],
)
def test_refused(given: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Sandbox(**given)
    if "base_url" not in given:
        with pytest.raises(error, match=words):
            Sandbox.run(**given)


def test_run_takes_no_base_url() -> None:
    with pytest.raises(TypeError, match="base_url"):
        Sandbox.run(base_url=NOWHERE)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("positional", "command", "args"),
    [
        ((), "/bin/sh", SandboxDefaults().args),
        (("python",), "python", SandboxDefaults().args),
        (("echo", "a", "b"), "echo", ("a", "b")),
    ],
)
def test_positional_arguments_of_run(
    positional: tuple[str, ...],
    command: str,
    args: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Sandbox, "start", lambda self: loop.done(None))
    sandbox = Sandbox.run(*positional)
    assert sandbox._workload is not None
    container: Any = sandbox._workload.containers
    assert (container.command, container.args) == (command, args)


# ---- properties ----


UNKNOWN = """
    sandbox_id status status_updated_at status_reason returncode runner_id runner_group_id created_at started_at
    control effective_runtime_class endpoint_share_token exposed_ports resource_limits resource_requests resource_gpu
"""
EMPTY = """
    containers container_statuses attached_volume_ids service_urls service_endpoints service_addresses
    dns_egress_names effective_egress effective_ingress
"""


def test_before_the_start() -> None:
    sandbox = Sandbox(tags=["a"], base_url=NOWHERE)
    for name in UNKNOWN.split():
        assert getattr(sandbox, name) is None, name
    for name in EMPTY.split():
        assert getattr(sandbox, name) == (), name
    assert sandbox.tags == ("a",)
    assert set(sandbox.exec_stats.values()) == {0}


def test_what_the_server_told() -> None:
    sandbox = discovered(
        "completed",
        spec={"tags": ["x"], "containers": [{"name": "main", "image": "i"}]},
        control=1,
        status={
            "state_reason": "done",
            "exit_code": 3,
            "create_time": {"seconds": 1},
            "start_time": {"seconds": 2},
            "runner_id": "r",
            "runner_group_id": "g",
            "effective_runtime_class": "gvisor",
            "attached_volume_ids": ["vol-1"],
            "effective_resource_requirements": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}},
        },
    )
    assert (sandbox.sandbox_id, sandbox.status, sandbox.returncode) == ("sb-1", "completed", 3)
    assert (sandbox.tags, sandbox.status_reason) == (("x",), "done")
    assert sandbox.control is cw.SandboxControl.PLATFORM
    assert [row.image for row in sandbox.containers] == ["i"]
    assert sandbox.created_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert sandbox.started_at == datetime(1970, 1, 1, 0, 0, 2)
    assert sandbox.status_updated_at is not None
    assert sandbox.status_updated_at.tzinfo is UTC
    assert (sandbox.runner_id, sandbox.runner_group_id) == ("r", "g")
    assert sandbox.effective_runtime_class == "gvisor"
    assert sandbox.attached_volume_ids == ("vol-1",)
    assert (sandbox.resource_requests, sandbox.resource_limits) == ({"cpu": "1"}, {"cpu": "2"})
    assert repr(sandbox) == "<Sandbox id=sb-1 status=completed>"


# ---- commands ----


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"command": []}, ValueError, "Command cannot be empty"),
        ({"command": "echo hi"}, TypeError, "sequence of strings"),
        ({"command": ["echo", 5]}, TypeError, "command"),
        ({"command": ["ls"], "cwd": ""}, ValueError, "cwd cannot be empty"),
        ({"command": ["ls"], "cwd": "x"}, ValueError, "absolute path"),
        (
            {"command": ["ls"], "timeout_seconds": 0},
            ValueError,
            "timeout_seconds must be a positive",
        ),
        ({"command": ["ls"], "timeout_seconds": float("nan")}, ValueError, "timeout_seconds"),
        ({"command": ["ls"], "timeout_seconds": "5"}, TypeError, "timeout_seconds"),
    ],
)
def test_refused_commands(given: dict[str, Any], error: type[Exception], words: str) -> None:
    sandbox = Sandbox(base_url=NOWHERE)
    with pytest.raises(error, match=words):
        sandbox.exec(**given)
    assert sandbox.exec_stats["exec_count"] == 0


@pytest.mark.parametrize("state", ["terminating", "completed", "failed", "terminated"])
def test_commands_for_an_ended_sandbox_fail_at_once(state: str) -> None:
    sandbox = discovered(state)
    for _ in range(2):
        process = sandbox.exec(["ls"])
        with pytest.raises(cw.SandboxNotRunningError, match="has been stopped") as raised:
            process.result(10)
        result = raised.value.exec_result
        assert result is not None
        assert (result.returncode, result.stdout, result.command) == (-1, "", ["ls"])
    assert sandbox.exec_stats == {
        "exec_count": 2,
        "exec_completed_ok": 0,
        "exec_completed_nonzero": 0,
        "exec_failures": 2,
    }
    if state == "terminating":
        sandbox._handle.see(received("Sandbox", {"status": {"state": 3}}), Source.QUERY)


def test_stop_before_start_needs_no_service() -> None:
    sandbox = Sandbox(base_url=NOWHERE)
    sandbox.stop().result(10)
    assert repr(sandbox) == "<Sandbox id=None status=cancelled>"
    with pytest.raises(cw.SandboxNotRunningError, match="has been stopped"):
        sandbox.start().result(10)
    with pytest.raises(cw.SandboxNotRunningError, match="has been stopped"):
        sandbox.exec(["ls"]).result(10)
    sandbox.stop().result(10)


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan")])
def test_refused_grace(seconds: float) -> None:
    with pytest.raises(ValueError, match="graceful_shutdown_seconds"):
        Sandbox(base_url=NOWHERE).stop(graceful_shutdown_seconds=seconds)


@pytest.mark.parametrize("call", ["wait", "wait_until_complete"])
def test_refused_waits(call: str) -> None:
    with pytest.raises(ValueError, match="timeout"):
        getattr(Sandbox(base_url=NOWHERE), call)(timeout=-1)


def test_a_wait_without_patience() -> None:
    sandbox = Sandbox(base_url=NOWHERE)
    with pytest.raises(cw.SandboxTimeoutError, match="within 0s"):
        sandbox.wait(timeout=0)
    with pytest.raises(cw.SandboxTimeoutError, match="within 0s"):
        sandbox.wait_until_complete(timeout=0).result(10)


# ---- interrupted creates ----


class Interrupting(Sandbox):
    """Its start is interrupted from outside, or refused; notes whether it is given up for good."""

    interruption: BaseException = KeyboardInterrupt()
    refusal: BaseException | None = None
    abandoned = 0

    def start(self) -> Any:
        if self.refusal is None:
            raise self.interruption
        refused: Promise[None] = Promise()
        refused.set_exception(self.refusal)
        return refused

    def _abandon(self) -> None:
        type(self).abandoned += 1


@pytest.fixture
def interrupting(monkeypatch: pytest.MonkeyPatch) -> type[Interrupting]:
    monkeypatch.setattr(Interrupting, "abandoned", 0)
    return Interrupting


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, TimeoutError])
def test_an_interrupted_create_is_taken_back(
    interruption: type[BaseException],
    interrupting: type[Interrupting],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interrupting, "interruption", interruption())
    with pytest.raises(interruption):
        interrupting.run()
    with pytest.raises(interruption), interrupting():
        raise AssertionError("not reached")
    assert interrupting.abandoned == 2


async def test_a_cancelled_create_is_taken_back(
    interrupting: type[Interrupting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupting, "interruption", asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        async with interrupting():
            raise AssertionError("not reached")
    assert interrupting.abandoned == 1


async def test_a_refused_create_leaves_nothing_to_take_back(
    interrupting: type[Interrupting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupting, "refusal", cw.SandboxUnavailableError("no"))
    with pytest.raises(cw.SandboxUnavailableError):
        interrupting.run()
    with pytest.raises(cw.SandboxUnavailableError), interrupting():
        raise AssertionError("not reached")
    with pytest.raises(cw.SandboxUnavailableError):
        async with interrupting():
            raise AssertionError("not reached")
    assert interrupting.abandoned == 0


# ---- the ends of blocks ----


class Unstoppable(Sandbox):
    """Looks as if it ran, and cannot be stopped."""

    @property
    def sandbox_id(self) -> str:
        return "sb-1"

    def stop(self, **options: Any) -> Any:
        raise cw.SandboxUnavailableError("cannot be stopped")


def test_a_failed_stop_is_raised_by_the_block() -> None:
    with (
        pytest.raises(cw.SandboxUnavailableError, match="cannot be stopped"),
        Unstoppable(base_url=NOWHERE),
    ):
        pass


def test_but_not_in_place_of_the_block_s_own_exception(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(KeyError, match="mine"), Unstoppable(base_url=NOWHERE):
        raise KeyError("mine")
    assert "cannot be stopped" in caplog.text


async def test_async_blocks_alike(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(cw.SandboxUnavailableError):
        async with Unstoppable(base_url=NOWHERE):
            pass
    with pytest.raises(KeyError):
        async with Unstoppable(base_url=NOWHERE):
            raise KeyError("mine")
    assert "cannot be stopped" in caplog.text


# ---- class calls ----


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"tags": "bare"}, TypeError, "tags must be a sequence of strings"),
        ({"status": "asleep"}, ValueError, "not a valid SandboxStatus"),
        ({"profile_names": ["p"]}, TypeError, "profile_names"),
        ({"poll_retry_budget_seconds": -1}, ValueError, "poll_retry_budget_seconds"),
        ({"timeout_seconds": 0}, ValueError, "timeout_seconds"),
        ({"data_plane_mode": "straight"}, ValueError, "data_plane_mode"),
        ({"volume_ids": "vol"}, TypeError, "volume_ids"),
    ],
)
def test_refused_lists(given: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Sandbox.list(**given)


@pytest.mark.parametrize("call", [Sandbox.from_id, Sandbox.delete])
def test_refused_ids(call: Any) -> None:
    with pytest.raises(ValueError, match="sandbox_id must not be empty"):
        call("")


@pytest.mark.parametrize("url", ["ftp://h", "http://h/v1", "unix:relative"])
def test_a_bad_url_comes_out_of_the_operation(url: str) -> None:
    for operation in (
        Sandbox.from_id("sb-1", base_url=url),
        Sandbox(base_url=url).start(),
        Sandbox(base_url=url).exec(["ls"]),
    ):
        with pytest.raises(ValueError, match="base URL"):
            operation.result(10)


# ---- the end of handles ----


@pytest.mark.parametrize("state", ["creating", "running", "terminating"])
def test_a_dropped_live_handle_warns_who_has_made_the_sandbox(state: str) -> None:
    sandbox = discovered(state)
    sandbox._workload = Sandbox(base_url=NOWHERE)._workload
    with pytest.warns(ResourceWarning, match="sb-1 was not stopped: .* `with`"):
        del sandbox


def test_others_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for sandbox in (
            Sandbox(base_url=NOWHERE),
            discovered("completed"),
            discovered("running"),
            discovered("terminating"),
            Sandbox.__new__(Sandbox),
        ):
            del sandbox
        gc.collect()


def test_handles_are_compared_by_identity() -> None:
    one, two = Sandbox(base_url=NOWHERE), Sandbox(base_url=NOWHERE)
    assert one != two
    assert len({one, two}) == 2


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("make", [lambda: Sandbox(base_url=NOWHERE), lambda: discovered("running")])
def test_handles_are_not_copied(
    duplicate: Callable[[Any], Any], make: Callable[[], Sandbox]
) -> None:
    one = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match=r"<Sandbox id=.*cannot be copied or pickled"):
            duplicate(one)
        gc.collect()
    one._handle.state = NEW  # its own end is not what this is about


def test_a_handle_of_the_parent_is_refused_after_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = discovered("running")
    unused = Sandbox(base_url=NOWHERE)
    generation = life.generation()
    with monkeypatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("error")
        patched.setattr(life, "generation", lambda: generation + 1)
        for use in (sandbox.start, sandbox.get_status, sandbox.stop):
            with pytest.raises(RuntimeError, match="before fork"):
                use()
        assert sandbox.sandbox_id == "sb-1"
        with sandbox:
            pass
        unused.stop().result(10)
        del sandbox, use
