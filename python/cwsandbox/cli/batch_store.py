"""``cwsandbox batch show`` and ``export``: what a store has."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from unicodedata import combining, east_asian_width
from urllib.parse import quote

import click

from cwsandbox import Summary, Verdict
from cwsandbox._batch.reader import FIELDS, Reader
from cwsandbox._service.errors import printable
from cwsandbox.cli.values import output_option

_store = click.argument("store", type=click.Path(dir_okay=False, path_type=Path))
_verdicts = click.option(
    "--verdict",
    "verdicts",
    type=click.Choice([one.value for one in Verdict]),
    multiple=True,
    help="Only those with this verdict; repeatable.",
)
_ERROR_SHOWN = 60
_KEY_WIDTH = 32
# File systems take 255 bytes.
_NAME_MAX = 200


@click.command("show")
@_store
@click.argument("key", required=False)
@_verdicts
@click.option(
    "--price-per-hour", type=click.FloatRange(min=0), help="Of one sandbox, for the cost."
)
@output_option
def show(
    store: Path,
    key: str | None,
    verdicts: tuple[str, ...],
    price_per_hour: float | None,
    output_format: str,
) -> None:
    """List the outcomes in STORE, and what they come to. With a KEY: all about that job, with its output."""
    with closing(Reader(store)) as reader:
        if key is not None:
            # As it was typed, whatever the locale makes of that.
            _show_one(reader, os.fsencode(key).decode(errors="replace"), output_format)
        elif output_format == "json":
            for outcome in reader.outcomes(verdicts):
                click.echo(json.dumps(outcome))
        else:
            _show_table(reader, verdicts)
            click.echo(told(reader.summary(), price_per_hour))


@click.command("export")
@_store
@click.option("--csv", "form", flag_value="csv", help="With a line of names first.")
@click.option("--jsonl", "form", flag_value="jsonl", help="One JSON object a line. The default.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: stdout.")
@click.option(
    "--artifacts",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the jobs' artifacts into this folder, in one folder for each job.",
)
@_verdicts
def export(
    store: Path,
    form: str | None,
    output: Path | None,
    artifacts: Path | None,
    verdicts: tuple[str, ...],
) -> None:
    """Print the outcomes in STORE for programs: verdict, exit code, output, times and metadata of each job."""
    if output is not None and _is_of(output, store):
        raise click.UsageError(f"--output {output} would overwrite the store.")
    with closing(Reader(store)) as reader, _opened(output) as file:
        writer = csv.writer(file)
        if form == "csv":
            writer.writerow(FIELDS)
        for outcome in reader.outcomes(verdicts):
            if form == "csv":
                writer.writerow(_cells(outcome))
            else:
                file.write(json.dumps(outcome) + "\n")
            if artifacts is not None:
                _write_artifacts(reader, outcome["key"], artifacts)


def told(summary: Summary, price_per_hour: float | None) -> str:
    """A summary in a line."""
    text = (
        f"{summary}; {summary.sandbox_seconds:.1f} s in sandboxes, {summary.seconds:.1f} s in all"
    )
    return text if price_per_hour is None else f"{text}; cost {summary.cost(price_per_hour):.2f}"


def _show_table(reader: Reader, verdicts: tuple[str, ...]) -> None:
    click.echo(f"{_padded('KEY')} {'VERDICT':<14} {'CODE':>5} {'TRIES':>5} {'SECONDS':>9}  ERROR")
    for one in reader.outcomes(verdicts):
        code = "-" if one["returncode"] in (None, -1) else one["returncode"]
        click.echo(
            f"{_padded(printable(one['key']))} {one['verdict']:<14} {code:>5} {one['attempts']:>5} "
            f"{one['run_seconds']:>9.2f}  {printable(_short(one['error'] or ''))}".rstrip()
        )


def _padded(text: str) -> str:
    """A key to the width of its column on a terminal."""
    return text + " " * (_KEY_WIDTH - sum(map(_width, text)))


def _width(char: str) -> int:
    if combining(char):
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


def _show_one(reader: Reader, key: str, output_format: str) -> None:
    found = next(reader.outcomes(key=key), None)
    if found is None:
        raise click.ClickException(f"{reader.path} has no outcome with key {key!r}")
    if output_format == "json":
        click.echo(json.dumps(found, indent=2))
        return
    for name in FIELDS:
        if name not in ("stdout", "stderr"):
            _say(f"{name}: {_told_value(name, found[name])}")
    for number, verdict, error in reader.failed_attempts(key):
        _say(f"attempt {number}: {verdict}: {error}")
    for path, content, why in reader.artifacts(key):
        _say(f"artifact {path}: {why if content is None else f'{len(content)} bytes'}")
    for name in ("stdout", "stderr"):
        if found[name]:
            click.echo(f"--- {name}\n{found[name]}", nl=not found[name].endswith("\n"))


def _say(text: str) -> None:
    for line in text.splitlines():
        click.echo(printable(line))


def _told_value(name: str, value: Any) -> str:
    if name == "started_at":
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")
    if name == "metadata":
        return json.dumps(value)
    return f"{value:.2f}" if isinstance(value, float) else "-" if value is None else str(value)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _ERROR_SHOWN else f"{line[: _ERROR_SHOWN - 1]}…"


def _cells(outcome: dict[str, Any]) -> list[Any]:
    return [json.dumps(value) if name == "metadata" else value for name, value in outcome.items()]


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[str]]:
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", newline="")  # for programs, not for a terminal
        yield sys.stdout
        return
    with output.open("w", encoding="utf-8", newline="") as file:
        yield file


def _is_of(path: Path, store: Path) -> bool:
    """Whether a path leads to the store or to one of the files beside it."""
    place = os.path.realpath(store)
    return os.path.realpath(path) in (place, *(f"{place}-{end}" for end in ("lock", "shm", "wal")))


def _write_artifacts(reader: Reader, key: str, folder: Path) -> None:
    for path, content, _ in reader.artifacts(key):
        if content is not None:
            target = folder / _name(key) / _name(path.lstrip("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def _name(text: str) -> str:
    """A file name for any text, its own: nothing in a key or path leads out of the folder."""
    name = quote(text, safe="")
    if len(name) > _NAME_MAX:
        digest = hashlib.sha256(text.encode()).hexdigest()
        return f"{name[: _NAME_MAX - 33]}-{digest[:32]}"
    return name.replace(".", "%2E") if name.strip(".") == "" else name
