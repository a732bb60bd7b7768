"""A service stops its sandboxes when it is told to end, and then does what is its own to do."""

import os
import signal
import sys
from types import FrameType

from cwsandbox import Session

session = Session({"tags": ["cleanup-example"], "max_lifetime_seconds": 600})


def end(number: int, frame: FrameType | None) -> None:
    """The program's own handler. It runs when the sandboxes of sessions have ended."""
    print(f"{signal.Signals(number).name}: {session.sandbox_count} sandboxes are left")
    sys.exit(0)


signal.signal(signal.SIGTERM, end)

# From the first sandbox on SIGTERM stops those of sessions, and then calls end().
sandbox = session.sandbox()
print(sandbox.exec(["echo", "at work"]).result().stdout, end="")

# As an orchestrator does it.
os.kill(os.getpid(), signal.SIGTERM)
