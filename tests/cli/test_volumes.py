"""`cwsandbox volumes`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from unittest.mock import MagicMock, patch

import pytest
from click.testing import Result

from cwsandbox import PvcVolumeSource, Volume, VolumeState

Invoke = Callable[..., Result]


def one() -> Volume:
    pvc = PvcVolumeSource(runner_id="r-1", namespace="team", claim_name="claim")
    return Volume(
        volume_id="vol-1",
        pvc=pvc,
        state=VolumeState.READY,
        capacity="10Gi",
        attached_sandbox_count=2,
        created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        access_modes=("ReadWriteMany",),
    )


@pytest.fixture
def volumes() -> Iterator[MagicMock]:
    with patch("cwsandbox.cli.volumes.Volume") as found:
        found.get.return_value.result.return_value = one()
        found.list.return_value.result.return_value = [one(), Volume(volume_id="vol-2")]
        yield found


def test_the_table(invoke: Invoke, volumes: MagicMock) -> None:
    lines = invoke("volumes", "list").output.splitlines()
    assert [" ".join(line.split()) for line in lines[2:]] == [
        "vol-1 ready r-1 team/claim 10.0 GiB 2 2026-01-02 03:04:05 UTC",
        "vol-2 unspecified - - - 0 -",
    ]
    assert invoke("volumes", "get", "vol-1").output.splitlines() == lines[:3]


@pytest.mark.parametrize(
    ("capacity", "cell"),
    [
        ("105087164416", "97.9 GiB"),
        ("1500M", "1.4 GiB"),
        ("512Ki", "512.0 KiB"),
        ("20Ti", "20.0 TiB"),
        ("0", "0 B"),
        ("plenty", "plenty"),
    ],
)
def test_capacity_is_told_as_everywhere(
    invoke: Invoke, volumes: MagicMock, capacity: str, cell: str
) -> None:
    volumes.get.return_value.result.return_value = Volume(volume_id="vol-1", capacity=capacity)
    head, _, row = invoke("volumes", "get", "vol-1").output.splitlines()
    assert f"vol-1 unspecified - - {cell} 0 -" == " ".join(row.split())
    assert row.index(cell) + len(cell) == head.index("CAPACITY") + len("CAPACITY")
    told = json.loads(invoke("volumes", "get", "vol-1", "-o", "json").output)
    assert told["capacity"] == capacity


def test_filters(invoke: Invoke, volumes: MagicMock) -> None:
    invoke("volumes", "list", "-s", "READY", "-s", "error", "-T", "r-1", "-t", "5")
    volumes.list.assert_called_once_with(
        states=("ready", "error"), runner_ids=("r-1",), timeout_seconds=5.0
    )
    volumes.list.return_value.result.return_value = []
    assert invoke("volumes", "list").output == "No volumes found.\n"
    assert invoke("volumes", "list", "-o", "json").output == "[]\n"


def test_json(invoke: Invoke, volumes: MagicMock) -> None:
    found = json.loads(invoke("volumes", "get", "vol-1", "-o", "json").output)
    assert found["pvc"] == {
        "runner_id": "r-1",
        "namespace": "team",
        "claim_name": "claim",
        "sub_path": None,
    }
    assert (found["state"], found["access_modes"]) == ("ready", ["ReadWriteMany"])
    assert found["created_at"] == "2026-01-02T03:04:05+00:00"
    assert not [name for name in found if name.startswith("_")]
    listed = json.loads(invoke("volumes", "list", "-o", "json").output)
    assert listed[0] == found
    assert listed[1]["pvc"] is None


def test_create_waits_unless_told_otherwise(invoke: Invoke, volumes: MagicMock) -> None:
    volume = MagicMock(wraps=one(), **vars(one()))
    volumes.create.return_value.result.return_value = volume
    words = ["vol-1", "--runner-id", "r-1", "--namespace", "team", "--claim", "claim"]
    invoke("volumes", "create", *words, "--read-only", "--wait-timeout", "7", "-t", "5")
    volume.wait_until_ready.assert_called_once_with(7.0, timeout_seconds=5.0)
    given = volumes.create.call_args
    assert given.args == ("vol-1",)
    assert vars(given.kwargs.pop("pvc")) == vars(one().pvc)
    assert given.kwargs == {"read_only": True, "description": "", "timeout_seconds": 5.0}
    invoke("volumes", "create", *words, "--no-wait")
    volume.wait_until_ready.assert_called_once()
    assert invoke("volumes", "create", "vol-1").exit_code == 2


def test_the_others(invoke: Invoke, volumes: MagicMock) -> None:
    volume = volumes.return_value
    for asked in (volume.update, volume.validate):
        asked.return_value.result.return_value = one()
    assert "vol-1" in invoke("volumes", "update", "vol-1", "--description", "new").output
    volume.update.assert_called_once_with(description="new")
    assert "vol-1" in invoke("volumes", "validate", "vol-1", "-t", "5").output
    volumes.assert_called_with(volume_id="vol-1", timeout_seconds=5.0)
    assert invoke("volumes", "delete", "vol-1", "--force").output == "Deleted vol-1.\n"
    assert invoke("volumes", "delete", "vol-1", "--missing-ok", "-q").output == ""
    assert [one.kwargs for one in volume.delete.call_args_list] == [
        {"allow_missing": False, "force": True},
        {"allow_missing": True, "force": False},
    ]
