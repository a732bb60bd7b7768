"""Commands for batches against a scripted service."""

from __future__ import annotations

from collections import Counter
from typing import Any

import cwsandbox
from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import Job, Outcome


def count_runs(peer: GrpcPeer) -> Counter[str]:
    """How often each command was run, by its second word. ``ok`` and ``no`` end by themselves."""
    counted: Counter[str] = Counter()

    @peer.command("ok")
    async def ok(call: Call) -> None:
        counted[call.argv[1]] += 1
        await call.ready()
        await call.out(call.argv[1].encode())
        await call.exit(0)

    @peer.command("no")
    async def no(call: Call) -> None:
        counted[call.argv[1]] += 1
        await call.ready()
        await call.exit(1)

    return counted


def run(*jobs: Job, **options: Any) -> dict[str, Outcome]:
    return {outcome.job.key: outcome for outcome in cwsandbox.batch(jobs, **options)}
