"""The columns of a store's table ``outcomes``, and what each of them can have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from cwsandbox._batch.verdict import Verdict
from cwsandbox._types import check
from cwsandbox.exceptions import BatchError

_NUMBER = (int, float)
_COUNT = (int, NoneType)
_TEXT = (str, NoneType)
_BYTES = (bytes, NoneType)
_TYPES: dict[str, tuple[type, ...]] = {
    "key": (str,),
    "verdict": (str,),
    "returncode": _COUNT,
    "error": _TEXT,
    "attempts": (int,),
    "sandbox_id": _TEXT,
    "started_at": _NUMBER,
    "wait_seconds": _NUMBER,
    "run_seconds": _NUMBER,
    "stdout": _BYTES,
    "stderr": _BYTES,
    "stdout_omitted_bytes": _COUNT,
    "stderr_omitted_bytes": _COUNT,
    "job": (str,),
    "metadata": _TEXT,
}
COLUMNS = tuple(_TYPES)
_VERDICTS = frozenset(Verdict)


def checked(row: Sequence[Any], path: Path) -> dict[str, Any]:
    """The values of a row by their columns. ``BatchError`` if a batch cannot have written one of them."""
    values = dict(zip(COLUMNS, row, strict=True))
    for name, value in values.items():
        if not isinstance(value, _TYPES[name]) or (name == "verdict" and value not in _VERDICTS):
            raise damaged(path, values["key"], f"its {name} is {check.shown(value)}")
    return values


def damaged(path: Path, key: object, why: str) -> BatchError:
    """For a row that no batch has written like that."""
    return BatchError(f"{path}: the outcome with key {check.shown(key)} is damaged: {why}")
