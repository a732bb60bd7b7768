"""Files that outlive sandboxes, from an event loop: a registered volume that two sandboxes have at once.

Before: ``cwsandboxd --volume-dir PATH``, and ``CWSANDBOX_BASE_URL`` that names it.
"""

import asyncio

from cwsandbox import PvcVolumeSource, RegisteredVolumeOptions, Sandbox, Volume, list_runners


def mounted(path: str) -> Sandbox:
    options = RegisteredVolumeOptions(name="data", volume_id="shared", mount_path=path)
    return Sandbox(volumes=[options])


async def main() -> None:
    (runner, *_) = await asyncio.to_thread(list_runners)
    claim = PvcVolumeSource(runner_id=runner.runner_id, namespace="examples", claim_name="shared")
    volume = await Volume.create("shared", pvc=claim)
    await volume.wait_until_ready()
    print(volume.state.value)
    async with mounted("/data") as writer, mounted("/in") as reader:
        await writer.write_file("/data/note", b"written by one, ")
        print((await reader.read_file("/in/note")).decode() + "read by another")
    print((await Volume.get("shared")).attached_sandbox_count, "attached")
    await volume.delete()


asyncio.run(main())
