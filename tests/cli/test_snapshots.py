"""`cwsandbox snapshots`, and `cwsandbox stop --snapshot-on-stop`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import MagicMock, patch

import pytest
from click.testing import Result

from cli.program import Program, assert_one_line_error
from cwsandbox import (
    FileSystemSnapshot,
    FileSystemSnapshotStatus,
    FileSystemSnapshotTrigger,
    Sandbox,
)

Invoke = Callable[..., Result]

ONE = FileSystemSnapshot(
    file_system_snapshot_id="fss-1",
    status=FileSystemSnapshotStatus.READY,
    size_bytes=1234,
    source_sandbox_id="sb-1",
    trigger=FileSystemSnapshotTrigger.MANUAL,
    created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)
BARE = FileSystemSnapshot(file_system_snapshot_id="fss-2", status=FileSystemSnapshotStatus.FAILED)


@pytest.fixture
def snapshots() -> Iterator[MagicMock]:
    with patch("cwsandbox.cli.snapshots.Sandbox") as found:
        found.get_snapshot.return_value.result.return_value = ONE
        found.list_snapshots.return_value.result.return_value = [ONE, BARE]
        found.from_id.return_value.result.return_value.snapshot.return_value.result.return_value = (
            "fss-1"
        )
        yield found


def test_the_table(invoke: Invoke, snapshots: MagicMock) -> None:
    lines = invoke("snapshots", "list").output.splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "SNAPSHOT ID STATUS SOURCE SANDBOX TRIGGER SIZE CREATED AT",
        " ".join("-" * width for width in (40, 10, 40, 10, 12, 24)),
        "fss-1 ready sb-1 manual 1234 2026-01-02 03:04:05 UTC",
        "fss-2 failed - unspecified 0 -",
    ]
    assert lines[0].index("SIZE") + 4 == lines[2].index("1234") + 4
    assert invoke("snapshots", "get", "fss-1").output.splitlines() == lines[:3]


def test_filters(invoke: Invoke, snapshots: MagicMock) -> None:
    invoke("snapshots", "list", "--source-sandbox-id", "sb-1", "-s", "READY", "-t", "5")
    snapshots.list_snapshots.assert_called_once_with(
        source_sandbox_id="sb-1", status="ready", timeout_seconds=5.0
    )
    snapshots.list_snapshots.return_value.result.return_value = []
    assert invoke("snapshots", "list").output == "No snapshots found.\n"
    assert invoke("snapshots", "list", "-s", "unspecified").exit_code == 2


def test_json(invoke: Invoke, snapshots: MagicMock) -> None:
    first, second = json.loads(invoke("snapshots", "list", "-o", "json").output)
    assert list(first) == list(FileSystemSnapshot.__dataclass_fields__)
    assert (first["status"], first["trigger"], first["size_bytes"]) == ("ready", "manual", 1234)
    assert first["created_at"] == "2026-01-02T03:04:05+00:00"
    assert (second["created_at"], second["status_reason"]) == (None, "")
    assert json.loads(invoke("snapshots", "get", "fss-1", "-o", "json").output) == first


@pytest.mark.parametrize(
    ("words", "wait", "key"),
    [([], True, None), (["--no-wait", "--request-id", "k"], False, "k")],
)
def test_create(
    invoke: Invoke, snapshots: MagicMock, words: list[str], wait: bool, key: str | None
) -> None:
    assert invoke("snapshots", "create", "sb-1", "-t", "3", *words).output == "fss-1\n"
    snapshots.from_id.assert_called_once_with("sb-1", timeout_seconds=3.0)
    made = snapshots.from_id.return_value.result.return_value.snapshot
    made.assert_called_once_with(wait_for_ready=wait, request_id=key)
    printed = json.loads(invoke("snapshots", "create", "sb-1", "-o", "json").output)
    assert printed == {"file_system_snapshot_id": "fss-1"}


def test_delete(invoke: Invoke, snapshots: MagicMock) -> None:
    assert invoke("snapshots", "delete", "fss-1").output == "Deleted fss-1.\n"
    assert invoke("snapshots", "delete", "fss-1", "-q", "--missing-ok").output == ""
    given: Any = snapshots.delete_snapshot.call_args
    assert given.kwargs == {"timeout_seconds": None, "missing_ok": True}


# ---- stop ----


@pytest.mark.parametrize("words", [["--no-wait-for-snapshot"], ["--request-id", "k"]])
def test_options_that_need_the_snapshot(invoke: Invoke, words: list[str]) -> None:
    with patch("cwsandbox.cli.stop.Sandbox") as found:
        refused = invoke("stop", "sb-1", *words)
    assert refused.exit_code == 2
    assert words[0] in refused.output
    assert "--snapshot-on-stop" in refused.output
    found.from_id.assert_not_called()


def test_what_stop_passes_on(invoke: Invoke) -> None:
    with patch("cwsandbox.cli.stop.Sandbox") as found:
        sandbox = found.from_id.return_value.result.return_value
        sandbox.file_system_snapshot_id = "fss-9"
        words = ["--snapshot-on-stop", "--no-wait-for-snapshot", "--request-id", "k"]
        said = invoke("stop", "sb-1", *words).output
    assert said == "Stopped sandbox sb-1. Snapshot fss-9.\n"
    sandbox.stop.assert_called_once_with(
        snapshot_on_stop=True,
        graceful_shutdown_seconds=10.0,
        missing_ok=False,
        wait_for_ready=False,
        request_id="k",
    )


# ---- with a daemon ----


def test_the_program(program: Program, base_url: str) -> None:
    volume = {"name": "data", "mount_path": "/data"}
    with Sandbox.run(volumes=[volume]) as sandbox:
        sandbox.exec(["/bin/sh", "-c", "echo kept > /data/file"], check=True).result()
        made = program.run("snapshots", "create", str(sandbox.sandbox_id)).stdout.decode().strip()
        stopped = program.run("stop", str(sandbox.sandbox_id), "--snapshot-on-stop")
    last = stopped.stdout.decode().rpartition(" Snapshot ")[2].strip().rstrip(".")
    source = ["--source-sandbox-id", str(sandbox.sandbox_id)]
    listed = json.loads(program.run("snapshots", "list", *source, "-o", "json").stdout)
    assert {(one["file_system_snapshot_id"], one["trigger"]) for one in listed} == {
        (made, "manual"),
        (last, "on_delete"),
    }
    for snapshot_id in (made, last):
        restored = {"mount_path": "/w", "file_system_snapshot_id": snapshot_id}
        with Sandbox.run(file_system_snapshot=restored) as copy:
            assert copy.exec(["cat", "/w/file"]).result().stdout == "kept\n"
        program.run("snapshots", "delete", snapshot_id)
    refused = program.run("snapshots", "get", made)
    assert_one_line_error(refused, made)
