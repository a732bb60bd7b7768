"""Looking into a store, also while a batch writes it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cwsandbox._batch.outcome import Summary
from cwsandbox._batch.store import APPLICATION_ID, VERSION
from cwsandbox._batch.verdict import Verdict
from cwsandbox.exceptions import BatchError

# What an exported outcome has.
FIELDS = (
    "key",
    "verdict",
    "returncode",
    "error",
    "attempts",
    "sandbox_id",
    "started_at",
    "wait_seconds",
    "run_seconds",
    "stdout",
    "stderr",
    "stdout_omitted_bytes",
    "stderr_omitted_bytes",
    "metadata",
)


class Reader:
    """An open store. Nothing is locked, and nothing is written."""

    def __init__(self, path: Path) -> None:
        """``BatchError`` if there is no store, or none that this version knows."""
        self.path = path
        if not path.exists():
            raise BatchError(f"{path}: there is no such store")
        try:
            # Not read-only: what a killed batch has left in the log belongs to it, too, and is put into the file.
            self._database = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)
        except sqlite3.Error as error:
            raise BatchError(f"{path} cannot be opened: {error}") from error
        try:
            self._check()
        except BaseException:
            self._database.close()
            raise

    def _check(self) -> None:
        try:
            application = self._database.execute("PRAGMA application_id").fetchone()[0]
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error as error:
            raise BatchError(f"{self.path} cannot be opened: {error}") from error
        if application != APPLICATION_ID:
            raise BatchError(f"{self.path} is no store of a batch")
        if version > VERSION:
            raise BatchError(f"{self.path} was written by a newer version of cwsandbox: update it")

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
        rows = self._database.execute(
            f"SELECT {','.join(FIELDS)} FROM outcomes{where} ORDER BY key", values
        )
        for row in rows:
            found = dict(zip(FIELDS, row, strict=True))
            for name in ("stdout", "stderr"):
                found[name] = None if found[name] is None else found[name].decode(errors="replace")
            found["metadata"] = json.loads(found["metadata"] or "{}")
            yield found

    def failed_attempts(self, key: str) -> list[tuple[int, str, str]]:
        """Number, verdict and reason of the tries of a job that others followed."""
        return self._database.execute(
            "SELECT attempt, verdict, error FROM failed_attempts WHERE key = ? ORDER BY attempt",
            (key,),
        ).fetchall()

    def artifacts(self, key: str) -> Iterator[tuple[str, bytes | None, str | None]]:
        """Path and content of a job's artifacts, or why there is no content."""
        yield from self._database.execute(
            "SELECT path, content, error FROM artifacts WHERE key = ? ORDER BY path", (key,)
        )

    def summary(self) -> Summary:
        """What all outcomes come to. ``seconds`` is from the first job's start to the last one's end."""
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
