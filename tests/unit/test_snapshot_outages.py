"""How long a snapshot waits for a service that is away."""

from __future__ import annotations

from typing import Any

import pytest

from cwsandbox import exceptions
from cwsandbox._service.rpc import Code
from unit.life import Life, live
from unit.service import failure, now, received, sandbox

BUSY = failure(Code.UNAVAILABLE)
IN_THE_MAKING, SAVED = (
    received("FileSystemSnapshot", {"file_system_snapshot_id": "fss-1", "state": state})
    for state in (1, 2)
)


def test_looks_that_fail_for_long_repeat_the_whole() -> None:
    async def steps(life: Life) -> None:
        assert await life.driver.snapshot(None, True, None) == "fss-1"

    async def away_for_long(request: Any) -> Any:
        if now() < 31.0:
            raise BUSY
        return SAVED

    life = live(
        steps,
        sandbox("running"),
        CreateFileSystemSnapshot=[IN_THE_MAKING],
        GetFileSystemSnapshot=[away_for_long],
    )
    sent = life.service.of("CreateFileSystemSnapshot")
    assert len(sent) == 2
    assert sent[0].request == sent[1].request


@pytest.mark.parametrize(("budget", "ends"), [(None, 60.0), (0.0, 30.0), (5.0, 35.0)])
def test_a_service_that_is_gone_for_good(budget: float | None, ends: float) -> None:
    """First it is looked for, then the whole is repeated: each for its own time."""

    async def steps(life: Life) -> None:
        with pytest.raises(exceptions.SandboxUnavailableError):
            await life.driver.snapshot(None, True, budget)
        assert now() == pytest.approx(ends, abs=3.0)

    live(
        steps,
        sandbox("running"),
        CreateFileSystemSnapshot=[IN_THE_MAKING, BUSY],
        GetFileSystemSnapshot=[BUSY],
    )
