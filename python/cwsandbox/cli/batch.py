"""``cwsandbox batch``: running a file of jobs."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import click

from cwsandbox import Batch, Limits, Retry, Summary, batch
from cwsandbox._batch import jobs_file
from cwsandbox._runtime import life
from cwsandbox.cli.batch_progress import showing
from cwsandbox.cli.batch_store import export, show, told
from cwsandbox.cli.values import SECONDS

# What the program ends with where no error has ended it.
NOT_ALL_OK = 3
INFRA = 4
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_COUNT = click.IntRange(min=1)


class _Group(click.Group):
    """``batch FILE`` is ``batch run FILE``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group("batch", cls=_Group)
def batches() -> None:
    """Run many commands, each in a sandbox; go on where it was if that is interrupted.

    `cwsandbox batch FILE --store STORE` is `cwsandbox batch run FILE --store STORE`.
    """


@batches.command("run")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file that keeps the outcomes.",
)
@click.option("--resume", is_flag=True, help="Go on with a store that has outcomes already.")
@click.option(
    "--rerun",
    type=click.Choice(["missing", "infra", "failed", "all"]),
    default="infra",
    show_default=True,
    help="With --resume: run jobs again that have an outcome: none, those that the infrastructure failed, "
    "all that are not ok, or all.",
)
@click.option(
    "-j", "--concurrency", type=_COUNT, help="So many jobs at once. Default: --alive, or 16."
)
@click.option(
    "--jobs-per-sandbox", type=_COUNT, default=1, show_default=True, help="Then it is replaced."
)
@click.option("--image", help="The container image of jobs that name none.")
@click.option("--alive", type=_COUNT, help="So many sandboxes at most.")
@click.option("--starting", type=_COUNT, help="So many sandboxes start at once at most.")
@click.option(
    "--per-second",
    type=click.FloatRange(min=0, min_open=True),
    help="So many sandboxes are asked for in a second at most.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="How often a job is tried again that the infrastructure failed.",
)
@click.option("--timeout", type=SECONDS, help="Limit in seconds for jobs that name none.")
@click.option(
    "--price-per-hour", type=click.FloatRange(min=0), help="Of one sandbox, for the cost."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress, and no summary.")
def run(
    file: Path,
    store: Path,
    resume: bool,
    rerun: str,
    image: str | None,
    price_per_hour: float | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Run the jobs of FILE, one JSON object a line, and keep their outcomes in STORE.

    The first Ctrl-C begins no further jobs and waits for those that run; the second one gives them up. So do SIGTERM
    and SIGHUP at once. One more ends the program without waiting for the sandboxes to stop. What has no outcome then is
    run with --resume, which stops the sandboxes that were left.

    Exit codes: 0, all jobs are ok; 3, all have run, and some are not ok; 4, the infrastructure failed some, which
    --resume runs again; 130, 143 or 129, a signal ended it; 1, an error did; 2, wrong options.
    """
    try:
        total = jobs_file.count(file, {"container_image": image}, needs_files=not resume)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise click.exceptions.Exit(128 + signal.SIGINT) from None
    if not resume and store.exists() and store.stat().st_size:
        raise click.UsageError(f"{store} exists: go on with it by --resume, or take another file.")
    running = _begin(file, store, rerun, image=image, **options)
    asked: list[int] = []
    with _signals(running, asked), running, showing(running, total, is_shown=not quiet) as seen:
        for outcome in running:
            seen(outcome)
    summary = running.summary()
    if not quiet:
        click.echo(told(summary, price_per_hour))
        _tell_where(summary, store)
    raise click.exceptions.Exit(_code(summary, total, asked))


def _tell_where(summary: Summary, store: Path) -> None:
    bad = [verdict for verdict in summary.verdicts if verdict != "ok"]
    if bad:
        wanted = " ".join(f"--verdict {verdict}" for verdict in bad)
        click.echo(f"See: cwsandbox batch show {shlex.quote(str(store))} {wanted}")


def _begin(
    file: Path,
    store: Path,
    rerun: Any,
    *,
    concurrency: int | None,
    jobs_per_sandbox: int,
    image: str | None,
    alive: int | None,
    starting: int | None,
    per_second: float | None,
    retries: int,
    timeout: float | None,
) -> Batch:
    jobs = jobs_file.read(file, {"container_image": image})
    if timeout is not None:
        jobs = (replace(job, timeout_seconds=job.timeout_seconds or timeout) for job in jobs)
    return batch(
        jobs,
        store=store,
        rerun=rerun,
        concurrency=concurrency,
        jobs_per_sandbox=jobs_per_sandbox,
        limits=Limits(alive, starting, per_second),
        retry=Retry(retries),
        container_image=image,
    )


def _code(summary: Summary, total: int, asked: list[int]) -> int:
    if asked and summary.jobs < total:
        return 128 + asked[-1]
    if summary.infra:
        return INFRA
    return 0 if all(verdict == "ok" for verdict in summary.verdicts) else NOT_ALL_OK


@contextmanager
def _signals(running: Batch, asked: list[int]) -> Iterator[None]:
    """Inside, a signal ends the batch in order, and with each further one sooner."""
    is_given_up = False

    def end(number: int, _: FrameType | None) -> None:
        nonlocal is_given_up
        asked.append(number)
        if is_given_up:
            life.hurry()
            raise SystemExit(128 + number)
        if number == signal.SIGINT and len(asked) == 1:
            running.finish()
            print("Waiting for the jobs that run. Ctrl-C again gives them up.", file=sys.stderr)
        else:
            is_given_up = True
            running.cancel()
            print("Stopping the sandboxes. Ctrl-C again does not wait for that.", file=sys.stderr)

    before = {one: signal.getsignal(one) for one in _ENDING}
    ours = [one for one, handler in before.items() if handler is not signal.SIG_IGN]
    for one in ours:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one in ours:
            signal.signal(one, before[one])


batches.add_command(show)
batches.add_command(export)
