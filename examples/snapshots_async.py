"""Save a working directory, and look into two copies of it at the same time."""

import asyncio

from cwsandbox import FileSystemSnapshotOptions, Sandbox


async def lines_of_copy(snapshot_id: str) -> int:
    options = FileSystemSnapshotOptions(mount_path="/work", file_system_snapshot_id=snapshot_id)
    async with Sandbox(file_system_snapshot=options) as sandbox:
        result = await sandbox.exec(["sh", "-c", "wc -l < /work/numbers"])
        return int(result.stdout)


async def main() -> None:
    async with Sandbox(file_system_snapshot={"mount_path": "/work"}) as sandbox:
        await sandbox.exec(["sh", "-c", "seq 1000 > /work/numbers"], check=True)
        snapshot_id = await sandbox.snapshot()
    print(await asyncio.gather(lines_of_copy(snapshot_id), lines_of_copy(snapshot_id)))
    await Sandbox.delete_snapshot(snapshot_id)


asyncio.run(main())
