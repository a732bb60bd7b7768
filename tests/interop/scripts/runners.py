"""Runners with the published SDK. It is imported here, so nothing of ours may be."""

from __future__ import annotations

import sys

from cwsandbox import RunnerNotFoundError, Sandbox, format_bytes, get_runner, list_runners


def everything() -> None:
    [one] = list_runners(healthy_only=True)
    assert one.resources is None
    assert one.max_cpu_millicores >= 1000
    assert format_bytes(one.max_memory_bytes) in repr(one)
    again = get_runner(one.runner_id, organization_id=one.organization_id)
    assert again.resources is not None
    least = {"min_available_cpu_millicores": 500, "min_available_memory_bytes": 256 << 20}
    [free] = list_runners(runner_group_id=one.runner_group_id, **least)
    assert free.supported_architectures == one.supported_architectures
    [same] = list_runners(architecture=one.supported_architectures[0])
    assert same.connected_at == one.connected_at
    assert list_runners(gpu_type="A100") == []
    with Sandbox.run(runner_ids=[one.runner_id]) as sandbox:
        assert sandbox.wait().runner_id == one.runner_id
        assert sandbox.runner_group_id == one.runner_group_id


def missing() -> None:
    raised: RunnerNotFoundError | None = None
    try:
        get_runner("local-other", organization_id="local")
    except RunnerNotFoundError as error:
        raised = error
    assert raised is not None
    assert (raised.runner_id, raised.reason) == ("local-other", "CWSANDBOX_RUNNER_NOT_FOUND")


globals()[sys.argv[1]]()
