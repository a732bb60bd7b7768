"""What a session counts: its sandboxes, how long they took to start, and their commands.

The counts of a sandbox's commands are kept by the core and only read here, so a command costs nothing more.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Protocol

    from cwsandbox._lifecycle.handle import Handle

    class Counted(Protocol):
        """A sandbox, as far as it is counted here."""

        _handle: Handle

        @property
        def exec_stats(self) -> dict[str, int]: ...


PREFIX = "cwsandbox/"


class Spread:
    """The number, sum, least and greatest of some values."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.least = float("inf")
        self.greatest = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.least = min(self.least, value)
        self.greatest = max(self.greatest, value)

    def merge(self, other: Spread) -> None:
        self.count += other.count
        self.total += other.total
        self.least = min(self.least, other.least)
        self.greatest = max(self.greatest, other.greatest)


class Commands:
    """Commands that have ended, by how."""

    def __init__(self, ok: int = 0, nonzero: int = 0, failures: int = 0) -> None:
        self.ok = ok
        self.nonzero = nonzero
        self.failures = failures

    @classmethod
    def of(cls, sandbox: Counted) -> tuple[Commands, bool]:
        """Those of a sandbox, and whether some have not ended yet."""
        stats = sandbox.exec_stats
        counted = cls(
            stats["exec_completed_ok"], stats["exec_completed_nonzero"], stats["exec_failures"]
        )
        return counted, counted.count < stats["exec_count"]

    @property
    def count(self) -> int:
        return self.ok + self.nonzero + self.failures

    def plus(self, other: Commands) -> Commands:
        return Commands(
            self.ok + other.ok, self.nonzero + other.nonzero, self.failures + other.failures
        )

    def minus(self, other: Commands) -> Commands:
        return Commands(
            self.ok - other.ok, self.nonzero - other.nonzero, self.failures - other.failures
        )


class Period:
    """The counts of some time."""

    def __init__(self) -> None:
        self.created = 0
        self.commands = Commands()
        self.startups = Spread()
        self.per_sandbox = Spread()

    @property
    def is_empty(self) -> bool:
        return not (self.created or self.commands.count or self.startups.count)

    def add(self, commands: Commands, startup: float | None) -> None:
        """Count what one sandbox did."""
        self.commands = self.commands.plus(commands)
        if commands.count:
            self.per_sandbox.add(commands.count)
        if startup is not None:
            self.startups.add(startup)

    def merge(self, other: Period) -> None:
        self.created += other.created
        self.commands = self.commands.plus(other.commands)
        self.startups.merge(other.startups)
        self.per_sandbox.merge(other.per_sandbox)

    def values(self, *, per_sandbox: bool) -> dict[str, Any]:
        """As they are published; ``per_sandbox``: also how many commands a sandbox ran."""
        commands = self.commands
        found: dict[str, Any] = {
            "sandboxes_created": self.created,
            "executions": commands.count,
            "exec_completed_ok": commands.ok,
            "exec_completed_nonzero": commands.nonzero,
            "exec_failures": commands.failures,
        }
        if commands.count:
            found["exec_completion_rate"] = commands.ok / commands.count
            found["exec_failure_rate"] = commands.failures / commands.count
        if self.startups.count:
            found["startup_count"] = self.startups.count
            found["avg_startup_seconds"] = self.startups.total / self.startups.count
            found["min_startup_seconds"] = self.startups.least
            found["max_startup_seconds"] = self.startups.greatest
        if per_sandbox and self.per_sandbox.count:
            found["avg_execs_per_sandbox"] = self.per_sandbox.total / self.per_sandbox.count
            found["min_execs_per_sandbox"] = int(self.per_sandbox.least)
            found["max_execs_per_sandbox"] = int(self.per_sandbox.greatest)
        return {PREFIX + name: value for name, value in found.items()}


class _Account:
    """What is still to be counted of one sandbox."""

    def __init__(self, sandbox: Counted) -> None:
        self.sandbox = sandbox
        self.counted, _ = Commands.of(sandbox)
        self.startup_is_counted = sandbox._handle.startup_seconds is not None

    def add_to(self, period: Period, *, for_good: bool) -> None:
        """Add what is new; ``for_good``: it is not new any more."""
        commands, _ = Commands.of(self.sandbox)
        startup = None if self.startup_is_counted else self.sandbox._handle.startup_seconds
        period.add(commands.minus(self.counted), startup)
        if for_good:
            self.counted = commands
            self.startup_is_counted |= startup is not None


class Metrics:
    """The counts of one session. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._past = Period()
        self._accounts: dict[int, _Account] = {}
        # Sandboxes that have left. Only appended to where a lock could be held up.
        self._left: deque[Counted] = deque()
        self._ending: list[_Account] = []

    def created(self, sandbox: Counted) -> None:
        """One was made for the session."""
        with self._lock:
            self._past.created += 1
            self.watch(sandbox)

    def watch(self, sandbox: Counted) -> None:
        """Count what it does from now on."""
        with self._lock:
            self._fold()
            self._accounts.setdefault(id(sandbox), _Account(sandbox))

    def leave(self, sandbox: Counted) -> None:
        """It has left the session. Takes no lock. Commands that it still runs are counted when they end."""
        self._left.append(sandbox)

    def now(self) -> Period:
        """All that has happened since the last ``take()``."""
        with self._lock:
            self._fold()
            period = Period()
            period.merge(self._past)
            for account in (*self._accounts.values(), *self._ending):
                account.add_to(period, for_good=False)
            return period

    def take(self) -> Period:
        """As ``now()``, and count from 0 again."""
        with self._lock:
            self._fold()
            period, self._past = self._past, Period()
            for account in (*self._accounts.values(), *self._ending):
                account.add_to(period, for_good=True)
            return period

    def give_back(self, period: Period) -> None:
        """It could not be used: count it again."""
        with self._lock:
            self._past.merge(period)

    def _fold(self) -> None:
        while self._left:
            sandbox = self._left.popleft()
            account = self._accounts.pop(id(sandbox), None)
            if account is not None:
                self._ending.append(account)
        self._ending = [one for one in self._ending if not self._has_ended(one)]

    def _has_ended(self, account: _Account) -> bool:
        _, runs = Commands.of(account.sandbox)
        if runs:
            return False
        account.add_to(self._past, for_good=True)
        return True
