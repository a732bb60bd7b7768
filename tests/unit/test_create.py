"""Creating: repetition for lack of room, the other placement mode, and the share token."""

from __future__ import annotations

from typing import Any

import pytest

import cwsandbox as cw
from cwsandbox import SandboxDefaults, exceptions
from cwsandbox._lifecycle.create import Creator, is_definite, may_spill
from cwsandbox._messages import config as _config
from cwsandbox._service.connection import connection as connection_of
from cwsandbox._service.rpc import Code, RpcFailure
from unit.service import Service, environment, failure, received, run, sandbox

FULL = failure(Code.RESOURCE_EXHAUSTED, reason="CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED")
REJECTED = failure(Code.FAILED_PRECONDITION, reason="CWSANDBOX_PLACEMENT_REJECTED")
LOST = failure(Code.UNAVAILABLE)


def creator(service: Service, **given: Any) -> Creator:
    defaults = SandboxDefaults()
    workload, connection = _config.workload(given, defaults), connection_of(given, defaults)
    return Creator(workload, connection, service.call, environment(), service.knows)


def placements(service: Service) -> list[tuple[int, list[str]]]:
    specs = [sent.request["sandbox"]["spec"] for sent in service.of("CreateSandbox")]
    return [(spec.get("mode", 0), spec.get("runner_ids", [])) for spec in specs]


def request_ids(service: Service) -> list[str]:
    return [sent.request["request_id"] for sent in service.of("CreateSandbox")]


def test_create() -> None:
    service = Service(CreateSandbox=[sandbox("creating")])
    made = run(creator(service, request_timeout_seconds=7).create())
    assert made["sandbox_id"] == "sb-1"
    assert [sent.timeout for sent in service.sent] == [7.0]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("1024Ki", "sandbox sb-1: the volume data has a size of 1024Ki; 10Gi is more than"),
        ("10240Mi", None),  # the same in other words
        ("12Gi", None),
        ("much", None),
        ("", None),
    ],
)
def test_a_volume_smaller_than_asked_for_is_told(
    given: str, says: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    answer = sandbox("creating")
    answer["spec"] = {"volumes": [{"name": "data", "scratch": {"size": given}}]}
    volumes = [cw.ScratchVolumeOptions(name="data", size="10Gi"), {"name": "other"}]
    run(creator(Service(CreateSandbox=[answer]), volumes=volumes).create())
    told = [record.message for record in caplog.records if record.name == "cwsandbox"]
    assert len(told) == (says is not None)
    assert says is None or says in told[0]


@pytest.mark.parametrize("refusal", [LOST, FULL, failure(Code.INVALID_ARGUMENT)])
def test_tried_once_by_default(refusal: RpcFailure) -> None:
    service = Service(CreateSandbox=[refusal])
    with pytest.raises(exceptions.CWSandboxError) as raised:
        run(creator(service).create())
    assert len(service.sent) == 1
    assert raised.value.__cause__ is refusal


def test_cancelled_by_the_server() -> None:
    service = Service(CreateSandbox=[failure(Code.CANCELLED)])
    with pytest.raises(exceptions.SandboxNotRunningError, match="was cancelled"):
        run(creator(service).create())


def test_later_attempts_repeat_the_request_id() -> None:
    service = Service(CreateSandbox=[LOST, sandbox("creating")])
    maker = creator(service)

    async def main() -> None:
        with pytest.raises(exceptions.SandboxUnavailableError):
            await maker.create()
        await maker.create()

    run(main())
    first, second = request_ids(service)
    assert first == second
    assert len(first) == 36


# ---- lack of room ----


def test_capacity_budget() -> None:
    service = Service(CreateSandbox=[FULL, FULL, FULL, sandbox("creating")])
    run(creator(service, create_retry_budget_seconds=10, request_timeout_seconds=60).create())
    assert service.times("CreateSandbox") == [0.0, 0.3, 0.75, 1.425]
    assert [round(sent.timeout, 3) for sent in service.sent] == [60.0, 9.7, 9.25, 8.575]
    assert len(set(request_ids(service))) == 1


def test_capacity_budget_ends_with_the_last_failure() -> None:
    service = Service(CreateSandbox=[FULL])
    with pytest.raises(exceptions.SandboxResourceExhaustedError) as raised:
        run(creator(service, create_retry_budget_seconds=1).create())
    assert raised.value.reason == "CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED"
    assert service.times("CreateSandbox") == [0.0, 0.3, 0.75]


def test_capacity_hint() -> None:
    hinted = failure(Code.UNAVAILABLE, reason="CWSANDBOX_RUNNER_OVERLOADED", delay=4)
    service = Service(CreateSandbox=[hinted, sandbox("creating")])
    run(creator(service, create_retry_budget_seconds=10).create())
    assert service.times("CreateSandbox") == [0.0, 4.0]


def test_other_failures_are_not_repeated() -> None:
    service = Service(CreateSandbox=[FULL, LOST])
    with pytest.raises(exceptions.SandboxUnavailableError):
        run(creator(service, create_retry_budget_seconds=10).create())
    assert len(service.sent) == 2


# ---- the other placement mode ----

ELIGIBLE = [
    "RUNNER_CAPACITY_EXHAUSTED",
    "PLACEMENT_REJECTED",
    "PLACEMENT_CONSTRAINT_UNSATISFIED",
    "NO_SUITABLE_RUNNER",
    "RUNNER_OVERLOADED",
    "RUNNER_UNAVAILABLE",
]


@pytest.mark.parametrize("reason", ELIGIBLE)
@pytest.mark.parametrize("code", list(Code))
def test_which_reasons_spill(reason: str, code: Code) -> None:
    expected = code in (Code.RESOURCE_EXHAUSTED, Code.FAILED_PRECONDITION, Code.UNAVAILABLE)
    assert may_spill(failure(code, reason=f"CWSANDBOX_{reason}")) is expected
    assert not may_spill(failure(code, reason=f"CWSANDBOX_{reason}", domain="example.com"))


def test_which_others_spill() -> None:
    ceiling = "CWSANDBOX_RESOURCE_CEILING_EXCEEDED"
    assert may_spill(failure(Code.INVALID_ARGUMENT, reason=ceiling))
    assert not may_spill(failure(Code.RESOURCE_EXHAUSTED, reason=ceiling))
    for name in ("SERVERLESS_NOT_ALLOWED", "SERVERLESS_DISABLED", "SERVERLESS_MISCONFIGURED"):
        assert not may_spill(failure(Code.FAILED_PRECONDITION, reason=f"CWSANDBOX_{name}"))
    assert not may_spill(failure(Code.RESOURCE_EXHAUSTED))


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (failure(Code.INVALID_ARGUMENT), True),
        (failure(Code.FAILED_PRECONDITION), True),
        (failure(Code.UNAUTHENTICATED), True),
        (failure(Code.PERMISSION_DENIED), True),
        (failure(Code.NOT_FOUND), True),
        (FULL, True),
        (LOST, False),
        (failure(Code.DEADLINE_EXCEEDED), False),
        (failure(Code.CANCELLED), False),
        (failure(Code.RESOURCE_EXHAUSTED), False),
    ],
)
def test_definite_refusals(refusal: RpcFailure, expected: bool) -> None:
    assert is_definite(refusal) is expected


def test_spill_to_serverless_drops_the_pins() -> None:
    service = Service(CreateSandbox=[FULL, sandbox("creating")])
    run(creator(service, placement_spillover="cks_then_serverless", runner_ids=["r"]).create())
    assert placements(service) == [(2, ["r"]), (1, [])]
    assert len(set(request_ids(service))) == 2


def test_spill_to_cks() -> None:
    service = Service(CreateSandbox=[REJECTED, sandbox("creating")])
    run(creator(service, placement_spillover="serverless_then_cks").create())
    assert placements(service) == [(1, []), (2, [])]


def test_strict_never_spills() -> None:
    service = Service(CreateSandbox=[FULL])
    with pytest.raises(exceptions.SandboxResourceExhaustedError):
        run(creator(service, placement_mode="cks").create())
    assert len(service.sent) == 1


def spilling(*replies: Any) -> tuple[Service, Creator, list[exceptions.CWSandboxError]]:
    """Two creates one after the other with a spill; what the first raised."""
    service = Service(CreateSandbox=list(replies))
    maker = creator(service, placement_spillover="cks_then_serverless", runner_ids=["r"])
    raised: list[exceptions.CWSandboxError] = []

    async def main() -> None:
        for _ in range(2):
            try:
                await maker.create()
            except exceptions.CWSandboxError as error:
                raised.append(error)

    run(main())
    return service, maker, raised


def test_a_definite_second_refusal_restores_the_first_choice() -> None:
    service, _, (error,) = spilling(FULL, REJECTED, sandbox("creating"))
    assert placements(service) == [(2, ["r"]), (1, []), (2, ["r"])]
    ids = request_ids(service)
    assert ids[0] == ids[2] != ids[1]
    assert error.reason == "CWSANDBOX_PLACEMENT_REJECTED"
    assert isinstance(error.__cause__, exceptions.SandboxResourceExhaustedError)
    assert any("cks" in note for note in error.__notes__)


def test_an_ambiguous_second_failure_keeps_the_other_mode() -> None:
    service, _, (error,) = spilling(FULL, LOST, sandbox("creating"))
    assert placements(service) == [(2, ["r"]), (1, []), (1, [])]
    ids = request_ids(service)
    assert ids[0] != ids[1] == ids[2]
    assert isinstance(error, exceptions.SandboxUnavailableError)


def test_no_third_attempt_on_the_other_mode() -> None:
    service, _, raised = spilling(FULL, LOST, FULL)
    assert len(raised) == 2
    assert len(service.sent) == 3


# ---- the share token ----

SERVICES = [
    {"port": 80, "visibility": "public", "endpoint": {"kind": "https", "auth": "share_token"}}
]


def with_token(**fields: Any) -> dict[str, Any]:
    return {**sandbox("creating"), "endpoint_share_token": "token", **fields}


def recover(*replies: Any) -> tuple[Service, dict[str, Any] | None]:
    service = Service(CreateSandbox=list(replies))
    maker = creator(service, services=SERVICES)
    return service, run(maker.recover_token("sb-1"))


def test_who_lacks_the_token() -> None:
    maker = creator(Service(), services=SERVICES)
    assert maker.lacks_token(sandbox("creating"))
    assert not maker.lacks_token(with_token())
    echoed = sandbox("creating", services=[{"port": 1, "endpoint": {"kind": 1, "auth": 2}}])
    assert creator(Service()).lacks_token(echoed)
    assert not creator(Service()).lacks_token(sandbox("creating"))


def test_token_recovery() -> None:
    service, message = recover(sandbox("creating"), LOST, with_token())
    assert message is not None
    assert message["endpoint_share_token"] == "token"
    assert service.times("CreateSandbox") == [1.0, 3.0, 7.0]
    assert len(set(request_ids(service))) == 1
    assert [sent.timeout for sent in service.sent] == [5.0, 5.0, 5.0]


@pytest.mark.parametrize(
    ("replies", "tries"),
    [
        ([sandbox("creating")], 3),
        ([failure(Code.INVALID_ARGUMENT)], 1),
        ([with_token(sandbox_id="other")], 1),
        ([{**sandbox("failed"), "endpoint_share_token": "token"}], 1),
        ([cw.SandboxProtocolError("garbled")], 1),
    ],
)
def test_token_recovery_gives_up(replies: list[Any], tries: int) -> None:
    service, message = recover(*replies)
    assert message is None
    assert len(service.sent) == tries


def test_token_recovery_follows_hints_within_its_budget() -> None:
    service, _ = recover(
        failure(Code.UNAVAILABLE, delay=3), failure(Code.UNAVAILABLE, delay=60), with_token()
    )
    assert service.times("CreateSandbox") == [1.0, 4.0, 9.0]


def test_the_request_is_the_same_each_time() -> None:
    service, _ = recover(sandbox("creating"), sandbox("creating"), received("Sandbox", {}))
    assert service.sent[0].request == service.sent[1].request == service.sent[2].request
