"""Where outcomes are kept: one SQLite database for each batch, which one program writes at a time.

A job is done if, and only if, it has a row in ``outcomes``. The row, its output and its artifacts come in one
transaction.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cwsandbox._batch.columns import COLUMNS, checked
from cwsandbox._batch.job import Job
from cwsandbox._batch.lock import Lock, identity
from cwsandbox._batch.outcome import Outcome
from cwsandbox._batch.verdict import Verdict
from cwsandbox._runtime import life
from cwsandbox._types.result import ProcessResult
from cwsandbox.exceptions import BatchError

# "cwsb": what `file` and this module know such a database by.
APPLICATION_ID = 0x63777362
VERSION = 1
_SCHEMA = """
CREATE TABLE batch (id TEXT NOT NULL, is_running INTEGER NOT NULL);
CREATE TABLE outcomes (
    key TEXT PRIMARY KEY,
    verdict TEXT NOT NULL,
    returncode INTEGER,
    error TEXT,
    attempts INTEGER NOT NULL,
    sandbox_id TEXT,
    started_at REAL NOT NULL,
    wait_seconds REAL NOT NULL,
    run_seconds REAL NOT NULL,
    stdout BLOB,
    stderr BLOB,
    stdout_omitted_bytes INTEGER,
    stderr_omitted_bytes INTEGER,
    job TEXT NOT NULL,
    metadata TEXT
);
CREATE TABLE artifacts (
    key TEXT NOT NULL,
    path TEXT NOT NULL,
    content BLOB,
    error TEXT,
    PRIMARY KEY (key, path)
);
CREATE TABLE failed_attempts (
    key TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    error TEXT,
    sandbox_id TEXT,
    started_at REAL NOT NULL,
    run_seconds REAL NOT NULL,
    PRIMARY KEY (key, attempt)
);
"""
_INSERT = "INSERT OR REPLACE INTO outcomes VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_SELECT = f"SELECT {','.join(COLUMNS)} FROM outcomes WHERE key = ?"

_open: weakref.WeakSet[Store] = weakref.WeakSet()


class Store:
    """An open store. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open the store for writing, and make it if there is none. ``BatchError`` tells why it cannot be used."""
        self.path = path
        # By whatever name two programs call it, it is one store.
        self._place = os.path.realpath(path)
        self._lock = Lock(self._place, path)
        try:
            with self._told("opened"):
                self._database = sqlite3.connect(
                    self._place, isolation_level=None, check_same_thread=False
                )
                try:
                    self._prepare()
                    self._file = identity(self._place)
                except BaseException:
                    self._database.close()
                    raise
            _open.add(self)
        except BaseException:
            self._lock.close()
            raise

    def _prepare(self) -> None:
        database = self._database
        # Found before anything is written to a file that may be somebody else's.
        is_new = _check(database, self.path)
        database.execute("PRAGMA journal_mode = WAL")
        # A crash of the program loses nothing. One of the machine may lose the last outcomes, but never a part of one.
        database.execute("PRAGMA synchronous = NORMAL")
        if is_new:
            with self._transaction():
                for statement in _SCHEMA.split(";\n"):
                    database.execute(statement)
                database.execute("INSERT INTO batch VALUES (?, 0)", (uuid.uuid4().hex,))
                database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                database.execute(f"PRAGMA user_version = {VERSION}")
        found = database.execute("SELECT id, is_running FROM batch").fetchone()
        if found is None:
            raise BatchError(f"{self.path} is damaged: the batch's id is missing")
        self.id = str(found[0])
        # The program was killed that had it last, and may have left sandboxes.
        self.was_left = bool(found[1])
        database.execute("UPDATE batch SET is_running = 1")
        # Then nothing need be looked up in it.
        self.is_new = not database.execute(
            "SELECT EXISTS (SELECT 1 FROM outcomes) OR EXISTS (SELECT 1 FROM failed_attempts)"
        ).fetchone()[0]

    def outcome(self, job: Job) -> Outcome | None:
        """What became of a job. ``BatchError`` if its key was another job's."""
        with self._told("read"):
            row = self._database.execute(_SELECT, (job.key,)).fetchone()
            if row is None:
                return None
            values = checked(row, self.path)
            if values["job"] != job.description():
                raise BatchError(
                    f"{self.path}: the outcome with key {job.key!r} is another job's: {values['job']}; this one is "
                    f"{job.description()}. Give it another key, or another store."
                )
            found = _outcome_of(values, job)
            if not job.artifacts:
                return found
            return _with_artifacts(found, self._database)

    def attempts(self, key: str) -> int:
        """How often a job was tried so far."""
        with self._told("read"):
            row = self._database.execute(
                "SELECT max(attempt) FROM (SELECT attempt FROM failed_attempts WHERE key = :key "
                "UNION ALL SELECT attempts FROM outcomes WHERE key = :key)",
                {"key": key},
            ).fetchone()
            return int(row[0] or 0)

    def add(self, outcome: Outcome, metadata: str | None) -> None:
        """Keep an outcome: the job is done then."""
        if not outcome.job.artifacts:
            try:
                self._database.execute(_INSERT, _row(outcome, metadata))
            except sqlite3.Error as error:
                raise _failure(self.path, "written", error) from error
        else:
            with self._told("written"), self._transaction():
                self._database.execute(_INSERT, _row(outcome, metadata))
                self._database.execute("DELETE FROM artifacts WHERE key = ?", (outcome.job.key,))
                self._database.executemany(
                    "INSERT INTO artifacts VALUES (?,?,?,?)", _artifact_rows(outcome)
                )
        self._check_place()

    def add_failed_attempt(self, outcome: Outcome) -> None:
        """Keep a try that another one follows."""
        with self._told("written"):
            self._database.execute(
                "INSERT OR REPLACE INTO failed_attempts VALUES (?,?,?,?,?,?,?)",
                (
                    outcome.job.key,
                    outcome.attempts,
                    outcome.verdict.value,
                    outcome.error,
                    outcome.sandbox_id,
                    outcome.started_at,
                    outcome.run_seconds,
                ),
            )
        self._check_place()

    def _check_place(self) -> None:
        """What was written is where the next run looks for it, and no other program writes there."""
        if identity(self._place) != self._file:
            raise BatchError(
                f"{self.path} was removed or replaced while the batch ran: outcomes are not there any more"
            )
        self._lock.keep()

    def close(self) -> None:
        """Let another program have it."""
        try:
            with suppress(
                sqlite3.Error
            ):  # the next one looks for what was left, then, and finds nothing
                self._database.execute("UPDATE batch SET is_running = 0")
            self._database.close()
        finally:
            self._lock.close()

    def leave(self) -> None:
        """Leave it to the parent, in a child of ``fork()``, which would hold the lock as long as it lives."""
        self._lock.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._database.in_transaction:  # a full disk ends it by itself
                self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _failure(self.path, what, error) from error


def _check(database: sqlite3.Connection, path: Path) -> bool:
    """Whether the database is still empty. ``BatchError`` if it is another program's, or a newer version's."""
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if application == APPLICATION_ID:
        if version > VERSION:
            raise BatchError(
                f"{path} was written by a newer version of cwsandbox (its format is {version}, this one knows "
                f"{VERSION}): update cwsandbox, or take another store"
            )
        return False
    if (
        application
        or version
        or database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    ):
        raise BatchError(f"{path} is a database of another program: take another store")
    return True


def _failure(path: Path, what: str, error: sqlite3.Error) -> BatchError:
    return BatchError(f"{path} cannot be {what}: {error}")


def _row(outcome: Outcome, metadata: str | None) -> tuple[Any, ...]:
    result = outcome.result
    output: tuple[Any, ...] = (None, None, None, None)
    if result is not None:
        output = (
            result.stdout_bytes,
            result.stderr_bytes,
            result.stdout_omitted_bytes,
            result.stderr_omitted_bytes,
        )
    return (
        outcome.job.key,
        outcome.verdict.value,
        None if result is None else result.returncode,
        outcome.error,
        outcome.attempts,
        outcome.sandbox_id,
        outcome.started_at,
        outcome.wait_seconds,
        outcome.run_seconds,
        *output,
        outcome.job.description(),
        metadata,
    )


def _artifact_rows(outcome: Outcome) -> list[tuple[str, str, bytes | None, str | None]]:
    key = outcome.job.key
    taken = [(key, path, content, None) for path, content in outcome.artifacts.items()]
    return [*taken, *((key, path, None, why) for path, why in outcome.missing_artifacts.items())]


def _outcome_of(row: Mapping[str, Any], job: Job) -> Outcome:
    """The outcome that a row of ``outcomes`` tells of, without its artifacts."""
    result = None
    if row["returncode"] is not None:
        stdout, stderr = row["stdout"] or b"", row["stderr"] or b""
        result = ProcessResult(
            stdout.decode(errors="replace"),
            stderr.decode(errors="replace"),
            row["returncode"],
            stdout,
            stderr,
            list(job.command),
            stdout_omitted_bytes=row["stdout_omitted_bytes"] or 0,
            stderr_omitted_bytes=row["stderr_omitted_bytes"] or 0,
        )
    return Outcome(
        job,
        Verdict(row["verdict"]),
        result,
        row["error"],
        row["attempts"],
        row["sandbox_id"],
        row["started_at"],
        row["wait_seconds"],
        row["run_seconds"],
        is_stored=True,
    )


def _with_artifacts(outcome: Outcome, database: sqlite3.Connection) -> Outcome:
    from dataclasses import replace

    rows = database.execute(
        "SELECT path, content, error FROM artifacts WHERE key = ?", (outcome.job.key,)
    ).fetchall()
    return replace(
        outcome,
        artifacts={path: content for path, content, error in rows if error is None},
        missing_artifacts={path: error for path, _, error in rows if error is not None},
    )


def _forget() -> None:
    for store in _open:
        store.leave()
    _open.clear()


life.when_forked(_forget)
