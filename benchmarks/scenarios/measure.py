"""What the scenarios share: a sandbox on the server that is measured against, and the taking of figures.

A scenario is a script that uses nothing but the package's public interface, so that it runs unchanged with any
client that has it. It prints one JSON object (see `Figures.report`).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cwsandbox import Sandbox

PAGE = os.sysconf("SC_PAGE_SIZE")


def arguments(**defaults: int | str) -> argparse.Namespace:
    """The command line: an option for each name, of the type of its default."""
    parser = argparse.ArgumentParser()
    for name, default in defaults.items():
        parser.add_argument(
            "--" + name.replace("_", "-"), dest=name, type=type(default), default=default
        )
    return parser.parse_args()


def sandbox() -> Sandbox:
    """A running sandbox; commands reach it through the gateway, which is all that the server offers."""
    from cwsandbox import Sandbox

    options: dict[str, Any] = {}
    if "data_plane_mode" in signature(Sandbox.run).parameters:
        options["data_plane_mode"] = "gateway"
    return Sandbox.run(**options)


def rss() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def peak_rss() -> int:
    """The most that `rss` was since `forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


class Figures:
    """CPU of the whole process with all its threads, time and memory of a stretch of the script."""

    def __init__(self) -> None:
        self.ops = 0
        self.delays: list[int] = []
        """Nanoseconds of each operation, where operations are looked at one by one."""
        self.more: dict[str, float] = {}
        """Figures that only one scenario has."""

    @contextmanager
    def measured(self, ops: int) -> Iterator[None]:
        """Takes the figures of the block, which does so many operations."""
        gc.collect()
        forget_peak()
        self.ops, self.rss_before = ops, rss()
        usage, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        yield
        self.wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_SELF)
        self.threads = len(os.listdir("/proc/self/task"))
        self.rss_growth, self.peak_growth = rss() - self.rss_before, peak_rss() - self.rss_before
        self.cpu = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
        self.switches = after.ru_nvcsw + after.ru_nivcsw - usage.ru_nvcsw - usage.ru_nivcsw

    def timed(self, operation: Callable[[], object]) -> None:
        start = time.perf_counter_ns()
        operation()
        self.delays.append(time.perf_counter_ns() - start)

    def report(self) -> None:
        """Prints the figures: seconds, bytes, counts."""
        figures: dict[str, float] = {
            "ops": self.ops,
            "wall": self.wall,
            "cpu": self.cpu,
            "rss": self.rss_growth,
            "peak": self.peak_growth,
            "threads": self.threads,
            "switches": self.switches,
            **self.more,
        }
        if self.delays:
            figures["p50"] = percentile(self.delays, 50) / 1e9
            figures["p99"] = percentile(self.delays, 99) / 1e9
        print(json.dumps(figures))


def by_threads(figures: Figures, args: argparse.Namespace, command: Callable[[], object]) -> None:
    """`args.count` commands from `args.threads` threads, after `args.warm`; a thread waits for one before the next."""
    from threading import Thread  # not above: what a client's import loads is measured, too

    rounds = args.count // args.threads

    def work() -> None:
        for _ in range(rounds):
            figures.timed(command)

    for _ in range(args.warm):
        command()
    threads = [Thread(target=work) for _ in range(args.threads - 1)]
    with figures.measured(ops=rounds * args.threads):
        for thread in threads:
            thread.start()
        work()
        for thread in threads:
            thread.join()


def by_tasks(
    figures: Figures,
    args: argparse.Namespace,
    command: Callable[[], Awaitable[Any]],
    check: Callable[[Any], None],
) -> None:
    """`args.count` commands awaited by asyncio, `args.in_flight` at once. `check` looks at each result, untimed."""
    import asyncio  # not above, likewise

    rounds = max(1, args.count // args.in_flight)

    async def work(rounds: int) -> None:
        for _ in range(rounds):
            start = time.perf_counter_ns()
            result = await command()
            figures.delays.append(time.perf_counter_ns() - start)
            check(result)

    async def main() -> None:
        await asyncio.gather(*[work(1) for _ in range(args.in_flight)])
        figures.delays.clear()
        with figures.measured(ops=rounds * args.in_flight):
            await asyncio.gather(*[work(rounds) for _ in range(args.in_flight)])

    asyncio.run(main())


def percentile(values: Sequence[int], percent: int) -> int:
    return sorted(values)[(len(values) - 1) * percent // 100]


def expect(what: str, got: object, wanted: object) -> None:
    """A figure of something that went wrong is none."""
    if got != wanted:
        raise SystemExit(f"{what} is {got!r}, not {wanted!r}")
