"""Look for a runner with enough room, and put a sandbox on it."""

from cwsandbox import Sandbox, get_runner, list_runners

NEEDED = {"min_available_cpu_millicores": 500, "min_available_memory_bytes": 64 << 20}

runners = list_runners(healthy_only=True, **NEEDED)
print("runners with room:", len(runners))

runner = runners[0]
print("architecture known:", bool(runner.supported_architectures))
with Sandbox.run(runner_ids=[runner.runner_id]) as sandbox:
    sandbox.wait()
    print("placed as asked:", sandbox.runner_id == runner.runner_id)
    now = get_runner(runner.runner_id, organization_id=runner.organization_id)
    if now.resources is not None:
        print("sandboxes run there:", now.resources.running_sandboxes > 0)
