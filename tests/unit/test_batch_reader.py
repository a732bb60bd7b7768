"""What is read of a store that no batch has written, or that was damaged since."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cwsandbox import BatchError, Job, Outcome, ProcessResult, Verdict
from cwsandbox._batch.reader import Reader
from cwsandbox._batch.store import Store

JOB = Job("a", ["true"], artifacts=["/x"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of one outcome, closed."""
    place = tmp_path / "run.db"
    store = Store(place)
    result = ProcessResult("out", "err", 3, b"out", b"err", ["true"])
    store.add(Outcome(JOB, Verdict.FAILED, result, artifacts={"/x": b"x"}), '{"n": 1}')
    store.close()
    return place


def change(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path)
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


def read_all(path: Path) -> None:
    """All that can be asked of a store."""
    reader = Reader(path)
    try:
        for outcome in reader.outcomes():
            json.dumps(outcome)
            reader.failed_attempts(outcome["key"])
            for _, content, _ in reader.artifacts(outcome["key"]):
                assert content is None or isinstance(content, bytes)
        reader.summary()
    finally:
        reader.close()


def write(path: Path) -> None:
    """What the next run of the batch asks."""
    store = Store(path)
    try:
        store.outcome(JOB)
        store.attempts("a")
        store.add(Outcome(JOB, Verdict.OK), None)
        store.add_failed_attempt(Outcome(JOB, Verdict.SANDBOX_LOST))
    finally:
        store.close()


@pytest.mark.parametrize("use", [read_all, write])
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE outcomes SET verdict = 'strange'", "key 'a' is damaged: its verdict is 'strange'"),
        ("UPDATE outcomes SET stdout = 'text'", "key 'a' is damaged: its stdout is 'text'"),
        ("UPDATE outcomes SET returncode = x'00'", "key 'a' is damaged: its returncode is"),
        ("UPDATE outcomes SET started_at = 'x'", "key 'a' is damaged: its started_at is 'x'"),
        ("UPDATE outcomes SET attempts = 'x'", "key 'a' is damaged: its attempts is 'x'"),
        ("UPDATE outcomes SET error = CAST(x'ff' AS TEXT)", "cannot be read: Could not decode"),
        ("DROP TABLE outcomes", "cannot be (read|opened): no such table: outcomes"),
        ("DROP TABLE artifacts", "cannot be read: no such table: artifacts"),
        ("DROP TABLE failed_attempts", "cannot be (read|opened): no such table: failed_attempts"),
        ("ALTER TABLE outcomes DROP COLUMN stderr", "cannot be read: no such column: stderr"),
    ],
)
def test_damage_is_named_with_the_store(
    path: Path, use: Callable[[Path], None], statement: str, told: str
) -> None:
    change(path, statement)
    with pytest.raises(BatchError, match=rf"run\.db.* {told}"):
        use(path)


def test_metadata_that_is_no_json(path: Path) -> None:
    change(path, "UPDATE outcomes SET metadata = '{'")
    with pytest.raises(BatchError, match=r"run\.db: .*key 'a' is damaged: its metadata is no JSON"):
        read_all(path)


def test_a_store_without_its_id(path: Path) -> None:
    change(path, "DELETE FROM batch")
    with pytest.raises(BatchError, match=r"run\.db is damaged: the batch's id is missing"):
        Store(path)
    read_all(path)


@pytest.mark.parametrize("at", range(1, 8))
def test_a_page_of_noise(path: Path, at: int) -> None:
    """Wherever it is, something is told, or it was a page that nothing is read of."""
    content = bytearray(path.read_bytes())
    content[at * 4096 : (at + 1) * 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    for use in (read_all, write):
        told = "run.db"
        try:
            use(path)
        except BatchError as error:
            told = str(error)
        assert "run.db" in told


@pytest.mark.parametrize("length", [0, 1, 50, 100, 4000, 4096, 5000, 9000])
def test_a_store_that_was_cut_off(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(BatchError, match=r"run\.db"):
        read_all(path)
