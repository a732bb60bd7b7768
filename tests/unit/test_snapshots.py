"""Snapshots: the records, taking one and waiting for it, and the stop that saves the scratch volumes."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

import cwsandbox as cw
from cwsandbox import exceptions
from cwsandbox._lifecycle import snapshot as _snapshot
from cwsandbox._lifecycle.handle import OnStop
from cwsandbox._lifecycle.lifecycle import Phase
from cwsandbox._messages import snapshots as _messages
from cwsandbox._service.rpc import Code
from unit.life import Life, after, live
from unit.service import Service, environment, failure, received, run, sandbox

CREATING, READY, FAILED, DELETING = 1, 2, 3, 4
GET, CREATE = "GetFileSystemSnapshot", "CreateFileSystemSnapshot"
BUSY = failure(Code.UNAVAILABLE)
MISSING = failure(Code.NOT_FOUND)
WAITING = OnStop(wait_for_ready=True, request_id=None)


def saved(state: int, snapshot_id: str = "fss-1", **more: Any) -> dict[str, Any]:
    return received(
        "FileSystemSnapshot", {"file_system_snapshot_id": snapshot_id, "state": state, **more}
    )


def with_volumes(state: str, *names: str) -> dict[str, Any]:
    volumes = [{"name": name, "scratch": {}} for name in names]
    volumes += [{"name": "registered", "volume_id": "vol-1"}]
    message = sandbox(state)
    return {**message, "spec": received("SandboxSpec", {"volumes": volumes})}


def deleting(*ids: str) -> dict[str, Any]:
    message = {"sandbox": sandbox("terminating"), "file_system_snapshot_ids": [*ids]}
    return received("DeleteSandboxResponse", message)


NOTHING = received("DeleteSandboxResponse", {})


# ---- values ----


def test_a_record() -> None:
    record = _messages.snapshot(
        saved(
            READY,
            state_reason="why",
            size_bytes=7,
            source_sandbox_id="sb-1",
            trigger=2,
            create_time={"seconds": 1},
            updated_at={"seconds": 2},
            complete_time={"seconds": 3},
            source_volume_name="v",
            object_bucket="b",
            request_id="r",
        )
    )
    assert record == cw.FileSystemSnapshot(
        file_system_snapshot_id="fss-1",
        status=cw.FileSystemSnapshotStatus.READY,
        status_reason="why",
        size_bytes=7,
        source_sandbox_id="sb-1",
        trigger=cw.FileSystemSnapshotTrigger.ON_DELETE,
        request_id="r",
        object_bucket="b",
        source_volume_name="v",
        created_at=datetime.fromtimestamp(1, UTC),
        updated_at=datetime.fromtimestamp(2, UTC),
        completed_at=datetime.fromtimestamp(3, UTC),
    )


def test_the_text_of_a_record_has_what_is_set() -> None:
    ready = cw.FileSystemSnapshotStatus.READY
    record = cw.FileSystemSnapshot(file_system_snapshot_id="f", status=ready)
    assert repr(record) == "FileSystemSnapshot(file_system_snapshot_id='f', status=ready)"
    failed = _messages.snapshot(
        saved(FAILED, size_bytes=5, source_sandbox_id="sb", state_reason="bad")
    )
    assert repr(failed) == (
        "FileSystemSnapshot(file_system_snapshot_id='fss-1', status=failed, size_bytes=5, "
        "source_sandbox_id='sb', status_reason='bad')"
    )


def test_numbers_that_are_not_known_are_unspecified() -> None:
    record = _messages.snapshot(saved(77, trigger=88))
    assert (record.status, record.trigger) == ("unspecified", "unspecified")
    message = received("FileSystemSnapshotBucketConfig", {"mode": 99, "bucket_name": "b"})
    assert _messages.bucket_config(message) == cw.FileSystemSnapshotBucketConfig(bucket_name="b")


# ---- waiting ----


def wait(*replies: Any, limit: float = 605.0, is_local: bool = False) -> Service:
    service = Service(GetFileSystemSnapshot=[*replies])
    run(_snapshot.wait_ready(service.call, environment(), "fss-1", limit, is_local=is_local))
    return service


def test_looks_become_rarer() -> None:
    service = wait(saved(CREATING), saved(0), saved(DELETING), saved(CREATING), saved(READY))
    assert service.times(GET) == [0.0, 0.2, 0.5, 0.95, 1.625]
    assert {sent.timeout for sent in service.of(GET)} == {15.0}


def test_a_daemon_on_this_host_is_asked_often() -> None:
    service = wait(*[saved(CREATING)] * 100, saved(READY), is_local=True)
    pauses = [b - a for a, b in itertools.pairwise(service.times(GET))]
    assert (min(pauses), max(pauses)) == pytest.approx((0.01, 0.05))


def test_a_failed_one_says_why() -> None:
    with pytest.raises(exceptions.SandboxSnapshotError, match="failed: disk full") as raised:
        wait(saved(CREATING), saved(FAILED, state_reason="disk full"))
    assert raised.value.file_system_snapshot_id == "fss-1"
    assert raised.value.reason is None


def test_waiting_has_an_end() -> None:
    service = Service(GetFileSystemSnapshot=[saved(CREATING)])
    with pytest.raises(exceptions.SnapshotWaitTimeoutError, match="within 20s") as raised:
        run(_snapshot.wait_ready(service.call, environment(), "fss-1", 20.0, is_local=False))
    assert (raised.value.file_system_snapshot_id, raised.value.timeout) == ("fss-1", 20.0)
    # No look goes past the end.
    assert all(sent.at + sent.timeout <= 20.001 for sent in service.of(GET))


@pytest.mark.parametrize("answer", [failure(Code.DEADLINE_EXCEEDED), saved(CREATING)])
def test_after_the_end_there_is_no_more_waiting(answer: Any) -> None:
    with pytest.raises(exceptions.SnapshotWaitTimeoutError):
        wait(after(15, answer), limit=15.0)


def test_ready_counts_however_late_it_is_told() -> None:
    assert len(wait(after(15, saved(READY)), limit=15.0).of(GET)) == 1


@pytest.mark.parametrize("limit", [1.5, 605.0])
def test_a_service_that_cannot_be_reached_is_told_as_such(limit: float) -> None:
    service = Service(GetFileSystemSnapshot=[BUSY])
    with pytest.raises(exceptions.SandboxUnavailableError):
        run(_snapshot.wait_ready(service.call, environment(), "fss-1", limit, is_local=False))
    assert service.sent[-1].at <= min(limit, 30.0)


def test_transient_failures_of_looks_pass() -> None:
    service = wait(BUSY, failure(Code.RESOURCE_EXHAUSTED), saved(READY))
    assert len(service.of(GET)) == 3


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (Code.NOT_FOUND, None, exceptions.SnapshotNotFoundError),
        (Code.NOT_FOUND, "CWSANDBOX_SANDBOX_NOT_FOUND", exceptions.SandboxNotFoundError),
        (Code.INTERNAL, "CWSANDBOX_FSS_NOT_FOUND", exceptions.SnapshotNotFoundError),
        (Code.DEADLINE_EXCEEDED, "CWSANDBOX_FSS_WAIT_TIMEOUT", exceptions.SnapshotWaitTimeoutError),
    ],
)
def test_final_failures_of_looks(code: Code, reason: str | None, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        wait(failure(code, reason=reason))


# ---- taking one ----


def take(life: Life, **given: Any) -> Any:
    options = {"request_id": None, "wait": True, "budget": None, **given}
    return life.driver.snapshot(**options)


def test_snapshot_of_the_only_scratch_volume() -> None:
    async def steps(life: Life) -> None:
        assert await take(life, request_id="mine") == "fss-1"

    life = live(
        steps,
        with_volumes("running", "data"),
        GetSandbox=[with_volumes("running", "data")],
        CreateFileSystemSnapshot=[saved(CREATING)],
        GetFileSystemSnapshot=[saved(CREATING), saved(READY)],
    )
    (sent,) = life.service.of(CREATE)
    assert sent.request == {
        "sandbox_id": "sb-1",
        "request_id": "mine",
        "scratch_volume_name": "data",
    }
    assert sent.timeout == 605.0
    assert len(life.service.of(GET)) == 2


def test_without_waiting_there_is_no_look() -> None:
    async def steps(life: Life) -> None:
        assert await take(life, wait=False) == "fss-1"

    life = live(steps, sandbox("running"), CreateFileSystemSnapshot=[saved(CREATING)])
    (sent,) = life.service.of(CREATE)
    assert sent.timeout == 300.0
    assert len(sent.request["request_id"]) == 32
    assert "scratch_volume_name" not in sent.request
    assert not life.service.of(GET)


def test_a_sandbox_that_was_not_started_is() -> None:
    async def steps(life: Life) -> None:
        await take(life, wait=False)

    given = {"volumes": [{"name": "v", "mount_path": "/v"}]}
    life = live(steps, None, given=given, CreateFileSystemSnapshot=[saved(CREATING)])
    assert life.methods()[0] == "Create"
    # The answers had no spec, so the name is the one that was asked for.
    assert life.service.of(CREATE)[0].request["scratch_volume_name"] == "v"


def test_several_scratch_volumes_are_refused_before_anything_is_sent() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxSnapshotError, match=r"multiple.*\(a, b\)"):
            await take(life)

    life = live(steps, with_volumes("running", "a", "b"))
    assert life.methods() == []
    given = {"volumes": [{"name": "a"}, {"name": "b"}]}
    assert live(steps, None, given=given).methods() == []


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (
            Code.UNAVAILABLE,
            "CWSANDBOX_FSS_BUCKET_PROVISIONING",
            exceptions.SnapshotBucketProvisioningError,
        ),
        (
            Code.UNAVAILABLE,
            "CWSANDBOX_FSS_BACKEND_THROTTLED",
            exceptions.SnapshotBackendThrottledError,
        ),
        (
            Code.UNAVAILABLE,
            "CWSANDBOX_FSS_INFLIGHT_LIMIT",
            exceptions.SnapshotBackendThrottledError,
        ),
        (Code.UNAVAILABLE, None, exceptions.SandboxUnavailableError),
        (Code.RESOURCE_EXHAUSTED, None, exceptions.SandboxResourceExhaustedError),
    ],
)
def test_transient_failures_are_repeated_with_the_same_key(
    code: Code, reason: str | None, kind: type[Exception]
) -> None:
    again = failure(code, reason=reason)

    async def passes(life: Life) -> None:
        assert await take(life) == "fss-1"

    life = live(
        passes,
        sandbox("running"),
        CreateFileSystemSnapshot=[again, again, saved(CREATING)],
        GetFileSystemSnapshot=[saved(READY)],
    )
    sent = life.service.of(CREATE)
    assert len(sent) == 3
    assert len({one.request["request_id"] for one in sent}) == 1

    async def stays(life: Life) -> None:
        with pytest.raises(kind) as raised:
            await take(life, budget=5.0)
        assert getattr(raised.value, "file_system_snapshot_id", None) is None

    life = live(stays, sandbox("running"), CreateFileSystemSnapshot=[again])
    assert 5.0 <= life.service.of(CREATE)[-1].at + 2.0 <= 7.0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (failure(Code.DEADLINE_EXCEEDED), exceptions.SandboxRequestTimeoutError),
        (failure(Code.NOT_FOUND), exceptions.SandboxNotFoundError),
        (
            failure(Code.FAILED_PRECONDITION, reason="CWSANDBOX_VOLUME_NOT_SNAPSHOTTABLE"),
            exceptions.VolumeNotSnapshottableError,
        ),
        (failure(Code.UNIMPLEMENTED), exceptions.SandboxError),
        (
            failure(Code.UNIMPLEMENTED, reason="CWSANDBOX_FSS_NOT_SUPPORTED"),
            exceptions.SnapshotNotSupportedError,
        ),
    ],
)
def test_final_failures_are_not_repeated(fault: Any, kind: type[Exception]) -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(kind, match=r"^Create snapshot of sandbox 'sb-1' "):
            await take(life)

    life = live(steps, sandbox("running"), CreateFileSystemSnapshot=[fault])
    assert len(life.service.of(CREATE)) == 1


def test_a_sandbox_that_does_not_run_has_none() -> None:
    async def stopped(life: Life) -> None:
        await life.driver.stop(0, False)
        with pytest.raises(exceptions.SandboxTerminatedError):
            await take(life)

    live(stopped, sandbox("running"), GetSandbox=[sandbox("completed")])

    async def cancelled(life: Life) -> None:
        await life.driver.stop(0, False)
        with pytest.raises(exceptions.SandboxNotRunningError, match="cancelled"):
            await take(life)

    live(cancelled)

    async def completed(life: Life) -> None:
        with pytest.raises(exceptions.SandboxNotRunningError):
            await take(life)

    assert not live(completed, sandbox("completed")).service.of(CREATE)


# ---- records by id ----


def test_delete_counts_absence_on_a_later_try_as_done() -> None:
    service = Service(DeleteFileSystemSnapshot=[BUSY, MISSING])
    run(_snapshot.delete(service.call, environment(), "fss-1", missing_ok=False, timeout=9.0))
    assert [sent.timeout for sent in service.sent] == [9.0, 9.0]
    service = Service(DeleteFileSystemSnapshot=[MISSING])
    with pytest.raises(exceptions.SnapshotNotFoundError, match="'fss-1'"):
        run(_snapshot.delete(service.call, environment(), "fss-1", missing_ok=False, timeout=9.0))
    run(_snapshot.delete(service.call, environment(), "fss-1", missing_ok=True, timeout=9.0))


def test_a_list_is_repeated_from_its_first_page() -> None:
    page = received(
        "ListFileSystemSnapshotsResponse",
        {"file_system_snapshots": [saved(READY)], "next_page_token": "2"},
    )
    last = received(
        "ListFileSystemSnapshotsResponse", {"file_system_snapshots": [saved(READY, "fss-2")]}
    )
    service = Service(ListFileSystemSnapshots=[page, BUSY, page, last])
    found = run(_snapshot.find(service.call, environment(), 9.0))
    assert [one.file_system_snapshot_id for one in found] == ["fss-1", "fss-2"]
    assert [sent.request.get("page_token") for sent in service.sent] == [None, "2", None, "2"]


def test_the_bucket() -> None:
    method = "SettingsService/UpdateFileSystemSnapshotBucketConfig"
    answer = received(
        "FileSystemSnapshotBucketConfig", {"mode": 1, "effective_bucket_name": "theirs"}
    )
    service = Service(**{method: [BUSY, answer]})
    config = run(_snapshot.set_bucket_config(service.call, environment(), "", "", 9.0))
    assert config == cw.FileSystemSnapshotBucketConfig(
        mode=cw.FileSystemSnapshotBucketMode.CW_MANAGED, effective_bucket_name="theirs"
    )
    # Empty, but there: that is what takes the own bucket back.
    assert service.sent[-1].request == {"file_system_snapshot_bucket_config": {}}


# ---- stopping ----

ENDED = [sandbox("terminating"), sandbox("completed")]


def test_stop_saves_all_scratch_volumes() -> None:
    async def steps(life: Life) -> None:
        await life.driver.stop(10, True, OnStop(wait_for_ready=True, request_id="key"))
        assert life.handle.snapshot_ids == ("fss-1", "fss-2")
        # What was saved stays saved.
        await life.driver.stop(10, False, WAITING)
        await life.driver.stop(10, False)

    life = live(
        steps,
        with_volumes("running", "a", "b"),
        DeleteSandbox=[deleting("fss-1", "fss-2")],
        GetFileSystemSnapshot=[saved(CREATING), saved(READY)],
        GetSandbox=list(ENDED),
    )
    (sent,) = life.service.of("DeleteSandbox")
    assert sent.request == {
        "sandbox_id": "sb-1",
        "grace_period_seconds": 10,
        "snapshot_volumes": ["a", "b"],
        "allow_missing": True,
        "request_id": "key",
    }
    assert sent.timeout == 645.0
    assert [one.request["file_system_snapshot_id"] for one in life.service.of(GET)] == [
        "fss-1",
        "fss-1",
        "fss-2",
    ]
    methods = life.methods()
    assert methods.index("Get") > max(i for i, name in enumerate(methods) if name == GET)
    assert life.state.phase is Phase.TERMINAL


def test_stop_without_waiting_and_waiting_later() -> None:
    async def steps(life: Life) -> None:
        await life.driver.stop(0, False, OnStop(wait_for_ready=False, request_id=None))
        assert not life.service.of(GET)
        await life.driver.stop(0, False, WAITING)
        assert len(life.service.of(GET)) == 1

    life = live(
        steps,
        with_volumes("running", "a"),
        DeleteSandbox=[deleting("fss-1")],
        GetFileSystemSnapshot=[saved(READY)],
        GetSandbox=list(ENDED),
    )
    assert len(life.service.of("DeleteSandbox")) == 1


@pytest.mark.parametrize(
    ("ids", "looks", "text"),
    [
        (("fss-1",), [saved(FAILED, state_reason="full")], "failed: full"),
        ((), [saved(READY)], "named 0 snapshots for its 1 scratch volumes"),
    ],
)
def test_a_snapshot_that_fails_does_not_keep_the_sandbox(
    ids: tuple[str, ...], looks: list[Any], text: str
) -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxSnapshotError, match=text):
            await life.driver.stop(0, False, WAITING)
        assert life.state.phase is Phase.TERMINAL
        await life.driver.stop(0, False)

    live(
        steps,
        with_volumes("running", "a"),
        DeleteSandbox=[deleting(*ids)],
        GetFileSystemSnapshot=looks,
        GetSandbox=list(ENDED),
    )


@pytest.mark.parametrize(
    ("reply", "missing_ok", "kind", "text"),
    [
        (NOTHING, True, exceptions.SnapshotOnStopConflictError, "was not found"),
        (MISSING, True, exceptions.SnapshotOnStopConflictError, "was not found"),
        (MISSING, False, exceptions.SandboxNotFoundError, "not found"),
        (
            failure(Code.INVALID_ARGUMENT, "allow_missing", reason="CWSANDBOX_INVALID_REQUEST"),
            False,
            exceptions.SnapshotOnStopConflictError,
            "allow_missing",
        ),
        (failure(Code.UNAVAILABLE, delay=0.1), False, exceptions.SandboxUnavailableError, "stop"),
    ],
)
def test_a_stop_that_is_refused_changes_nothing(
    reply: Any, missing_ok: bool, kind: type[Exception], text: str
) -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(kind, match=f"(?i){text}"):
            await life.driver.stop(0, missing_ok, WAITING)
        assert life.state.phase is Phase.RUNNING
        assert not life.core.is_closed

    life = live(steps, with_volumes("running", "a"), DeleteSandbox=[reply])
    assert len(life.service.of("DeleteSandbox")) == 1


def test_without_scratch_volumes_there_is_nothing_to_save() -> None:
    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxSnapshotError, match="no known scratch volumes"):
            await life.driver.stop(0, False, WAITING)

    assert live(steps, with_volumes("running")).methods() == []


def test_too_late() -> None:
    async def stopped(life: Life) -> None:
        await life.driver.stop(0, False)
        with pytest.raises(exceptions.SnapshotOnStopConflictError, match="already stopped"):
            await life.driver.stop(0, False, WAITING)

    live(stopped, with_volumes("running", "a"), GetSandbox=list(ENDED))

    async def terminating(life: Life) -> None:
        with pytest.raises(exceptions.SnapshotOnStopConflictError, match="already terminating"):
            await life.driver.stop(0, False, WAITING)

    live(terminating, with_volumes("terminating", "a"))

    async def beside(life: Life) -> None:
        plain = asyncio.create_task(life.driver.stop(0, False))
        await asyncio.sleep(0.1)
        with pytest.raises(exceptions.SnapshotOnStopConflictError, match="already in progress"):
            await life.driver.stop(0, False, WAITING)
        await plain

    live(
        beside,
        with_volumes("running", "a"),
        DeleteSandbox=[after(1.0, {"sandbox": sandbox("terminating")})],
        GetSandbox=list(ENDED),
    )


def test_one_that_was_never_started_has_nothing_to_save() -> None:
    async def steps(life: Life) -> None:
        await life.driver.stop(0, False, WAITING)
        await life.driver.stop(0, False, WAITING)
        assert life.state.phase is Phase.CANCELLED

    assert live(steps).methods() == []


def test_others_join_a_stop_that_saves() -> None:
    async def steps(life: Life) -> None:
        await asyncio.gather(
            life.driver.stop(0, False, WAITING),
            life.driver.stop(0, False, WAITING),
            life.driver.stop(0, False),
        )

    life = live(
        steps,
        with_volumes("running", "a"),
        DeleteSandbox=[after(1.0, deleting("fss-1"))],
        GetFileSystemSnapshot=[saved(READY)],
        GetSandbox=list(ENDED),
    )
    assert len(life.service.of("DeleteSandbox")) == 1


# ---- the public verbs ----


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"retry_budget_seconds": "5"}, TypeError),
        ({"retry_budget_seconds": -1}, ValueError),
        ({"retry_budget_seconds": float("inf")}, ValueError),
        ({"wait_for_ready": 1}, TypeError),
        ({"request_id": 5}, TypeError),
    ],
)
def test_wrong_arguments_are_refused_at_the_call(given: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=next(iter(given))):
        cw.Sandbox().snapshot(**given)


def test_wrong_arguments_of_the_other_verbs() -> None:
    with pytest.raises(ValueError, match="file_system_snapshot_id"):
        cw.Sandbox.get_snapshot("")
    with pytest.raises(ValueError, match="FileSystemSnapshotStatus"):
        cw.Sandbox.list_snapshots(status="done")
    with pytest.raises(TypeError, match="bucket_name"):
        cw.Sandbox.set_snapshot_bucket_config(bucket_name=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="missing_ok"):
        cw.Sandbox.delete_snapshot("fss-1", missing_ok="yes")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="snapshot_on_stop"):
        cw.Sandbox().stop(snapshot_on_stop="yes")  # type: ignore[arg-type]
