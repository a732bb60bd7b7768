"""What a store keeps, and whom it refuses."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.small_disk import mounted
from cwsandbox import BatchError, Job, Outcome, ProcessResult, Verdict
from cwsandbox._batch.reader import Reader
from cwsandbox._batch.store import APPLICATION_ID, VERSION, Store

JOB = Job("a", ["true"], artifacts=["/tmp/a", "/tmp/b"], metadata={"n": 1})


def ended(job: Job = JOB, verdict: Verdict = Verdict.FAILED) -> Outcome:
    result = ProcessResult("out", "err", 3, b"out", b"err", ["true"], stdout_omitted_bytes=7)
    return Outcome(
        job,
        verdict,
        result,
        "why",
        2,
        "sb-1",
        10.5,
        0.25,
        1.5,
        artifacts={"/tmp/a": b"\0x"},
        missing_artifacts={"/tmp/b": "gone"},
    )


def test_an_outcome_comes_back_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.db")
    store.add(ended(), '{"n":1}')
    store.close()
    again = Store(tmp_path / "run.db")
    found = again.outcome(JOB)
    again.close()
    assert found is not None
    assert found.is_stored
    for name in Outcome.__dataclass_fields__:
        if name not in ("result", "is_stored"):
            assert getattr(found, name) == getattr(ended(), name), name
    assert found.result is not None
    assert found.result.stdout_bytes == b"out"
    assert found.result.stderr == "err"
    assert found.result.returncode == 3
    assert found.result.stdout_omitted_bytes == 7


def test_a_new_outcome_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.db")
    store.add(ended(), None)
    plain = Outcome(JOB, Verdict.OK, attempts=3)
    store.add(plain, None)
    found = store.outcome(JOB)
    store.close()
    assert found is not None
    assert (found.verdict, found.attempts, dict(found.artifacts)) == (Verdict.OK, 3, {})


def test_another_job_with_the_same_key_is_no_job_that_is_done(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.db")
    store.add(ended(), None)
    with pytest.raises(BatchError, match=r"'a'.*another job's"):
        store.outcome(Job("a", ["false"]))
    # What it is called for the program's own purposes changes nothing about a job.
    assert store.outcome(Job("a", ["true"], artifacts=["/tmp/a", "/tmp/b"])) is not None
    store.close()


def test_one_program_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    store = Store(path)
    script = (
        "import sys; from pathlib import Path; from cwsandbox._batch.store import Store\n"
        "Store(Path(sys.argv[1]))"
    )
    other = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, timeout=30
    )
    assert other.returncode == 1
    assert "is in use by another batch (process" in other.stderr
    with pytest.raises(BatchError, match="in use by another batch"):
        Store(path)
    store.close()
    Store(path).close()


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    Store(path).close()
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    with pytest.raises(BatchError, match="newer version of cwsandbox"):
        Store(path)


def test_what_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "run.jsonl"
    text.write_text('{"key": "a"}\n' * 100)
    with pytest.raises(BatchError, match=r"run\.jsonl cannot be opened: file is not a database"):
        Store(text)
    assert text.read_text() == '{"key": "a"}\n' * 100
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    before = other.read_bytes()
    with pytest.raises(BatchError, match="database of another program"):
        Store(other)
    assert other.read_bytes() == before


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="No such file or directory"):
        Store(tmp_path / "missing" / "run.db")


def test_a_database_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    Store(path).close()
    assert path.read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big")


def test_a_full_store_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.db")
    store.add(ended(), None)
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages + 2}")
    large = Outcome(
        Job("b", ["true"], artifacts=["/x"]), Verdict.OK, artifacts={"/x": b"x" * 100_000}
    )
    with pytest.raises(BatchError, match="cannot be written: database or disk is full"):
        store.add(large, None)
    assert store.outcome(large.job) is None
    assert store.outcome(JOB) is not None
    store.close()


OPEN = (
    "import sys; from pathlib import Path; from cwsandbox._batch.store import Store\n"
    "store = Store(Path(sys.argv[1]))\n"
    "print(store.id, flush=True)\n"
    "sys.stdin.readline()\n"
)


def test_one_program_at_a_time_by_whatever_name(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    (tmp_path / "link.db").symlink_to("run.db")
    (tmp_path / "folder").symlink_to(".")
    store = Store(path)
    for name in ("link.db", "folder/run.db", "folder/link.db"):
        with pytest.raises(BatchError, match="in use by another batch"):
            Store(tmp_path / name)
    store.close()
    store = Store(tmp_path / "link.db")
    with pytest.raises(BatchError, match="in use by another batch"):
        Store(path)
    store.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "folder",
        "link.db",
        "run.db",
        "run.db-lock",
    ]


def removed(path: Path) -> None:
    path.unlink()


def removed_with_all(path: Path) -> None:
    for one in path.parent.glob("run.db*"):
        one.unlink()


def moved(path: Path) -> None:
    path.rename(path.with_name("old.db"))


def replaced(path: Path) -> None:
    other = path.with_name("other.db")
    Store(other).close()
    other.rename(path)


def test_a_folder_that_no_longer_leads_to_the_store_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "stores"
    folder.mkdir()
    store = Store(folder / "run.db")
    folder.rename(tmp_path / "old")
    folder.write_bytes(b"")
    with pytest.raises(BatchError, match=r"run\.db was removed or replaced while the batch ran"):
        store.add(ended(), None)
    store.close()


@pytest.mark.parametrize("lose", [removed, removed_with_all, moved, replaced])
@pytest.mark.parametrize("job", [JOB, Job("plain", ["true"])], ids=["artifacts", "plain"])
def test_outcomes_that_would_not_be_found_again_are_told(
    tmp_path: Path, lose: Callable[[Path], None], job: Job
) -> None:
    path = tmp_path / "run.db"
    store = Store(path)
    store.add(ended(job), None)
    lose(path)
    with pytest.raises(BatchError, match=r"run\.db was removed or replaced while the batch ran"):
        store.add(ended(job), None)
    with pytest.raises(BatchError, match=r"run\.db was removed or replaced while the batch ran"):
        store.add_failed_attempt(ended(job))
    store.close()
    Store(path).close()  # the next batch begins anew, or with what took its place


def test_a_lock_whose_file_was_removed_is_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    store = Store(path)
    (tmp_path / "run.db-lock").unlink()
    store.add(ended(), None)
    with pytest.raises(BatchError, match="in use by another batch"):
        Store(path)
    store.close()
    Store(path).close()


def test_whoever_was_faster_then_has_the_store_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    store = Store(path)
    (tmp_path / "run.db-lock").unlink()
    with subprocess.Popen(
        [sys.executable, "-c", OPEN, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == f"{store.id}\n"
        with pytest.raises(BatchError, match=rf"in use by another batch \(process {other.pid}\)"):
            store.add(ended(), None)
        store.close()
        with pytest.raises(BatchError, match=rf"in use by another batch \(process {other.pid}\)"):
            Store(path)
        other.communicate("\n", timeout=30)


@pytest.mark.parametrize("is_killed", [False, True])
def test_what_cannot_be_written_can_be_read(tmp_path: Path, is_killed: bool) -> None:
    with mounted(tmp_path / "disk", "8m") as folder:
        store = Store(folder / "run.db")
        store.add(ended(), None)
        if is_killed:
            # As a program leaves it that is killed: with a log.
            copy = folder / "copy.db"
            for end in ("", "-wal", "-shm"):
                shutil.copy(f"{store._place}{end}", f"{copy}{end}")
        store.close()
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        path = folder / ("copy.db" if is_killed else "run.db")
        reader = Reader(path)
        assert [one["key"] for one in reader.outcomes()] == ["a"]
        assert [path for path, *_ in reader.artifacts("a")] == ["/tmp/a", "/tmp/b"]
        reader.close()
        with pytest.raises(BatchError, match="Read-only file system"):
            Store(path)
