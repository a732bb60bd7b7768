"""Jobs from a file of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from cwsandbox._batch.job import Job
from cwsandbox._types import check

_FIELDS = tuple(one.name for one in fields(Job))


def read(path: Path, options: Mapping[str, Any]) -> Iterator[Job]:
    """The jobs of a file, one for each line that is not empty; ``ValueError`` names line and rule.

    ``options`` are those of ``Sandbox(...)`` that all jobs have beside their own.
    A line is an object with the fields of ``Job``. ``stdin`` is text; content of ``files`` is text or
    ``{"path": …}``, a local file, named as seen from the folder of the jobs' file.
    """
    return (job for _, job in _numbered(path, options))


def count(path: Path, options: Mapping[str, Any], *, needs_files: bool) -> int:
    """How many jobs a file has, once all are known to be right and to have keys of their own.

    With ``needs_files`` the local files must be there. Those of jobs that have an outcome may be gone.
    """
    lines: dict[str, int] = {}
    for number, job in _numbered(path, options):
        if needs_files:
            _check_files(f"{path}:{number}", job)
        if job.key in lines:
            raise ValueError(
                f"{path}:{number}: the key {job.key!r} is that of line {lines[job.key]}: each job needs its own"
            )
        lines[job.key] = number
    return len(lines)


def _numbered(path: Path, options: Mapping[str, Any]) -> Iterator[tuple[int, Job]]:
    from cwsandbox._sandbox.sandbox import Sandbox

    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    job = _job(line, path.parent)
                    if job.sandbox:
                        Sandbox(**{**options, **job.options()})  # which sends nothing
                except (TypeError, ValueError, RecursionError) as error:
                    raise ValueError(f"{path}:{number}: {_reason(error)}") from error
                yield number, job


def _check_files(place: str, job: Job) -> None:
    for name, content in job.files.items():
        if isinstance(content, Path) and not content.is_file():
            raise ValueError(f"{place}: files[{name!r}]: there is no file {content}")


def _job(line: bytes, folder: Path) -> Job:
    given = json.loads(line)
    if not isinstance(given, dict):
        raise TypeError(f"a job must be a JSON object, got {check.shown(given)}")
    check.keys(given, _FIELDS, "unknown fields")
    for name in ("key", "command"):
        if name not in given:
            raise ValueError(f"the field {name!r} is missing")
    for name in ("sandbox", "metadata", "files"):
        if name in given and not isinstance(given[name], dict):
            raise TypeError(f"{name} must be an object, got {check.shown(given[name])}")
    if given.get("stdin") is not None:
        if not isinstance(given["stdin"], str):
            raise TypeError(f"stdin must be text, got {check.shown(given['stdin'])}")
        given["stdin"] = check.encoded(given["stdin"], "stdin")
    if "files" in given:
        given["files"] = {
            name: _content(name, content, folder) for name, content in given["files"].items()
        }
    return Job(**given)


def _content(name: str, content: Any, folder: Path) -> bytes | Path:
    if isinstance(content, str):
        return check.encoded(content, f"files[{name!r}]")
    if isinstance(content, dict) and set(content) == {"path"} and isinstance(content["path"], str):
        return folder / content["path"]
    raise TypeError(
        f"files[{name!r}] must be text or an object with a 'path', got {check.shown(content)}"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} (column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8 text"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)
