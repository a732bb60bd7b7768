"""How a command's output is passed on."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from cwsandbox import Sandbox, SandboxStreamTruncatedError
from cwsandbox.cli import streamed
from cwsandbox.cli.streamed import pass_on

SIZE = 3_000_000


class SlowStart(threading.Thread):
    """The other thread may be far ahead of the one that started it."""

    def start(self) -> None:
        super().start()
        time.sleep(0.3)


@pytest.mark.parametrize("to", ["1", "2"])
def test_nothing_is_dropped_while_one_thread_is_behind(
    sandbox: Sandbox, to: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any
) -> None:
    monkeypatch.setattr(streamed.threading, "Thread", SlowStart)
    script = f"head -c {SIZE} /dev/zero >&{to}"
    assert pass_on(sandbox.exec(["sh", "-c", script], capture_output=False)) == 0
    printed = capfdbinary.readouterr()
    assert (printed.out if to == "1" else printed.err) == bytes(SIZE)


def test_output_that_was_lost_is_a_failure(sandbox: Sandbox) -> None:
    """Not a short output that looks whole."""
    process = sandbox.exec(["head", "-c", str(SIZE), "/dev/zero"], capture_output=False)
    process.wait()
    with pytest.raises(SandboxStreamTruncatedError):
        pass_on(process)
