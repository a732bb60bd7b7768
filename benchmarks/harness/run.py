"""Runs one client through one scenario."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .figures import Scenario
from .server import Server, clean_environment

SCRIPTS = Path(__file__).resolve().parents[1] / "scenarios"
LIMIT_SECONDS = 600


class Failed(Exception):
    """A client did not come through a scenario; the text says how."""


def run_json(command: Sequence[str | Path], environment: dict[str, str]) -> dict[str, float]:
    """What the command printed last. It runs in an empty folder, so that Python finds what is installed only."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=LIMIT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"not done after {LIMIT_SECONDS} s") from None
    if done.returncode != 0:
        tail = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise Failed(tail[0])
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


@dataclass(frozen=True)
class Clients:
    """Where things are: for each Python client its interpreter, and the programs of the floor client and the server."""

    pythons: dict[str, Path]
    floor: Path
    server: Path

    def run(
        self, scenario: Scenario, client: str, server: Server, scale: float
    ) -> dict[str, float]:
        count = scenario.counts.get(client, 1)
        if scenario.scales:
            count = max(1, int(count * scale))
        if client == "floor":
            return self._run_floor(scenario, server, count)
        # It has another interface, and so scripts of its own.
        script = f"pyqwest_{scenario.script}" if client == "pyqwest" else scenario.script
        command: list[str | Path] = [self.pythons[client], SCRIPTS / script]
        arguments = dict(scenario.arguments)
        if scenario.counts:
            arguments[scenario.count_option] = count
        for name, argument in arguments.items():
            command += ["--" + name.replace("_", "-"), str(argument)]
        return run_json(command, server.environment(scenario.tls))

    def _run_floor(self, scenario: Scenario, server: Server, count: int) -> dict[str, float]:
        address, _, port = server.plain.rpartition(":")
        arguments = [word.format(count=count) for word in scenario.floor]
        figures = run_json([self.floor, address, port, *arguments], clean_environment())
        # It counts commands and what it receives; the scenario may count lines, or what is sent.
        figures["bytes" if scenario.count_option == "bytes" else "ops"] = count
        return figures
