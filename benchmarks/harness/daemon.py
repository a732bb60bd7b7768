"""The daemon as a process, what is measured of it, and bare posix_spawn next to it."""

# ruff: noqa: RUF001  # the sign for times is meant
from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TextIO

from . import batches
from .figures import Figure, Goal, Medians, Run, Scenario, value
from .run import SCRIPTS, Clients, Failed, run_json
from .scenarios import KIB, MIB, P99, median_delay
from .server import Server, clean_environment

MAX_SANDBOXES = 4000


def program(python: Path) -> Path:
    """The daemon that is installed with the package."""
    code = "import cwsandbox, pathlib; print(pathlib.Path(cwsandbox.__file__).parent / 'bin' / 'cwsandboxd')"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return Path(done.stdout.strip())


class Daemon:
    """A running daemon; leaving the block ends it and its sandboxes."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def __enter__(self) -> Daemon:
        self._folder = tempfile.TemporaryDirectory()
        self.url = f"unix://{self._folder.name}/socket"
        ready, daemon_end = os.pipe()
        life, self._line = os.pipe()
        with Path(self._folder.name, "log").open("w") as log:
            self._process = self._start(daemon_end, life, log)
        os.close(daemon_end)
        os.close(life)
        with os.fdopen(ready) as file:
            if not file.readline().startswith("ready"):
                text = Path(self._folder.name, "log").read_text()
                raise Failed(f"the daemon did not start: {text}")
        self.pid = self._process.pid
        return self

    def _start(self, ready: int, life: int, log: TextIO) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                self._program,
                f"--listen={self.url}",
                f"--state-dir={self._folder.name}/state",
                f"--max-sandboxes={MAX_SANDBOXES}",
                f"--ready-fd={ready}",
                f"--life-fd={life}",
            ],
            pass_fds=[ready, life],
            stdout=subprocess.DEVNULL,
            stderr=log,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=120)
        os.close(self._line)
        self._folder.cleanup()

    def environment(self) -> dict[str, str]:
        return {**clean_environment(), "CWSANDBOX_BASE_URL": self.url}


def client_of(scenario: Scenario) -> str:
    """Whose figures these are."""
    return next(iter(scenario.counts))


def spawn_limit(medians: Medians) -> float:
    spawned, trip = (medians(scenario.name, "p50", "floor") for scenario in (EXEC, TRIP))
    return 1.3 * spawned + trip


def per_second(name: str) -> Figure:
    return Figure(f"{name}/s", "", lambda run: run["ops"] / run[name], more_is_better=True)


def share(name: str, key: str, of: str, goal: Goal | None = None) -> Figure:
    return Figure(name, f"× {of}", lambda run: run[key], goal, more_is_better=True)


EXEC = Scenario(
    "daemon-exec",
    "exec of /bin/true (floor: posix_spawn)",
    "exec_sync.py",
    (
        median_delay(Goal(spawn_limit, "1.3 × floor + round trip")),
        P99,
        Figure(
            "CPU of the caller", "µs", lambda run: run["cpu"] / run["ops"] * 1e6, of_floor=False
        ),
    ),
    {"command": "/bin/true"},
    counts={"ours": 1000},
)

SUBPROCESS = Scenario(
    "daemon-subprocess",
    "asyncio.create_subprocess_exec of /bin/true, without a sandbox",
    "subprocess_exec.py",
    (
        median_delay(),
        P99,
        Figure("CPU of the caller", "µs", lambda run: run["cpu"] / run["ops"] * 1e6),
    ),
    counts={"floor": 1000},
)
"""What a program does that has no sandboxes."""

TRIP = Scenario(
    "daemon-trip", "one h2 round trip: floor client and bare server", "", (median_delay(), P99)
)
"""Measured with EXEC."""

SCENARIOS = (
    EXEC,
    SUBPROCESS,
    TRIP,
    Scenario(
        "daemon-create",
        "create, then the first result",
        "first_result.py",
        (Figure("p50", "ms", lambda run: run["p50"] * 1e3, value(10)),),
        counts={"ours": 40},
    ),
    Scenario(
        "daemon-idle",
        "an idle sandbox",
        "idle_memory.py",
        (
            Figure("RSS", "MiB", lambda run: run["box_rss"] / MIB, value(1.5)),
            Figure("PSS", "MiB", lambda run: run["box_pss"] / MIB),
            Figure("processes", "", lambda run: run["box_processes"]),
            Figure("more RSS of the daemon", "KiB", lambda run: run["daemon_rss"] / KIB),
        ),
        counts={"ours": 50},
        scales=False,
    ),
    Scenario(
        "daemon-many",
        "1,000 sandboxes, 16 threads",
        "many_sandboxes.py",
        (per_second("create"), per_second("exec"), per_second("stop")),
        counts={"ours": 1000},
        scales=False,
    ),
    Scenario(
        "daemon-tree",
        "10,000 files of 1 KiB uploaded",
        "tree.py",
        (
            Figure("time", "× tar c \\| tar x", lambda run: run["upload"] / run["tar"], value(1.5)),
            Figure("wall", "ms", lambda run: run["upload"] * 1e3),
            Figure("CPU per file", "µs", lambda run: run["cpu"] / run["ops"] * 1e6),
            Figure("more RSS", "MiB", lambda run: run["peak"] / MIB),
        ),
        counts={"ours": 10_000},
    ),
    Scenario(
        "daemon-snapshot",
        "a volume of 1 GiB saved and restored",
        "snapshots.py",
        (
            share("saved", "save_rate_sync", "tar \\| cat; sync", value(0.8)),
            share("saved, of no sync", "save_rate", "tar \\| cat"),
            share("restored", "restore_rate", "cat \\| tar x", value(0.8)),
            Figure("save", "s", lambda run: run["saved"]),
            Figure("CPU of a save", "s", lambda run: run["saved_cpu"]),
        ),
        {"rounds": 3},
        counts={"ours": 1024},
    ),
    *batches.SCENARIOS,
)


@dataclass(frozen=True)
class Bench:
    """The daemon, its client and the program that spawns."""

    clients: Clients
    spawn: Path

    def rounds(
        self, chosen: Sequence[Scenario], rounds: int, scale: float, medians: Medians
    ) -> tuple[dict[str, list[Run]], list[str]]:
        """All runs by scenario, and what went wrong. Each round has a daemon of its own."""
        runs: dict[str, list[Run]] = {}
        faults: list[str] = []
        for _ in range(rounds):
            with Daemon(program(self.clients.pythons["ours"])) as daemon:
                for scenario in chosen:
                    if scenario is TRIP:
                        continue
                    try:
                        if scenario is EXEC:
                            run = self._run_between_floors(daemon, scale, medians)
                        else:
                            run = self._run(scenario, daemon, scale)
                    except Failed as failure:
                        faults.append(f"{scenario.name}: {failure}")
                        continue
                    runs.setdefault(scenario.name, []).append(run)
                    for figure in scenario.figures:
                        medians.add(scenario.name, figure.name, client_of(scenario), figure.of(run))
        return runs, faults

    def _run_between_floors(self, daemon: Daemon, scale: float, medians: Medians) -> Run:
        """What it is compared with is measured before and after: a machine does not stay as fast as it is."""
        self._floors(scale / 2, medians)
        run = self._run(EXEC, daemon, scale)
        self._floors(scale / 2, medians)
        return run

    def _floors(self, scale: float, medians: Medians) -> None:
        count = str(max(100, int(1000 * scale)))
        spawned = run_json([self.spawn, count, "/bin/true"], clean_environment())
        for figure in EXEC.figures:
            if figure.of_floor:
                medians.add(EXEC.name, figure.name, "floor", figure.of(spawned))
        with Server(self.clients.server) as server:
            address, _, port = server.plain.rpartition(":")
            words = ("exec", count, "1", "true")
            trip = run_json([self.clients.floor, address, port, *words], clean_environment())
        for figure in TRIP.figures:
            medians.add(TRIP.name, figure.name, "floor", figure.of(trip))

    def _run(self, scenario: Scenario, daemon: Daemon, scale: float) -> Run:
        arguments = dict(scenario.arguments)
        count = arguments["count"] = scenario.counts[client_of(scenario)]
        if scenario.scales:
            arguments["count"] = max(10, int(count * scale))
        if scenario.script in ("idle_memory.py", "snapshots.py"):
            arguments["daemon"] = daemon.pid
        command = [str(self.clients.pythons["ours"]), str(SCRIPTS / scenario.script)]
        for name, argument in arguments.items():
            command += [f"--{name}", str(argument)]
        return run_json(command, daemon.environment())
