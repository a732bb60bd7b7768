"""What a batch has left behind that was killed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cwsandbox.exceptions import CWSandboxError


def tag_of(store_id: str) -> str:
    """The tag of all sandboxes that a batch with this store makes for itself."""
    return f"cwsandbox-batch-{store_id[:16]}"


async def stop(tag: str, options: Mapping[str, Any]) -> None:
    """Stop the sandboxes with a batch's tag. Whoever has its store has it alone, so nobody uses them any more.

    ``options`` are those of the batch's sandboxes. A service that cannot be asked is no failure: jobs will show that.
    """
    from logging import getLogger

    from cwsandbox._sandbox.sandbox import Sandbox

    connection = Sandbox(**options)._connection
    try:
        left = await Sandbox._find(
            connection,
            tags=[tag],
            status=None,
            runner_ids=None,
            show_terminated=False,
            volume_ids=None,
        )
        for sandbox in left:
            await sandbox.stop(graceful_shutdown_seconds=0, missing_ok=True)
    except CWSandboxError as error:
        getLogger("cwsandbox").warning("what an earlier run left may still be there: %s", error)
