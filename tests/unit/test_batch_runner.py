"""The workers of a batch, with sandboxes that never come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cwsandbox import Job, Retry
from cwsandbox._batch import runner
from cwsandbox._batch.settings import Settings
from cwsandbox._batch.source import Source
from unit.service import run

SETTINGS = Settings(
    concurrency=2, retry=Retry(), rerun="infra", max_output_bytes=1, max_artifact_bytes=1
)


class EmptyShelf:
    is_closed = False

    def take_idle(self, options: dict[str, Any]) -> None:
        """None is ready."""


@pytest.mark.parametrize("times", [1, 2, 3])
def test_finishing_again_gives_up_nothing_else(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """However often, and before anything has seen the first."""

    async def main() -> None:
        waiting: set[str] = set()
        both_wait = asyncio.Event()

        async def never(shelf: Any, options: dict[str, Any]) -> None:
            waiting.add(options["container_image"])
            if len(waiting) == 2:
                both_wait.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(runner, "take_async", never)
        jobs = [Job(key, ["true"], image=key) for key in ("a", "b", "c")]
        seen: list[Any] = []
        workers = runner.Runner(Source(jobs), EmptyShelf(), None, SETTINGS, seen.append)  # type: ignore[arg-type]
        running = asyncio.ensure_future(workers.run())
        await both_wait.wait()
        for _ in range(times):
            workers.finish()
        await running
        assert seen == []
        assert waiting == {"a", "b"}

    run(main())
