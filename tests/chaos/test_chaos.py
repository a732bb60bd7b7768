"""Commands with checksummed input and output, through connections in a storm.

Whatever befalls a connection, a command's result is right or an error that says it was lost: never wrong, never a
success of less than all, never nothing at all. CHAOS_SECONDS and CHAOS_SEED choose how long and which storm.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from chaos.storm import Storm
from conformance.relay import Relay
from cwsandbox import ProcessResult, Sandbox, SandboxTimeoutError, SandboxUnavailableError
from integration.env import Daemon, eventually, temporary_daemon

SECONDS = float(os.environ.get("CHAOS_SECONDS", "30"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
RELAYS = 8  # the client has connections of its own for each
WORKERS = 64
LEAST_EXECS = 200
LIMIT_S = 5.0
HUNG_S = 30.0
SIZES = (0, 1, 1000, 65536, 65537, 300_000, 1_000_000)
TOKEN = "chaos-0123456789"

# Gives its input back once it has all of it, and its checksum as seen in there.
ECHO = 'f=$(mktemp) && cat >"$f" && sha256sum <"$f" >&2 && cat "$f" && rm "$f"; exit "$1"'


class Tally:
    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []

    def fault(self, text: str) -> None:
        self.outcomes["fault"] += 1
        self.faults.append(text)

    def __str__(self) -> str:
        return f"{dict(self.outcomes)}; first faults: {self.faults[:5]}"


class Job:
    """One command, what it is to give, and what came of it."""

    def __init__(self, dice: random.Random) -> None:
        self.has_input = dice.random() < 0.6
        self.code = dice.randrange(256)
        self.size = dice.choice(SIZES)
        if self.has_input:
            self.expected = dice.randbytes(self.size)
            self.argv = ["sh", "-c", ECHO, "sh", str(self.code)]
        else:
            count = self.size // 7
            self.expected = b"".join(b"%d\n" % n for n in range(1, count + 1))
            self.argv = ["sh", "-c", 'seq 1 "$2"; exit "$1"', "sh", str(self.code), str(count)]

    async def run(self, sandbox: Sandbox, tally: Tally) -> None:
        process = sandbox.exec(self.argv, stdin=self.has_input, timeout_seconds=LIMIT_S)
        write_failed = False
        try:
            if process.stdin is not None:
                for at in range(0, self.size, 100_000):
                    await process.stdin.write(self.expected[at : at + 100_000])
                await process.stdin.close()
        except (SandboxUnavailableError, SandboxTimeoutError):
            write_failed = True
        try:
            result = await process
        except (SandboxUnavailableError, SandboxTimeoutError) as error:
            self._check_lost(error, tally)
        else:
            self._check_result(result, write_failed, tally)

    def _check_lost(
        self, error: SandboxUnavailableError | SandboxTimeoutError, tally: Tally
    ) -> None:
        tally.outcomes[type(error).__name__] += 1
        so_far = error.exec_result
        if so_far is None or not self.expected.startswith(so_far.stdout_bytes):
            tally.fault(f"the output of a lost command is not the beginning of its own: {error}")

    def _check_result(self, result: ProcessResult, write_failed: bool, tally: Tally) -> None:
        seen_inside = result.stderr.split()[:1]
        checksum = [hashlib.sha256(self.expected).hexdigest()] if self.has_input else []
        if write_failed:
            tally.fault("a success after a write that was lost")
        elif (result.returncode, result.stdout_bytes) != (self.code, self.expected):
            got = (result.returncode, len(result.stdout_bytes))
            tally.fault(f"wrong result: {got}, not {(self.code, len(self.expected))}")
        elif seen_inside != checksum:
            tally.fault(f"wrong input: {result.stderr!r}")
        else:
            tally.outcomes["right"] += 1


async def work(sandbox: Sandbox, tally: Tally, dice: random.Random, end: float) -> None:
    while time.monotonic() < end or sum(tally.outcomes.values()) < LEAST_EXECS:
        try:
            await asyncio.wait_for(Job(dice).run(sandbox, tally), HUNG_S)
        except TimeoutError:
            tally.fault("hung")
        except Exception as error:
            tally.fault(f"unexpected {error!r}")


async def work_in_storm(sandboxes: list[Sandbox], tally: Tally) -> None:
    end = time.monotonic() + SECONDS
    dice = [random.Random(f"{SEED}/{n}") for n in range(WORKERS)]
    await asyncio.gather(
        *(work(sandboxes[n % RELAYS], tally, dice[n], end) for n in range(WORKERS))
    )


async def work_after_storm(sandboxes: list[Sandbox], tally: Tally) -> None:
    for sandbox in sandboxes:
        await asyncio.wait_for(Job(random.Random(SEED)).run(sandbox, tally), HUNG_S)


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    monkeypatch.setenv("CWSANDBOX_API_KEY", TOKEN)
    with temporary_daemon(token=TOKEN) as running:
        yield running


def processes_in(sandbox: Sandbox) -> int:
    """Without those of this command."""
    listed = sandbox.exec(["sh", "-c", "echo /proc/[0-9]*"], timeout_seconds=20).result().stdout
    return len(listed.split()) - 1


class StormyWays:
    """Several relays to one daemon, and for each a handle of one sandbox that goes through it."""

    def __init__(self, daemon: Daemon, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.storms = [Storm(f"{SEED}/{n}") for n in range(RELAYS)]
        self.relays = [Relay(daemon.base_url, storm.way) for storm in self.storms]
        self.sandboxes: list[Sandbox] = []
        for relay in self.relays:
            monkeypatch.setenv("CWSANDBOX_BASE_URL", relay.url)
            self.sandboxes.append(Sandbox.from_id(sandbox.sandbox_id or "").result())

    @property
    def fates(self) -> Counter[str]:
        return sum((storm.fates for storm in self.storms), Counter[str]())

    def begin(self) -> None:
        for storm in self.storms:
            storm.is_calm = False

    def end(self) -> None:
        """What was made in the storm breaks, what follows works."""
        for storm in self.storms:
            storm.is_calm = True
        for relay in self.relays:
            relay.cut()

    def close(self) -> None:
        for relay in self.relays:
            relay.close()


@pytest.mark.timeout(SECONDS + 150)
def test_commands_in_a_storm(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
    tally = Tally()
    with Sandbox.run() as calm, contextlib.ExitStack() as stack:
        before = processes_in(calm)
        ways = StormyWays(daemon, calm, monkeypatch)
        stack.callback(ways.close)
        ways.begin()
        asyncio.run(work_in_storm(ways.sandboxes, tally))
        ways.end()
        print(f"storm {SEED}: {tally}; fates {dict(ways.fates)}")
        assert not tally.faults, f"storm {SEED}: {tally}"
        assert tally.outcomes.total() >= LEAST_EXECS
        assert tally.outcomes["right"] > 0
        assert set(ways.fates) == {"end", "reset", "stall", "freeze"}
        right = tally.outcomes["right"]
        asyncio.run(work_after_storm(ways.sandboxes, tally))
        assert tally.outcomes["right"] == right + RELAYS, str(tally)
        eventually(lambda: processes_in(calm) <= before, "no lost command runs on")
