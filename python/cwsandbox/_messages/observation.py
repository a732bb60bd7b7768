"""What one answer of the service says about a sandbox's life."""

from __future__ import annotations

from cwsandbox._types.record import Record


class Observation(Record):
    """One answer of the server about a sandbox: the wire number of its state, and what goes with it."""

    number: int
    exit_code: int | None = None
    reason: str = ""
