"""Looking into a store, also while a batch writes it."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cwsandbox._batch.columns import COLUMNS, checked, damaged
from cwsandbox._batch.outcome import Summary
from cwsandbox._batch.store import APPLICATION_ID, VERSION
from cwsandbox._batch.verdict import Verdict
from cwsandbox.exceptions import BatchError

# What an exported outcome has.
FIELDS = tuple(name for name in COLUMNS if name != "job")


class Reader:
    """An open store. Nothing is locked, and nothing is written."""

    def __init__(self, path: Path) -> None:
        """``BatchError`` if there is no store, or none that this version knows."""
        self.path = path
        if not path.exists():
            raise BatchError(f"{path}: there is no such store")
        with self._told("opened"):
            self._database = sqlite3.connect(_address(path), uri=True)
            try:
                self._check()
            except BaseException:
                self._database.close()
                raise

    def _check(self) -> None:
        application = self._database.execute("PRAGMA application_id").fetchone()[0]
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            raise BatchError(f"{self.path} is no store of a batch")
        if version > VERSION:
            raise BatchError(f"{self.path} was written by a newer version of cwsandbox: update it")

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise BatchError(f"{self.path} cannot be {what}: {error}") from error

    def outcomes(
        self, verdicts: Collection[str] = (), key: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """The outcomes in the order of their keys, as values that JSON has: all, or those with one of the verdicts."""
        conditions, values = [], [*verdicts]
        if verdicts:
            conditions.append(f"verdict IN ({','.join('?' * len(verdicts))})")
        if key is not None:
            conditions.append("key = ?")
            values.append(key)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        with self._told("read"):
            rows = self._database.execute(
                f"SELECT {','.join(COLUMNS)} FROM outcomes{where} ORDER BY key", values
            )
            for row in rows:
                yield self._exported(checked(row, self.path))

    def _exported(self, row: dict[str, Any]) -> dict[str, Any]:
        found = {name: row[name] for name in FIELDS}
        for name in ("stdout", "stderr"):
            found[name] = None if found[name] is None else found[name].decode(errors="replace")
        try:
            found["metadata"] = json.loads(found["metadata"] or "{}")
        except ValueError as error:
            raise damaged(self.path, row["key"], f"its metadata is no JSON: {error}") from error
        return found

    def failed_attempts(self, key: str) -> list[tuple[int, str, str]]:
        """Number, verdict and reason of the tries of a job that others followed."""
        with self._told("read"):
            return self._database.execute(
                "SELECT attempt, verdict, error FROM failed_attempts WHERE key = ? ORDER BY attempt",
                (key,),
            ).fetchall()

    def artifacts(self, key: str) -> Iterator[tuple[str, bytes | None, str | None]]:
        """Path and content of a job's artifacts, or why there is no content."""
        with self._told("read"):
            yield from self._database.execute(
                "SELECT path, CAST(content AS BLOB), error FROM artifacts WHERE key = ? ORDER BY path",
                (key,),
            )

    def summary(self) -> Summary:
        """What all outcomes come to. ``seconds`` is from the first job's start to the last one's end."""
        with self._told("read"):
            counts = self._database.execute(
                "SELECT verdict, count(*) FROM outcomes GROUP BY verdict"
            ).fetchall()
            attempts, used, seconds = self._database.execute(
                "SELECT sum(attempts), sum(run_seconds), "
                "max(started_at + wait_seconds + run_seconds) - min(started_at) FROM outcomes"
            ).fetchone()
        by_name = dict(counts)
        verdicts = {one: by_name[one.value] for one in Verdict if one.value in by_name}
        return Summary(verdicts, sum(by_name.values()), attempts or 0, used or 0.0, seconds or 0.0)

    def close(self) -> None:
        self._database.close()


def _address(path: Path) -> str:
    """What SQLite opens it by."""
    place = os.path.realpath(path)
    # Not read-only: what a killed batch has left in the log belongs to it, too, and is put into the file.
    how = "mode=rw"
    if not os.path.exists(f"{place}-wal") and not os.access(os.path.dirname(place), os.W_OK):
        # Nor can the files be made that readers and writers share, but nobody writes here.
        how = "immutable=1"
    return f"file:{quote(place)}?{how}"
