"""Registered volumes: the values, what is asked of the service, waiting, and what its failures become."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import cwsandbox as cw
from cwsandbox import exceptions
from cwsandbox._lifecycle import request as _request
from cwsandbox._service.connection import Connection
from cwsandbox._service.rpc import Code
from unit.service import Service, environment, failure, received, run

VALIDATING, READY, ERROR, DELETING = 1, 2, 3, 4
BUSY = failure(Code.UNAVAILABLE)
MISSING = failure(Code.NOT_FOUND)
PVC = cw.PvcVolumeSource(runner_id="r-1", namespace="team", claim_name="claim", sub_path="a/b")
SOURCE = {"runner_id": "r-1", "namespace": "team", "claim_name": "claim", "sub_path": "a/b"}


def volume(state: int, **more: Any) -> dict[str, Any]:
    message = {
        "volume_id": "vol-1",
        "spec": {"pvc": SOURCE, "description": "text"},
        "status": {"state": state, **more},
    }
    return received("Volume", message)


class Asked:
    """Runs what is submitted against a scripted service, and keeps the connections."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.service = Service()

    def script(self, **replies: list[Any]) -> None:
        self.service.scripts = {f"VolumeService/{name}": all_ for name, all_ in replies.items()}

    def submit(self, connection: Connection, make: Any) -> Any:
        self.connections.append(connection)
        return run(make(self.service.call, environment(), connection.request_timeout))

    @property
    def requests(self) -> list[Any]:
        return [sent.request for sent in self.service.sent]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    made = Asked()
    monkeypatch.setattr(_request, "submit", made.submit)
    yield made


# ---- values ----


def test_a_volume_is_a_handle_and_not_a_value() -> None:
    one, same = cw.Volume(volume_id="v"), cw.Volume(volume_id="v")
    assert one != same
    assert len({one, same}) == 2
    assert repr(one) == "Volume(volume_id='v', state=unspecified)"


@pytest.mark.parametrize("name", ["runner_id", "namespace", "claim_name"])
def test_a_claim_is_named_in_full(name: str) -> None:
    given: dict[str, Any] = {"runner_id": "r", "namespace": "n", "claim_name": "c"}
    assert cw.PvcVolumeSource(**given, sub_path="").sub_path is None
    with pytest.raises(ValueError, match=f"PvcVolumeSource.{name} must not be empty"):
        cw.PvcVolumeSource(**{**given, name: ""})
    with pytest.raises(TypeError, match=f"PvcVolumeSource.{name} must be a str"):
        cw.PvcVolumeSource(**{**given, name: 5})


# ---- create, get, list ----


def test_create(asked: Asked) -> None:
    asked.script(CreateVolume=[BUSY, volume(VALIDATING)])
    made: Any = cw.Volume.create(
        "vol-1", pvc=PVC, read_only=True, description="text", base_url="http://x", timeout_seconds=7
    )
    assert made.state is cw.VolumeState.VALIDATING
    first, second = asked.requests
    assert first == second
    assert len(first.pop("request_id")) == 36
    spec = {"pvc": SOURCE, "read_only": True, "description": "text"}
    assert first == {"volume": {"volume_id": "vol-1", "spec": spec}}
    assert [sent.timeout for sent in asked.service.sent] == [7.0, 7.0]
    # The object goes on with the service that it came from.
    asked.script(ValidateVolume=[volume(READY)])
    assert made.validate() is made
    assert asked.connections[-1] == asked.connections[0]


def test_all_that_an_answer_says(asked: Asked) -> None:
    answer = volume(
        ERROR,
        state_reason="gone",
        locality=1,
        create_time={"seconds": 1},
        update_time={"seconds": 2},
        last_validated_time={"seconds": 3},
        access_modes=["ReadWriteMany"],
        capacity="10Gi",
        attached_sandbox_count=4,
    )
    asked.script(GetVolume=[answer])
    found: Any = cw.Volume.get("vol-1")
    assert vars(found.pvc) == SOURCE
    assert {name: value for name, value in vars(found).items() if name[0] != "_"} == {
        "volume_id": "vol-1",
        "pvc": found.pvc,
        "read_only": False,
        "description": "text",
        "state": cw.VolumeState.ERROR,
        "state_reason": "gone",
        "locality": cw.VolumeLocality.CLUSTER_LOCAL,
        "access_modes": ("ReadWriteMany",),
        "capacity": "10Gi",
        "attached_sandbox_count": 4,
        "created_at": datetime.fromtimestamp(1, UTC),
        "updated_at": datetime.fromtimestamp(2, UTC),
        "last_validated_at": datetime.fromtimestamp(3, UTC),
    }


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"spec": {"pvc": {"runner_id": "r"}}},
        {"status": {"state": 77, "locality": 88}},
    ],
)
def test_an_incomplete_answer_is_no_failure(asked: Asked, answer: dict[str, Any]) -> None:
    asked.script(GetVolume=[received("Volume", answer)])
    found: Any = cw.Volume.get("vol-1")
    assert (found.volume_id, found.pvc, found.state) == ("vol-1", None, cw.VolumeState.UNSPECIFIED)


def test_list_goes_through_all_pages_and_begins_again(asked: Asked) -> None:
    page = received("ListVolumesResponse", {"volumes": [volume(READY)], "next_page_token": "2"})
    last = received("ListVolumesResponse", {"volumes": [volume(ERROR)]})
    asked.script(ListVolumes=[page, BUSY, page, last])
    found: Any = cw.Volume.list(states=["READY", cw.VolumeState.ERROR], runner_ids=["r-1"])
    assert [one.state for one in found] == ["ready", "error"]
    assert asked.requests[0] == {"states": [READY, ERROR], "runner_ids": ["r-1"]}
    assert [one.get("page_token") for one in asked.requests] == [None, "2", None, "2"]


# ---- one of them ----


def test_a_call_s_options_are_the_call_s(asked: Asked) -> None:
    mine = cw.AuthHeaders({"x": "1"}, "mine")
    one = cw.Volume(volume_id="vol-1", base_url="http://own", timeout_seconds=5, auth=mine)
    asked.script(
        UpdateVolume=[volume(READY)], GetVolume=[volume(READY)], DeleteVolume=[volume(DELETING)]
    )
    other = cw.AuthHeaders({"x": "2"}, "other")
    one.update(description="new", base_url="http://other", timeout_seconds=9, auth=other)
    one.wait_until_ready(timeout_seconds=3)
    one.delete(force=True)
    seen = [(where.base_url, where.request_timeout, where.auth) for where in asked.connections]
    assert seen == [
        ("http://other", 9.0, other),
        ("http://own", 3.0, mine),
        ("http://own", 5.0, mine),
    ]
    assert asked.requests == [
        {
            "volume_id": "vol-1",
            "volume": {"volume_id": "vol-1", "spec": {"description": "new"}},
            "update_mask": {"paths": ["spec.description"]},
        },
        {"volume_id": "vol-1"},
        {"volume_id": "vol-1", "force": True},
    ]
    assert one.state is cw.VolumeState.DELETING


def test_delete_of_what_is_gone(asked: Asked) -> None:
    one = cw.Volume(volume_id="vol-1", description="kept")
    asked.script(DeleteVolume=[MISSING])
    with pytest.raises(exceptions.VolumeNotFoundError) as raised:
        one.delete()
    assert raised.value.volume_id == "vol-1"
    assert one.delete(allow_missing=True) is one  # type: ignore[comparison-overlap]
    asked.script(DeleteVolume=[BUSY, MISSING])
    one.delete()
    assert one.description == "kept"
    asked.script(DeleteVolume=[received("Volume", {})])
    one.delete()
    assert one.volume_id == "vol-1"


@pytest.mark.parametrize(
    ("code", "reason", "kind", "tries"),
    [
        (Code.FAILED_PRECONDITION, "VOLUME_IN_USE", exceptions.VolumeInUseError, 1),
        (
            Code.UNAVAILABLE,
            "VOLUME_RUNNER_UNAVAILABLE",
            exceptions.VolumeRunnerUnavailableError,
            2,
        ),
        (
            Code.FAILED_PRECONDITION,
            "VOLUME_RUNNER_UNAVAILABLE",
            exceptions.VolumeRunnerUnavailableError,
            2,
        ),
        (Code.DEADLINE_EXCEEDED, None, exceptions.SandboxRequestTimeoutError, 2),
        (Code.INVALID_ARGUMENT, None, exceptions.SandboxError, 1),
    ],
)
def test_failures(
    asked: Asked, code: Code, reason: str | None, kind: type[Exception], tries: int
) -> None:
    asked.script(GetVolume=[failure(code, reason=reason and f"CWSANDBOX_{reason}")])
    with pytest.raises(kind, match=r"(?i)get volume 'vol-1'") as raised:
        cw.Volume.get("vol-1")
    assert min(len(asked.requests), 2) == tries
    if isinstance(raised.value, exceptions.VolumeError):
        assert raised.value.volume_id == "vol-1"


# ---- waiting ----


def test_waiting_sets_the_attributes(asked: Asked) -> None:
    one = cw.Volume(volume_id="vol-1")
    unspecified = volume(0)
    asked.script(GetVolume=[volume(VALIDATING), unspecified, BUSY, volume(READY, capacity="1Gi")])
    assert one.wait_until_ready() is one  # type: ignore[comparison-overlap]
    assert (one.state, one.capacity) == (cw.VolumeState.READY, "1Gi")
    assert asked.service.times("VolumeService/GetVolume")[:3] == [0.0, 0.2, 0.4]
    assert asked.service.sent[0].timeout == 15.0


@pytest.mark.parametrize("state", [ERROR, DELETING])
def test_one_that_will_never_be_ready(asked: Asked, state: int) -> None:
    one = cw.Volume(volume_id="vol-1")
    asked.script(GetVolume=[volume(VALIDATING), volume(state, state_reason="no claim")])
    with pytest.raises(exceptions.VolumeError, match="no claim") as raised:
        one.wait_until_ready()
    assert raised.value.volume_id == "vol-1"
    assert one.state_reason == "no claim"


def test_waiting_has_an_end(asked: Asked) -> None:
    one = cw.Volume(volume_id="vol-1")
    asked.script(GetVolume=[volume(VALIDATING)])
    with pytest.raises(exceptions.VolumeWaitTimeoutError, match=r"within 1\.5s") as raised:
        one.wait_until_ready(1.5)
    assert (raised.value.volume_id, raised.value.timeout) == ("vol-1", 1.5)
    assert all(sent.at + sent.timeout <= 1.5001 for sent in asked.service.sent)


def test_a_look_that_fails_at_the_end_and_one_that_is_too_late(asked: Asked) -> None:
    one = cw.Volume(volume_id="vol-1")

    async def slow(request: Any) -> Any:
        await asyncio.sleep(2.0)
        raise failure(Code.DEADLINE_EXCEEDED)

    async def late(request: Any) -> Any:
        await asyncio.sleep(2.0)
        return volume(READY)

    for reply in (slow, late):
        asked.script(GetVolume=[reply])
        with pytest.raises(exceptions.VolumeWaitTimeoutError):
            one.wait_until_ready(2.0)


@pytest.mark.parametrize("limit", [1.5, 60.0])
def test_a_service_that_cannot_be_reached_is_told_as_such(asked: Asked, limit: float) -> None:
    asked.script(GetVolume=[BUSY])
    with pytest.raises(exceptions.SandboxUnavailableError):
        cw.Volume(volume_id="vol-1").wait_until_ready(limit)
    assert asked.service.sent[-1].at <= min(limit, 30.0)


# ---- wrong arguments ----


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: cw.Volume.create("", pvc=PVC), ValueError, "volume_id"),
        (lambda: cw.Volume.create("v", pvc=SOURCE), TypeError, "PvcVolumeSource"),  # type: ignore[arg-type]
        (lambda: cw.Volume.get(""), ValueError, "volume_id"),
        (lambda: cw.Volume.list(states=["done"]), ValueError, "VolumeState"),
        (lambda: cw.Volume.list(states="ready"), TypeError, "states"),
        (lambda: cw.Volume.list(runner_ids="r-1"), TypeError, "runner_ids"),
        (lambda: cw.Volume(volume_id="v").wait_until_ready(0), ValueError, "timeout"),
        (lambda: cw.Volume(volume_id="v").wait_until_ready(math.nan), ValueError, "timeout"),
        (lambda: cw.Volume(volume_id="v").delete(force=1), TypeError, "force"),  # type: ignore[arg-type]
        (lambda: cw.Volume(volume_id="v").update(description=5), TypeError, "description"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_refused_at_the_call(call: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        call()
