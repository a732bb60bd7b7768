"""What there is once per process."""

from __future__ import annotations

import threading

from cwsandbox._runtime import loop
from cwsandbox._runtime.policy import PolicyLoop


def test_one_loop_per_process() -> None:
    found: list[PolicyLoop] = []
    threads = [threading.Thread(target=lambda: found.append(loop.policy())) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 10
    assert len(set(map(id, found))) == 1


def test_done() -> None:
    operation = loop.done("value")
    assert operation._done()
    assert operation.result(0) == "value"
