"""Copy to several sandboxes at once, with progress, and give up on what takes too long."""

import asyncio
import tempfile
from pathlib import Path

from cwsandbox import Sandbox, SandboxError


async def work(name: str, data: Path, results: Path) -> None:
    told: list[int] = []
    async with Sandbox() as sandbox:
        try:
            await sandbox.upload(
                data, "/tmp/", progress=lambda done, total: told.append(done), timeout_seconds=60
            )
            await sandbox.exec(["sh", "-c", f"wc -c < /tmp/{data.name} > /tmp/size"], check=True)
            await sandbox.download("/tmp/size", results / name)
        except SandboxError as error:
            print(f"{name}: {error}, after {error.transferred}")
        else:
            assert told[-1] == data.stat().st_size


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data.bin")
        data.write_bytes(bytes(1_000_000))
        names = ["one", "two", "three"]
        await asyncio.gather(*(work(name, data, Path(folder)) for name in names))
        for name in names:
            print(f"{name}: {Path(folder, name).read_text().strip()} bytes arrived")


asyncio.run(main())
