"""Sessions against a grpcio service: what is sent, what is counted, and stops that fail."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

import cwsandbox
from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import Sandbox, SandboxDefaults, SandboxError, Session

pytestmark = pytest.mark.usefixtures("commands")


@pytest.fixture
def commands(grpc_peer: GrpcPeer) -> None:
    """``end CODE``, and ``stay``, which does not end."""

    @grpc_peer.command("end")
    async def end(call: Call) -> None:
        await call.exit(int(call.argv[1]))

    @grpc_peer.command("stay")
    async def stay(call: Call) -> None:
        await call.out(b"begun\n")
        await asyncio.Event().wait()


def lists(peer: GrpcPeer, *ids: str) -> list[Any]:
    """Have these found; the requests."""
    requests = []

    async def answer(request: Any, context: Any) -> Any:
        requests.append(request)
        found = [peer._sandbox(one, peer.pb.STATE_RUNNING) for one in ids]
        return peer.pb.ListSandboxesResponse(sandboxes=found)

    peer.overrides["ListSandboxes"] = answer
    return requests


def refuses_to_stop(peer: GrpcPeer, *ids: str) -> None:
    async def delete(request: Any, context: Any) -> Any:
        if request.sandbox_id in ids:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"not {request.sandbox_id}")
        return await peer._delete(request, context)

    peer.overrides["DeleteSandbox"] = delete


# ---- what is sent ----


def test_a_sandbox_is_created_by_its_first_command(grpc_peer: GrpcPeer) -> None:
    with Session({"tags": ["common"]}) as session:
        sandbox = session.sandbox(tags=["own"])
        assert grpc_peer.created == []
        sandbox.exec(["end", "0"]).result()
        (request,) = grpc_peer.created
        assert list(request.sandbox.spec.tags) == ["common", "own"]
    assert grpc_peer.deleted == ["sb-1"]


def test_what_is_listed(grpc_peer: GrpcPeer) -> None:
    requests = lists(grpc_peer, "sb-8", "sb-9")
    session = Session(SandboxDefaults(tags=("common",), runner_ids=("r-1",)))
    found = session.list(
        tags=["own"], status="running", show_terminated=True, volume_ids=["v-1"]
    ).result()
    assert [one.sandbox_id for one in found] == ["sb-8", "sb-9"]
    assert session.sandbox_count == 0
    (request,) = requests
    assert list(request.tags) == ["common", "own"]
    assert list(request.runner_ids) == ["r-1"]
    assert list(request.volume_ids) == ["v-1"]
    assert request.show_terminated
    session.list(runner_ids=[]).result()
    Session().list().result()
    assert [list(one.runner_ids) for one in requests[1:]] == [[], []]
    assert list(requests[-1].tags) == []


def test_patience_and_credentials_come_from_the_defaults(grpc_peer: GrpcPeer) -> None:
    lists(grpc_peer, "sb-9")
    headers = cwsandbox.AuthHeaders({"x-who": "me"}, "test")
    session = Session({"request_timeout_seconds": 7, "poll_rpc_timeout_seconds": 3}, auth=headers)
    (sandbox,) = session.list().result()
    session.from_id("sb-9", adopt=False).result()
    sandbox.get_status()
    for method in ("ListSandboxes", "GetSandbox"):
        for metadata in grpc_peer.metadata[method]:
            assert ("x-who", "me") in metadata
        deadline = grpc_peer.deadlines[method][0]
        assert deadline is not None
        assert 2 < deadline <= 7
    assert sandbox._connection.poll_rpc_timeout == 3


def test_the_address_is_that_of_its_sandboxes(
    grpc_peer: GrpcPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's, before that of the defaults; where there is none, that of the defaults."""
    lists(grpc_peer, "sb-9")
    assert Session({"base_url": "http://127.0.0.1:1"}).list().result()
    monkeypatch.delenv("CWSANDBOX_BASE_URL")
    assert Session({"base_url": grpc_peer.base_url}).list().result()


# ---- owning ----


def test_adopting_what_is_found(grpc_peer: GrpcPeer) -> None:
    lists(grpc_peer, "sb-8", "sb-9")
    with Session() as session:
        found = session.list(adopt=True).result()
        one = session.from_id("sb-7").result()
        other = session.from_id("sb-6", adopt=False).result()
        assert session.sandbox_count == 3
        assert [*found, one, other]
    assert sorted(grpc_peer.deleted) == ["sb-7", "sb-8", "sb-9"]


def test_stopping_one_takes_it_out(grpc_peer: GrpcPeer) -> None:
    with Session() as session:
        sandboxes = [session.sandbox() for _ in range(3)]
        cwsandbox.wait(sandboxes)
        sandboxes[0].stop().result()
        assert session.sandbox_count == 2
        with sandboxes[1]:
            pass
        assert session.sandbox_count == 1
    assert sorted(grpc_peer.deleted) == ["sb-1", "sb-2", "sb-3"]


@pytest.mark.parametrize("missing_ok", [True, False])
def test_stopping_one_that_is_gone(grpc_peer: GrpcPeer, missing_ok: bool) -> None:
    async def gone(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")

    grpc_peer.overrides["DeleteSandbox"] = gone
    session = Session()
    sandbox = session.sandbox()
    sandbox.wait()
    if missing_ok:
        sandbox.stop(missing_ok=True).result()
        assert session.sandbox_count == 0
    session.close().result()
    assert session.sandbox_count == 0


def test_a_sandbox_has_one_owner(grpc_peer: GrpcPeer) -> None:
    first, second = Session(), Session()
    sandbox = first.sandbox()
    sandbox.wait()
    second.adopt(sandbox)
    second.adopt(sandbox)
    assert (first.sandbox_count, second.sandbox_count) == (0, 1)
    first.close().result()
    assert grpc_peer.deleted == []
    second.close().result()
    assert grpc_peer.deleted == ["sb-1"]


def test_a_search_that_ends_after_the_session(grpc_peer: GrpcPeer) -> None:
    asked, answer = grpc_peer.event(), grpc_peer.event()

    async def late(request: Any, context: Any) -> Any:
        asked.set()
        await answer.wait()
        return grpc_peer._sandbox(request.sandbox_id, grpc_peer.pb.STATE_RUNNING)

    grpc_peer.overrides["GetSandbox"] = late
    session = Session()
    finding = session.from_id("sb-9")
    grpc_peer.wait(asked)
    session.close().result()
    grpc_peer.set(answer)
    with pytest.raises(SandboxError, match="session is closed"):
        finding.result()


def test_sandboxes_of_many_threads(grpc_peer: GrpcPeer) -> None:
    with Session() as session, ThreadPoolExecutor(16) as threads:

        def work(_: int) -> int:
            return session.sandbox().exec(["end", "0"]).result().returncode

        assert list(threads.map(work, range(64))) == [0] * 64
        assert session.sandbox_count == 64
    assert len(set(grpc_peer.deleted)) == 64


def test_a_session_that_is_closed_while_threads_make_sandboxes(grpc_peer: GrpcPeer) -> None:
    """Each either gets a sandbox, which is stopped, or is told; nothing is left."""
    session = Session()
    begun = threading.Barrier(9)
    ended = []

    def work() -> None:
        begun.wait(20)
        try:
            while True:
                session.sandbox().start().result(20)
        except SandboxError:
            ended.append(True)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.wait(20)
    session.close().result(20)
    for thread in threads:
        thread.join(20)
    session.close().result(20)
    assert len(ended) == 8
    assert session.sandbox_count == 0
    assert len(set(grpc_peer.deleted)) == len(grpc_peer.created)


# ---- closing ----


def test_all_are_stopped_whatever_one_does(
    grpc_peer: GrpcPeer, caplog: pytest.LogCaptureFixture
) -> None:
    refuses_to_stop(grpc_peer, "sb-2")
    session = Session()
    sandboxes = [session.sandbox() for _ in range(3)]
    for sandbox in sandboxes:
        sandbox.wait()
    with pytest.raises(SandboxError, match=r"Failed to stop 1 sandbox\(es\)") as caught:
        session.close().result()
    group = caught.value.__cause__
    assert isinstance(group, ExceptionGroup)
    assert ["not sb-2" in str(one) for one in group.exceptions] == [True]
    assert "not sb-2" in caplog.text
    assert sorted(grpc_peer.deleted) == ["sb-1", "sb-3"]
    # What could not be stopped is still there to be stopped.
    assert session.sandbox_count == 1
    del grpc_peer.overrides["DeleteSandbox"]
    session.close().result()
    assert session.sandbox_count == 0
    assert sorted(grpc_peer.deleted) == ["sb-1", "sb-2", "sb-3"]
    assert sandboxes[1].status == "terminated"


def test_closing_from_many_threads_at_once(grpc_peer: GrpcPeer) -> None:
    session = Session()
    cwsandbox.wait([session.sandbox() for _ in range(4)])
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: session.close().result(20), range(8))) == [None] * 8
    assert sorted(grpc_peer.deleted) == ["sb-1", "sb-2", "sb-3", "sb-4"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_block_that_raises_and_a_stop_that_fails(
    grpc_peer: GrpcPeer, error: type[BaseException]
) -> None:
    """Nothing takes the place of what ends the program. Of other exceptions none is lost."""
    refuses_to_stop(grpc_peer, "sb-1")
    session = Session()

    def block() -> None:
        with session:
            session.sandbox().wait()
            raise error("mine")

    with pytest.raises((SandboxError, error)) as caught:
        block()
    if issubclass(error, Exception):
        assert isinstance(caught.value, SandboxError)
        assert isinstance(caught.value.__context__, ValueError | ExceptionGroup)
    else:
        assert isinstance(caught.value, error)
    del grpc_peer.overrides["DeleteSandbox"]
    session.close().result()


async def test_closing_is_not_broken_off_by_a_task_that_gives_up(grpc_peer: GrpcPeer) -> None:
    asked, answer = grpc_peer.event(), grpc_peer.event()

    async def late(request: Any, context: Any) -> Any:
        asked.set()
        await answer.wait()
        return await grpc_peer._delete(request, context)

    grpc_peer.overrides["DeleteSandbox"] = late
    session = Session()
    await session.sandbox()

    async def block() -> None:
        async with session:
            pass

    task = asyncio.create_task(block())
    await asyncio.to_thread(grpc_peer.wait, asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    grpc_peer.set(answer)
    await session.close()
    assert (session.sandbox_count, grpc_peer.deleted) == (0, ["sb-1"])


def test_a_session_over_several_event_loops(grpc_peer: GrpcPeer) -> None:
    with Session() as session:

        async def main() -> list[int]:
            sandboxes = [session.sandbox() for _ in range(5)]
            done = await asyncio.gather(*(one.exec(["end", "0"]) for one in sandboxes))
            return [one.returncode for one in done]

        for _ in range(3):
            assert asyncio.run(main()) == [0] * 5
    assert len(set(grpc_peer.deleted)) == 15


# ---- metrics ----


class Run:
    """Stands for a run of Weights & Biases."""

    def __init__(self) -> None:
        self.logged: list[tuple[dict[str, Any], int | None]] = []
        self.failure: Exception | None = None

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        if self.failure is not None:
            raise self.failure
        self.logged.append((values, step))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    run = Run()
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=run))
    return run


def counts(values: dict[str, Any]) -> tuple[int, ...]:
    names = ("sandboxes_created", "executions", "exec_completed_ok")
    more = ("exec_completed_nonzero", "exec_failures")
    return tuple(values[f"cwsandbox/{name}"] for name in (*names, *more))


def test_what_is_counted(grpc_peer: GrpcPeer) -> None:
    session = Session()
    assert counts(session.get_metrics()) == (0, 0, 0, 0, 0)
    one, two = session.sandbox(), session.sandbox()
    session.sandbox()
    for code in (0, 0, 3):
        one.exec(["end", str(code)]).result()
    two.exec(["end", "0"]).result()
    with pytest.raises(cwsandbox.SandboxExecutionError):
        two.exec(["end", "1"], check=True).result()
    assert counts(session.get_metrics()) == (3, 5, 3, 1, 1)
    process = two.exec(["stay"])
    next(iter(process.stdout))
    two.stop().result()
    with pytest.raises(cwsandbox.SandboxNotRunningError):
        process.result()
    values = session.get_metrics()
    assert counts(values) == (3, 6, 3, 1, 2)
    assert values["cwsandbox/exec_completion_rate"] == 0.5
    assert values["cwsandbox/exec_failure_rate"] == pytest.approx(1 / 3)
    assert values["cwsandbox/startup_count"] == 2
    least, mean, most = (
        values[f"cwsandbox/{name}_startup_seconds"] for name in ("min", "avg", "max")
    )
    assert 0 < least <= mean <= most < 60
    # Who has no run does not hear of it.
    assert "cwsandbox/avg_execs_per_sandbox" not in values
    session.close().result()
    assert session.get_metrics() == values


def test_an_adopted_sandbox_counts_from_then_on(grpc_peer: GrpcPeer) -> None:
    sandbox = Sandbox.run()
    sandbox.exec(["end", "0"]).result()
    with Session() as session:
        session.adopt(sandbox)
        assert counts(session.get_metrics()) == (0, 0, 0, 0, 0)
        sandbox.exec(["end", "1"]).result()
        assert counts(session.get_metrics()) == (0, 1, 0, 1, 0)
        assert "cwsandbox/startup_count" not in session.get_metrics()


def test_logging(grpc_peer: GrpcPeer, run: Run) -> None:
    with Session(report_to=["wandb"]) as session:
        assert session.log_metrics() is False
        one, two = session.sandbox(), session.sandbox()
        for sandbox, times in ((one, 3), (two, 1)):
            for _ in range(times):
                sandbox.exec(["end", "0"]).result()
        assert session.log_metrics(step=7, reset=False) is True
        assert session.log_metrics(step=8) is True
        (first, at), (second, later) = run.logged
        assert (at, later) == (7, 8)
        assert first == second
        assert counts(first) == (2, 4, 4, 0, 0)
        names = ("min", "avg", "max")
        assert [first[f"cwsandbox/{name}_execs_per_sandbox"] for name in names] == [1, 2, 3]
        # It begins anew.
        assert counts(session.get_metrics()) == (0, 0, 0, 0, 0)
        assert session.log_metrics() is False
        two.exec(["end", "1"]).result()
    values, step = run.logged[-1]
    assert (counts(values), step, len(run.logged)) == ((0, 1, 0, 1, 0), None, 3)
    assert values["cwsandbox/max_execs_per_sandbox"] == 1


def test_what_could_not_be_logged_is_kept(
    grpc_peer: GrpcPeer, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    with Session() as session:
        session.sandbox().exec(["end", "0"]).result()
        run.failure = RuntimeError("the run is over")
        before = session.get_metrics()
        assert session.log_metrics() is False
        assert "the run is over" in caplog.text
        assert session.get_metrics() == before
        run.failure = None
        assert session.log_metrics() is True
        assert run.logged[0][0] == before


def test_a_failure_to_log_does_not_fail_the_close(grpc_peer: GrpcPeer, run: Run) -> None:
    run.failure = RuntimeError("the run is over")
    with Session() as session:
        session.sandbox().exec(["end", "0"]).result()
    assert grpc_peer.deleted == ["sb-1"]


@pytest.mark.parametrize(
    ("report_to", "counted", "warned"),
    [
        (None, True, ""),
        (["wandb"], True, ""),
        ("wandb", True, ""),
        (["mlflow", "wandb"], True, "mlflow"),
        (["mlflow"], False, "mlflow"),
        ([], False, ""),
    ],
)
def test_where_metrics_go(
    grpc_peer: GrpcPeer,
    run: Run,
    caplog: pytest.LogCaptureFixture,
    report_to: Any,
    counted: bool,
    warned: str,
) -> None:
    with Session(report_to=report_to) as session:
        session.sandbox().exec(["end", "0"]).result()
        assert bool(session.get_metrics()) is counted
        assert session.log_metrics() is counted
    assert (warned in caplog.text) if warned else not caplog.records
    assert len(run.logged) == counted


def test_sandboxes_that_are_gone_take_no_memory(grpc_peer: GrpcPeer) -> None:
    session = Session()
    gone = []
    for _ in range(5):
        sandbox = session.sandbox()
        sandbox.exec(["end", "0"]).result()
        sandbox.stop().result()
        gone.append(weakref.ref(sandbox))
    del sandbox
    assert counts(session.get_metrics()) == (5, 5, 5, 0, 0)
    gc.collect()
    assert [one() for one in gone] == [None] * 5
